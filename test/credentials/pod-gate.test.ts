// Which gated pods may go, which must go without, and what pods wait for; what is known of needs is scripted.
import { describe, expect, test } from 'vitest';
import { ruleFrom, TEST_HOST, type PodWish } from '../fakes/builders.ts';
import { refusal } from '../fakes/fake-cluster-store.ts';
import { GATE, INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { recordManifest, viewRecord } from '../../src/core/pull-credential-record.ts';
import type { PodView } from '../../src/core/pod-view.ts';
import type { WorkerSettings } from '../../src/credentials/worker.ts';
import type { Keeper, Standing } from '../../src/credentials/keeper.ts';
import { createPodGate } from '../../src/credentials/pod-gate.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import { HOUR_MS, NAMESPACE, openStage } from './worker-stage.ts';

const OTHER_HOST = 'other.team.example';

interface Known {
  standing: Standing;
  begunAt?: number;
}

function openGate(wish: Partial<WorkerSettings> = {}) {
  const rules = [ruleFrom(), ruleFrom({ name: 'other', hosts: [OTHER_HOST], audience: 'https://other' })];
  const stage = openStage({ rules, ...wish });
  const { fake, clock, log, settings } = stage;
  const cluster = fake.client();
  /** By host; a need that is not here has not been tried. */
  const known = new Map<string, Known>();
  const asked = new Map<string, string>();
  const keeper: Keeper = {
    standingOf(need) {
      asked.set(need.host, need.identity.uid);
      return known.get(need.host)?.standing ?? { kind: 'pending' };
    },
    begunAt: ({ host }) => known.get(host)?.begunAt,
    dueAt: () => 0,
    obtain: () => Promise.reject(new TypeError('the gate issues nothing')),
    forget: () => undefined,
  };
  const released: { readonly seconds: number; readonly late: boolean }[] = [];
  const noRight: string[] = [];
  let isLeading = true;
  const podGate = createPodGate({
    cluster,
    keeper,
    clock,
    log,
    settings: () => ({ ...settings }),
    isLeading: () => isLeading,
    onReleased: (seconds, late) => released.push({ seconds, late: late !== undefined }),
    onNoRight: (namespace) => noRight.push(namespace),
  });
  cluster.view.onChange(podGate.onChange);

  return {
    ...stage,
    stage,
    podGate,
    known,
    asked,
    released,
    noRight,
    loseLease: () => {
      isLeading = false;
    },
    /** A pod that the watch has told of. */
    async addPod(name: string, podWish?: PodWish): Promise<PodView> {
      const pod = stage.addPod(name, podWish);
      await clock.advance(0);
      return pod;
    },
    /** One look, once the watch has told all. @returns the hosts of the needs that pods wait for */
    async look(): Promise<string[]> {
      await clock.advance(0);
      const review = podGate.review();
      await clock.advance(0);
      const needs = (await review).flat();
      return needs.map(({ need }) => need.host);
    },
    /** A look a second, as the worker does. */
    async lookFor(seconds: number): Promise<void> {
      for (let second = 0; second < seconds; second++) {
        const review = podGate.review();
        await clock.advance(1_000);
        await review;
      }
    },
    gated: () => fake.gatedPods().map((key) => key.split('/')[1]),
    events: () =>
      fake.events().map(({ reason, type, note, regarding }) => ({ reason, type, note, regarding })),
  };
}

const ready: Known = { standing: { kind: 'ready', expiresAt: Infinity } };
const refused = (code: ProblemCode, message = 'not you'): Known => ({
  standing: { kind: 'refused', code, message },
});
const failing = (code: ProblemCode, begunAt: number): Known => ({
  standing: { kind: 'pending', problem: new Problem(code, 'not yet') },
  begunAt,
});

describe('a gate that RBAC does not let us open', () => {
  test('is told once on the pod, with the manifest that gives the right, and opened once it is given', async () => {
    const { addPod, lookFor, known, gated, events, noRight, fake, lines } = openGate();
    known.set(TEST_HOST, ready);
    fake.withoutRights.add(NAMESPACE);
    const pod = await addPod('app');
    await lookFor(60);
    const held = [gated(), events(), fake.count('removeGate')];
    const warnings = lines.filter(({ level }) => level === 'warn');

    fake.withoutRights.clear();
    await lookFor(15);

    expect(held).toEqual([
      ['app'],
      [
        {
          reason: 'PodHeld',
          type: 'Warning',
          note:
            `its gate may not be opened (cluster-refused): the worker has no right to patch pods in namespace ${NAMESPACE}: ` +
            'webhook-config/per-namespace/namespace gives it in one namespace, webhook-config/rbac.yaml in all of them; ' +
            'keyless-pull release opens it with your own rights',
          regarding: { kind: 'Pod', namespace: NAMESPACE, name: 'app', uid: pod.uid },
        },
      ],
      6,
    ]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ namespace: NAMESPACE, pod: 'app' });
    expect(new Set(noRight)).toEqual(new Set([NAMESPACE]));
    expect(gated()).toEqual([]);
    expect(events().map(({ reason }) => reason)).toEqual(['PodHeld', 'PodReleased']);
  });
});

describe('a pod whose gate the policy of somebody else keeps shut', () => {
  test('is told of once, and let go when that policy is', async () => {
    const { addPod, lookFor, known, gated, events, noRight, fake } = openGate();
    known.set(TEST_HOST, ready);
    fake.beforeCall = ({ verb }) => {
      if (verb === 'removeGate') throw refusal(422, 'Invalid', 'PATCH', 'pod', { policy: 'pods-of-others' });
    };
    await addPod('app');
    await lookFor(60);
    const held = [gated(), events().map(({ reason }) => reason), noRight];
    const [told] = events();

    fake.beforeCall = undefined;
    await lookFor(15);

    expect(held).toEqual([['app'], ['PodHeld'], []]);
    expect(told?.note).toContain('policy pods-of-others denied it; keyless-pull release opens it');
    expect(gated()).toEqual([]);
  });
});

describe('a gated pod', () => {
  test('is released as soon as its credential is ready, and the event says after how long', async () => {
    const { addPod, look, known, gated, events, released, clock } = openGate();
    const pod = await addPod('app');
    const needs = await look();
    await clock.advance(2_500);
    const before = gated();
    known.set(TEST_HOST, ready);

    await look();

    expect(needs).toEqual([TEST_HOST]);
    expect(before).toEqual(['app']);
    expect(gated()).toEqual([]);
    expect(released).toEqual([{ seconds: 2.5, late: false }]);
    expect(events()).toEqual([
      {
        reason: 'PodReleased',
        type: 'Normal',
        note: 'credentials ready after 2.5 s',
        regarding: { kind: 'Pod', namespace: NAMESPACE, name: 'app', uid: pod.uid },
      },
    ]);
  });

  test('that needs several waits for the last of them', async () => {
    const { addPod, look, known, gated } = openGate();
    await addPod('app', { images: [`${TEST_HOST}/a:1`, `${OTHER_HOST}/b:1`] });
    known.set(TEST_HOST, ready);

    const first = await look();
    const half = gated();
    known.set(OTHER_HOST, ready);
    await look();

    expect(first).toEqual([OTHER_HOST]);
    expect(half).toEqual(['app']);
    expect(gated()).toEqual([]);
  });

  test('whose credential is ready already when it comes is released at the first look', async () => {
    const { addPod, look, known, gated } = openGate();
    known.set(TEST_HOST, ready);
    await addPod('app');

    await look();

    expect(gated()).toEqual([]);
  });

  test('whose credential is refused is released at once, with a Warning that carries the code', async () => {
    const { addPod, look, known, gated, events, released } = openGate();
    await addPod('app');
    known.set(TEST_HOST, refused('exchange-refused', 'the registry said no'));

    await look();

    expect(gated()).toEqual([]);
    expect(released).toEqual([{ seconds: 0, late: true }]);
    expect(events()).toMatchObject([
      {
        reason: 'PodReleasedLate',
        type: 'Warning',
        note: 'released after 0.0 s without a credential (exchange-refused): the registry said no',
      },
    ]);
  });

  test('without any need is released at once', async () => {
    const { addPod, look, gated, events } = openGate();
    await addPod('foreign', { images: ['public.example/app:1'] });
    await addPod('opted-out', { labels: { [INJECT_LABEL]: 'disabled' } });

    await look();

    expect(gated()).toEqual([]);
    expect(events().map(({ reason }) => reason)).toEqual(['PodReleased', 'PodReleased']);
  });

  test('that lost our label is released like any other', async () => {
    const { addPod, look, known, gated } = openGate();
    await addPod('app', { managed: false });
    known.set(TEST_HOST, ready);

    await look();

    expect(gated()).toEqual([]);
  });

  test('keeps the gates of others', async () => {
    const { addPod, look, known, fake } = openGate();
    await addPod('app', { otherGates: ['example.com/quota', 'example.com/gpu'] });
    known.set(TEST_HOST, ready);

    await look();

    expect(fake.pod(NAMESPACE, 'app')?.gates).toEqual(['example.com/quota', 'example.com/gpu']);
  });

  test('in a namespace that is being drained is still served', async () => {
    const { addPod, look, known, gated, fake } = openGate();
    await addPod('app');
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'draining' });

    const needs = await look();
    known.set(TEST_HOST, ready);
    await look();

    expect(needs).toEqual([TEST_HOST]);
    expect(gated()).toEqual([]);
  });

  test('in a namespace that is not opted in any more is released at once, with a Warning', async () => {
    const { addPod, look, gated, events, fake } = openGate();
    await addPod('app');
    await look();
    fake.labelNamespace(NAMESPACE, {});

    await look();

    expect(gated()).toEqual([]);
    expect(events()).toMatchObject([
      { reason: 'PodReleasedLate', note: expect.stringContaining('namespace-refused') },
    ]);
  });

  test.each(['kube-system', 'kube-public', 'kube-node-lease'])(
    'in %s is nobody’s business of ours',
    async (name) => {
      const { look, known, fake, clock } = openGate();
      fake.addNamespace(name);
      fake.addAccount(name, 'default');
      fake.addPod(name, 'app');
      await clock.advance(0);
      known.set(TEST_HOST, ready);

      const needs = await look();

      expect(needs).toEqual([]);
      expect(fake.count('removeGate')).toBe(0);
      expect(fake.gatedPods()).toEqual([`${name}/app`]);
    },
  );

  test('that is deleted, or is being deleted, is not waited for', async () => {
    const { addPod, look, fake } = openGate();
    await addPod('gone');
    await addPod('going');
    await look();
    fake.deletePod(NAMESPACE, 'gone');
    fake.changePod(NAMESPACE, 'going', (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, deletionTimestamp: '2026-11-21T12:00:00Z' },
    }));

    const needs = await look();

    expect(needs).toEqual([]);
    expect(fake.count('removeGate')).toBe(0);
  });

  test('is left alone by who does not lead', async () => {
    const { addPod, look, known, gated, loseLease, fake } = openGate();
    await addPod('app');
    known.set(TEST_HOST, ready);
    loseLease();

    const needs = await look();

    expect(needs).toEqual([]);
    expect(gated()).toEqual(['app']);
    expect(fake.calls).toEqual([]);
  });
});

describe('the patience of a gate', () => {
  test('ends gateSeconds after the first attempt, and the Warning carries what stood in the way', async () => {
    const { addPod, lookFor, known, gated, events, clock } = openGate({ gateSeconds: 30 });
    await addPod('app');
    await lookFor(20);
    known.set(TEST_HOST, failing('exchange-unreachable', clock.now()));

    await lookFor(30);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
    expect(events()).toMatchObject([
      {
        reason: 'PodReleasedLate',
        type: 'Warning',
        note: 'released after 50.0 s without a credential (exchange-unreachable): not yet',
      },
    ]);
  });

  test('is the pod’s own where the first attempt is older than the pod', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate();
    known.set(TEST_HOST, failing('exchange-unreachable', clock.now()));
    await lookFor(100);
    await addPod('app');

    await lookFor(30);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
  });

  test('is 120 s for a need that is only queued', async () => {
    const { addPod, lookFor, gated, events } = openGate();
    await addPod('app');

    await lookFor(120);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
    expect(events()).toMatchObject([
      {
        note: `released after 120.0 s without a credential (deadline): no credential for ${TEST_HOST} came in 120 s`,
      },
    ]);
  });

  test('is as long as the config says, also beyond 120 s', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate({ gateSeconds: 300 });
    await addPod('app');
    known.set(TEST_HOST, failing('exchange-unreachable', clock.now()));

    await lookFor(300);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
  });

  test('has no end where a Secret of our name is not ours: the pod would pull with another’s login', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate({ gateSeconds: 5 });
    await addPod('app', { images: [`${TEST_HOST}/a:1`, `${OTHER_HOST}/b:1`] });
    known.set(TEST_HOST, failing('secret-not-ours', clock.now()));
    await lookFor(10);
    const undecided = gated();
    known.set(TEST_HOST, refused('secret-not-ours'));
    known.set(OTHER_HOST, refused('exchange-refused'));

    await lookFor(3_600);

    expect(undecided).toEqual(['app']);
    expect(gated()).toEqual(['app']);
  });

  test('begins with the worker’s own first look: nobody could do anything before', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate();
    await addPod('app');
    await clock.advance(HOUR_MS);

    await lookFor(1);
    const atFirst = gated();
    known.set(TEST_HOST, failing('exchange-unreachable', clock.now()));
    await lookFor(30);
    const held = gated();
    await lookFor(1);

    expect(atFirst).toEqual(['app']);
    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
  });

  test('does not last for ever because a clock that was a day ahead was put right', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate();
    known.set(TEST_HOST, failing('cluster-unreachable', clock.now()));
    await lookFor(2);

    clock.turn(-24 * HOUR_MS);
    await addPod('app');
    await lookFor(122);

    expect(gated()).toEqual([]);
  });

  test.each([
    ['ahead of', 1],
    ['behind', -1],
  ])('is the same where our clock is an hour %s the API server’s', async (_, direction) => {
    const { addPod, lookFor, gated, clock, fake } = openGate();
    await lookFor(10);
    await addPod('app');
    const creationTimestamp = new Date(clock.now() - direction * HOUR_MS).toISOString();
    fake.changePod(NAMESPACE, 'app', (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, creationTimestamp },
    }));

    await lookFor(120);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
  });

  test('begins anew after a suspend', async () => {
    const { addPod, lookFor, known, gated, clock } = openGate();
    await addPod('app');
    known.set(TEST_HOST, failing('cluster-unreachable', clock.now()));
    await lookFor(10);

    clock.turn(8 * HOUR_MS);
    await lookFor(25);

    expect(gated()).toEqual(['app']);
  });
});

describe('a pod whose account', () => {
  test('does not exist yet waits for it, and then for its credential', async () => {
    const { addPod, look, lookFor, known, gated, fake } = openGate();
    await addPod('app', { serviceAccount: 'later' });
    await lookFor(20);
    const early = await look();

    fake.addAccount(NAMESPACE, 'later');
    const needs = await look();
    known.set(TEST_HOST, ready);
    await look();

    expect(early).toEqual([]);
    expect(needs).toEqual([TEST_HOST]);
    expect(gated()).toEqual([]);
  });

  test('never comes is released after gateSeconds, with a Warning', async () => {
    const { addPod, lookFor, gated, events } = openGate();
    await addPod('app', { serviceAccount: 'never' });

    await lookFor(30);
    const held = gated();
    await lookFor(1);

    expect(held).toEqual(['app']);
    expect(gated()).toEqual([]);
    expect(events()).toMatchObject([
      { reason: 'PodReleasedLate', note: expect.stringContaining('service-account-missing') },
    ]);
  });

  test('was recreated needs the credential of the new one', async () => {
    const { addPod, look, asked, fake } = openGate();
    await addPod('app');
    await look();
    const before = asked.get(TEST_HOST);

    const { uid } = fake.recreateAccount(NAMESPACE, 'builder');
    await look();

    expect(asked.get(TEST_HOST)).toBe(uid);
    expect(before).not.toBe(uid);
  });
});

describe('a pod without our gate', () => {
  const daemon = { ownerReferences: [{ kind: 'DaemonSet', name: 'agents', uid: 'x' }] };
  const cases: [string, PodWish][] = [
    ['that was admitted while no worker lived', { gated: false }],
    ['that has a node already', { gated: false, spec: { nodeName: 'node-1' } }],
    ['that lost our label', { gated: false, managed: false }],
  ];

  test.each(cases)('%s still gets its credential', async (_title, wish) => {
    const { addPod, look, fake } = openGate();
    await addPod('app', wish);

    const needs = await look();

    expect(needs).toEqual([TEST_HOST]);
    expect(fake.count('removeGate')).toBe(0);
  });

  test('of a DaemonSet still gets its credential', async () => {
    const { addPod, look, fake } = openGate();
    await addPod('app', { gated: false });
    fake.changePod(NAMESPACE, 'app', (pod) => ({ ...pod, metadata: { ...pod.metadata, ...daemon } }));

    const needs = await look();

    expect(needs).toEqual([TEST_HOST]);
  });

  test('needs nothing once its credential is ready, or once it runs', async () => {
    const { addPod, look, known, stage } = openGate();
    await addPod('waiting', { gated: false });
    await addPod('running', { gated: false, images: [`${OTHER_HOST}/b:1`] });
    known.set(TEST_HOST, ready);
    stage.runPod('running');

    const needs = await look();

    expect(needs).toEqual([]);
  });

  test('that does not name our Secret needs nothing of us', async () => {
    const { addPod, look } = openGate();
    await addPod('app', { gated: false, imagePullSecrets: ['somebody-elses'] });

    const needs = await look();

    expect(needs).toEqual([]);
  });

  test.each(['draining', 'disabled'])('needs nothing new in a namespace that is %s', async (value) => {
    const { addPod, look, fake } = openGate();
    await addPod('app', { gated: false });
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: value });

    const needs = await look();

    expect(needs).toEqual([]);
  });

  test('that was released late is still looked after', async () => {
    const { addPod, look, known, gated } = openGate();
    await addPod('app');
    known.set(TEST_HOST, refused('exchange-refused'));
    await look();
    const after = gated();

    const needs = await look();

    expect(after).toEqual([]);
    expect(needs).toEqual([TEST_HOST]);
  });
});

describe('a release', () => {
  test('that fails is tried again a second later, however often the worker looks meanwhile', async () => {
    const { addPod, look, known, gated, fake, clock } = openGate();
    await addPod('app');
    known.set(TEST_HOST, ready);
    let failures = 2;
    fake.beforeCall = ({ verb }) => {
      if (verb === 'removeGate' && failures-- > 0) throw new Problem('cluster-unreachable', 'down');
    };

    const tried: number[] = [];
    for (let turn = 0; turn < 25; turn++) {
      await look();
      tried.push(fake.count('removeGate'));
      await clock.advance(100);
    }

    expect(tried.slice(0, 9)).toEqual(Array.from({ length: 9 }, () => 1));
    expect(tried[15]).toBe(2);
    expect(tried.at(-1)).toBe(3);
    expect(gated()).toEqual([]);
  });

  test('that is under way is not begun again', async () => {
    const { addPod, look, known, fake, clock, released } = openGate();
    await addPod('app');
    known.set(TEST_HOST, ready);
    fake.beforeCall = ({ verb }) =>
      verb === 'removeGate' ? clock.sleep(5_000).then(() => undefined) : undefined;

    for (let turn = 0; turn < 60; turn++) {
      await look();
      await clock.advance(100);
    }

    expect(fake.count('removeGate')).toBe(1);
    expect(released).toHaveLength(1);
  });

  test('whose answer got lost is told of no second time', async () => {
    const { addPod, lookFor, known, gated, fake, events } = openGate();
    await addPod('app');
    known.set(TEST_HOST, ready);
    let isLost = false;
    fake.beforeCall = ({ verb }) => {
      if (verb !== 'removeGate' || isLost) return undefined;
      isLost = true;
      return 'lose-answer';
    };

    await lookFor(5);

    expect(gated()).toEqual([]);
    expect(events()).toEqual([]);
    expect(fake.count('removeGate')).toBe(1);
  });

  test('of a pod that was recreated meanwhile leaves the new one held until its own time has come', async () => {
    const { addPod, look, known, gated, fake, clock, stage } = openGate();
    await addPod('app');
    known.set(TEST_HOST, ready);
    fake.beforeCall = ({ verb }) =>
      verb === 'removeGate' ? clock.sleep(500).then(() => undefined) : undefined;
    await look();
    fake.deletePod(NAMESPACE, 'app');
    stage.addPod('app');
    known.clear();
    await clock.advance(1_000);
    const held = gated();

    const needs = await look();
    known.set(TEST_HOST, ready);
    await look();
    await clock.advance(1_000);

    expect(held).toEqual(['app']);
    expect(needs).toEqual([TEST_HOST]);
    expect(gated()).toEqual([]);
  });

  test('that the watch tells before it is answered does not lose sight of what the pod still needs', async () => {
    const { addPod, look, known, fake, clock } = openGate();
    await addPod('app');
    known.set(TEST_HOST, refused('token-refused'));
    const client = fake.client();
    const { removeGate } = client;
    Object.assign(client, {
      async removeGate(...args: Parameters<typeof removeGate>) {
        const answer = await removeGate(...args);
        await clock.sleep(500);
        return answer;
      },
    });
    await look();
    await clock.advance(1_000);

    const needs = await look();

    expect(fake.pod(NAMESPACE, 'app')?.gates).not.toContain(GATE);
    expect(needs).toEqual([TEST_HOST]);
  });

  test('of an earlier pod that the watch tells late does not end the wait of the new one', async () => {
    const { addPod, look, fake, clock, podGate } = openGate();
    const earlier = await addPod('app');
    fake.deletePod(NAMESPACE, 'app');
    await addPod('app');

    podGate.onChange({ kind: 'pod', gone: true, object: earlier });
    await clock.advance(1_000);
    const needs = await look();

    expect(needs).toEqual([TEST_HOST]);
  });
});

test('a thousand waiting pods are released in one look after their record has changed', async () => {
  const { addPod, look, known, gated, podGate } = openGate();
  for (let at = 0; at < 1_000; at++) await addPod(`app-${at}`);
  await look();
  const [planned] = (await podGate.review()).flat();
  known.set(TEST_HOST, ready);
  podGate.onChange({
    kind: 'record',
    gone: false,
    object: viewRecord(planned && recordManifest(planned.need)),
  });

  await look();

  expect(gated()).toEqual([]);
});
