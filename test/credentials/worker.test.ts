// The whole worker, Lease and all, alone and with others, while things die, stall and get in the way.
import { describe, expect, test } from 'vitest';
import { foreignSecret, ruleFrom, TEST_HOST } from '../fakes/builders.ts';
import type { FakeCluster } from '../fakes/fake-cluster.ts';
import { missingRight } from '../fakes/fake-cluster-store.ts';
import { LEASE_NAME } from '../../src/core/vocabulary.ts';
import { Problem } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, WRITES, type Stage } from './worker-stage.ts';

const MINUTE_MS = 60_000;

/** Accounts with a pod each, `perAccount` of them. */
function addBurst({ fake, addPod }: Stage, accounts: number, perAccount: number): void {
  for (let at = 0; at < accounts; at++) {
    const serviceAccount = `account-${at}`;
    fake.addAccount(NAMESPACE, serviceAccount);
    for (let pod = 0; pod < perAccount; pod++) addPod(`app-${at}-${pod}`, { serviceAccount });
  }
}

/** Watches every release: was the Secret filled by then? @returns the pods of which that was not so */
function watchReleases(fake: FakeCluster): string[] {
  const early: string[] = [];
  fake.beforeCall = ({ verb, details: { namespace = '', name = '' } }) => {
    if (verb !== 'removeGate') return;
    const secrets = fake.pod(namespace, name)?.pullSecrets ?? [];
    const filled = secrets.every((secret) => fake.dockerConfig(namespace, secret)?.auths[TEST_HOST]);
    if (!filled) early.push(name);
  };
  return early;
}

/** Moves the clock until no pod is gated. @returns how long that took */
async function untilReleased({ clock, fake }: Stage, withinMs = 5 * MINUTE_MS): Promise<number> {
  for (let passed = 0; passed <= withinMs; passed += 50) {
    if (fake.gatedPods().length === 0) return passed;
    await clock.advance(50);
  }
  throw new Error(`still gated after ${withinMs} ms: ${fake.gatedPods().join(', ')}`);
}

const holder = ({ fake }: Stage) =>
  (fake.store.get('lease', fake.namespace, LEASE_NAME)?.['spec'] as { holder: string } | undefined)?.holder;

describe('one pod', () => {
  test('is released within a second of its creation, with a login that a registry accepts', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    stage.startWorker();
    await stage.clock.advance(2_000);
    stage.written();
    stage.addPod('app');

    const took = await untilReleased(stage);

    const { secretName } = stage.planned('builder').need;
    expect(took).toBeLessThanOrEqual(1_000);
    expect(early).toEqual([]);
    expect(stage.written([...WRITES, 'removeGate'])).toEqual([...WRITES, 'removeGate']);
    expect(await stage.fake.loginClaims(NAMESPACE, secretName, TEST_HOST)).toMatchObject({
      sub: 'system:serviceaccount:team-a:builder',
    });
    expect(stage.told()).toEqual(['CredentialIssued', 'PodReleased']);
  });

  test('whose account has its credential already costs one call', async () => {
    const stage = openStage();
    stage.startWorker();
    stage.addPod('first');
    await untilReleased(stage);
    stage.written();

    stage.addPod('second');
    await untilReleased(stage);

    expect(stage.written([...WRITES, 'removeGate'])).toEqual(['removeGate']);
  });

  test('that is older than its account is released with the credential of the new account', async () => {
    const stage = openStage();
    stage.startWorker();
    stage.addPod('app', { serviceAccount: 'later' });
    await stage.clock.advance(10_000);
    const held = stage.fake.gatedPods();

    const { uid } = stage.fake.addAccount(NAMESPACE, 'later');
    await untilReleased(stage);

    expect(held).toEqual([`${NAMESPACE}/app`]);
    expect(stage.fake.records()).toMatchObject([{ accountUid: uid, status: { isReady: true } }]);
  });

  test('whose account was recreated does not inherit the old credential', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    stage.startWorker();
    stage.addPod('first');
    await untilReleased(stage);
    const before = stage.fake.secrets()[0]?.metadata.uid;

    const { uid } = stage.fake.recreateAccount(NAMESPACE, 'builder');
    stage.addPod('second');
    await untilReleased(stage);

    expect(early).toEqual([]);
    expect(stage.fake.records()).toMatchObject([{ accountUid: uid }]);
    expect(stage.fake.secrets()).toHaveLength(1);
    expect(stage.fake.secrets()[0]?.metadata.uid).not.toBe(before);
    expect(stage.asked).toHaveLength(2);
  });

  test('is released without a credential 30 s after the first attempt when the registry is away, and served when it is back', async () => {
    const stage = openStage();
    stage.startWorker();
    stage.registry = refusing('exchange-unreachable', 'the registry cannot be reached');
    await stage.clock.advance(2_000);
    stage.addPod('app');

    const took = await untilReleased(stage);
    stage.registry = lasting(3_600);
    await stage.clock.advance(MINUTE_MS);

    expect(took).toBeGreaterThan(29_000);
    expect(took).toBeLessThan(32_000);
    const late = stage.fake.events().find(({ reason }) => reason === 'PodReleasedLate');
    expect(late?.note).toContain('exchange-unreachable');
    expect(stage.fake.records()[0]?.status?.isReady).toBe(true);
  });

  test('beside a Secret that is not ours is held through restarts and outages, until that Secret is gone', async () => {
    const stage = openStage();
    const { secretName } = stage.planned('builder').need;
    stage.fake.addSecret(foreignSecret(NAMESPACE, secretName, { mine: 'eA==' }));
    const secret = JSON.stringify(stage.fake.secret(NAMESPACE, secretName));
    const one = stage.startWorker('one');
    stage.addPod('app');
    await stage.clock.advance(5 * MINUTE_MS);
    one.cluster.partition();
    await stage.clock.advance(5 * MINUTE_MS);
    one.cluster.heal();
    await stage.clock.advance(5 * MINUTE_MS);
    one.cluster.kill();
    stage.startWorker('two');
    await stage.clock.advance(5 * MINUTE_MS);
    const held = stage.fake.gatedPods();
    const untouched = JSON.stringify(stage.fake.secret(NAMESPACE, secretName));

    stage.fake.deleteSecret(NAMESPACE, secretName);
    await untilReleased(stage, 10 * MINUTE_MS);

    expect(held).toEqual([`${NAMESPACE}/app`]);
    expect(untouched).toBe(secret);
    const events = stage.fake.events().filter(({ reason }) => reason === 'SecretNotOurs');
    expect(new Set(events.map(({ regarding }) => regarding.kind))).toEqual(
      new Set(['ServiceAccount', 'Pod']),
    );
    for (const { note } of events) expect(note).toContain(`${NAMESPACE}/${secretName}`);
    // Once by each worker that held it.
    expect(events.filter(({ regarding }) => regarding.kind === 'Pod')).toHaveLength(2);
    expect(stage.told()).not.toContain('PodReleasedLate');
  });
});

describe('a burst', () => {
  test('of 200 pods of 20 new accounts is released with one exchange per account, none before its Secret is filled', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    stage.startWorker('one');
    await stage.clock.advance(100);
    stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.fake.calls.length = 0;
    addBurst(stage, 20, 10);

    await untilReleased(stage);

    expect(early).toEqual([]);
    expect(stage.asked).toHaveLength(20);
    expect(stage.fake.count('removeGate')).toBe(200);
    expect(stage.fake.count('mintToken', 'two')).toBe(0);
  });

  test('survives kill -9 of the working one: at most 16 exchanges more, nothing gated 10 s later', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    const one = stage.startWorker('one');
    await stage.clock.advance(100);
    stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.registry = async (call, input) => {
      await stage.clock.sleep(300);
      return lasting(3_600)(call, input);
    };
    addBurst(stage, 40, 5);
    await stage.clock.advance(500);
    const begun = stage.asked.length;

    one.cluster.kill();
    const took = await untilReleased(stage);

    expect(begun).toBeGreaterThan(16);
    expect(took).toBeLessThanOrEqual(10_000);
    expect(early).toEqual([]);
    expect(stage.asked.length).toBeLessThanOrEqual(40 + 16);
  });

  test('of 1,000 pods that waited an hour for a worker is released with credentials, not for its age', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    addBurst(stage, 100, 10);
    await stage.clock.advance(HOUR_MS);
    stage.registry = async (call, input) => {
      await stage.clock.sleep(500);
      return lasting(3_600)(call, input);
    };

    stage.startWorker();
    await untilReleased(stage);

    expect(early).toEqual([]);
    expect(stage.asked).toHaveLength(100);
    expect(stage.told()).not.toContain('PodReleasedLate');
  });
});

describe('two workers', () => {
  test.each([0, 200, 400, 600, 800])(
    'lose no second at the change: who has just become the leader begins at once (%i ms into its pause)',
    async (offset) => {
      const stage = openStage();
      const one = stage.startWorker('one');
      await stage.clock.advance(100 + offset);
      const two = stage.startWorker('two');
      await stage.clock.advance(10_000);
      one.cluster.kill();
      stage.addPod('app');

      while (!two.worker.isLeading()) await stage.clock.advance(10);

      expect(await untilReleased(stage)).toBeLessThanOrEqual(200);
    },
  );

  test.each(WRITES)(
    'one of which dies after its %s need one Secret, and the pod is released',
    async (verb) => {
      const stage = openStage();
      const { fake } = stage;
      stage.startWorker('one');
      await stage.clock.advance(100);
      stage.startWorker('two');
      await stage.clock.advance(3_000);
      fake.beforeCall = (call) => (call.client === 'one' && call.verb === verb ? 'die-after' : undefined);
      const uids = new Set<string>();
      fake.store.subscribe(({ kind, object }) => kind === 'secret' && uids.add(object.metadata.uid));
      stage.addPod('app');

      await untilReleased(stage, 15_000);

      const [record] = fake.records();
      expect(uids).toEqual(new Set([record?.status?.secretUid]));
      expect(await fake.loginClaims(NAMESPACE, record?.name ?? '', TEST_HOST)).toBeDefined();
    },
  );

  test('make an exchange that is slower than the Lease once', async () => {
    const stage = openStage();
    stage.startWorker('one');
    stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.registry = async (call, input) => {
      await stage.clock.sleep(20_000);
      return lasting(3_600)(call, input);
    };
    stage.addPod('app');

    await untilReleased(stage);

    expect(stage.asked).toHaveLength(1);
  });

  test('do no harm when the one that was cut off comes back with its exchange: only who leads writes', async () => {
    const stage = openStage();
    const one = stage.startWorker('one');
    await stage.clock.advance(100);
    stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.registry = async (call, input) => {
      stage.registry = lasting(3_600);
      await stage.clock.sleep(15_000);
      return stage.registry(call, input);
    };
    stage.addPod('app');
    await stage.clock.advance(500);

    one.cluster.partition();
    await stage.clock.advance(10_000);
    one.cluster.heal();
    const before = stage.fake.secrets()[0]?.metadata.resourceVersion;
    await stage.clock.advance(30_000);

    expect(stage.fake.gatedPods()).toEqual([]);
    expect(holder(stage)).toBe('two');
    expect(stage.fake.secrets()[0]?.metadata.resourceVersion).toBe(before);
    expect(stage.fake.records()[0]?.status?.isReady).toBe(true);
  });

  test('hand over at a shutdown: what is under way is written, then the Lease is released, and the other goes on within 2 s', async () => {
    const stage = openStage();
    const one = stage.startWorker('one');
    await stage.clock.advance(100);
    const two = stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.registry = async (call, input) => {
      await stage.clock.sleep(3_000);
      return lasting(3_600)(call, input);
    };
    stage.addPod('app');
    await stage.clock.advance(500);

    one.stop();
    await stage.clock.advance(1_000);
    const meanwhile = holder(stage);
    const took = await untilReleased(stage);
    await one.running;

    expect(meanwhile).toBe('one');
    expect(took).toBeLessThanOrEqual(5_000);
    expect(two.worker.isLeading()).toBe(true);
    expect(stage.asked).toHaveLength(1);
  });

  test('hand over at a shutdown though an exchange hangs: its answer comes too late to be written', async () => {
    const stage = openStage();
    const one = stage.startWorker('one');
    await stage.clock.advance(100);
    stage.startWorker('two');
    await stage.clock.advance(3_000);
    stage.registry = async (call, input) => {
      stage.registry = lasting(3_600);
      await stage.clock.sleep(30_000);
      return stage.registry(call, input);
    };
    stage.addPod('app');
    await stage.clock.advance(500);
    stage.fake.addAccount(NAMESPACE, 'other');

    one.stop();
    stage.addPod('other', { serviceAccount: 'other' });
    const took = await untilReleased(stage);
    const filled = stage.fake.secrets().map(({ metadata }) => metadata.resourceVersion);
    const next = holder(stage);
    await stage.clock.advance(30_000);
    await one.running;

    expect(next).toBe('two');
    expect(took).toBeLessThanOrEqual(7_000);
    expect(stage.fake.secrets().map(({ metadata }) => metadata.resourceVersion)).toEqual(filled);
  });

  test('know what the other made: the webhook beside the idle one reads it from its watch', async () => {
    const stage = openStage();
    stage.startWorker('one');
    await stage.clock.advance(100);
    const two = stage.startWorker('two');
    await stage.clock.advance(3_000);

    stage.addPod('app');
    await untilReleased(stage);
    await stage.clock.advance(100);

    expect(two.worker.isLeading()).toBe(false);
    expect(two.worker.keeper.standingOf(stage.planned('builder').need).kind).toBe('ready');
  });
});

describe('an API server', () => {
  test('that is away for a minute delays pods, and makes nothing twice', async () => {
    const stage = openStage();
    const early = watchReleases(stage.fake);
    const { cluster } = stage.startWorker();
    await stage.clock.advance(3_000);
    cluster.partition();
    addBurst(stage, 20, 2);
    await stage.clock.advance(MINUTE_MS);

    cluster.heal();
    const took = await untilReleased(stage);

    expect(took).toBeLessThanOrEqual(3_000);
    expect(early).toEqual([]);
    expect(stage.asked).toHaveLength(20);
    expect(stage.told()).not.toContain('PodReleasedLate');
  });

  test('that fails at every fifth call delays a burst, and makes no exchange twice', async () => {
    const stage = openStage();
    stage.startWorker();
    await stage.clock.advance(3_000);
    let calls = 0;
    stage.fake.beforeCall = ({ verb }) => {
      if (/Lease|emit/.test(verb) || ++calls % 5 > 0) return;
      throw new Problem('cluster-unreachable', 'down');
    };
    addBurst(stage, 10, 3);

    await untilReleased(stage);

    expect(stage.asked).toHaveLength(10);
    expect(stage.fake.secrets()).toHaveLength(10);
  });

  test('whose answers are lost every fourth time makes no second Secret', async () => {
    const stage = openStage();
    stage.startWorker();
    await stage.clock.advance(3_000);
    const uids = new Map<string, Set<string>>();
    stage.fake.store.subscribe(({ kind, object: { metadata } }) => {
      if (kind !== 'secret') return;
      uids.set(metadata.name, (uids.get(metadata.name) ?? new Set()).add(metadata.uid));
    });
    let calls = 0;
    stage.fake.beforeCall = ({ verb }) =>
      !/Lease|emit/.test(verb) && ++calls % 4 === 0 ? 'lose-answer' : undefined;
    addBurst(stage, 10, 3);

    await untilReleased(stage);

    expect(uids.size).toBe(10);
    for (const lives of uids.values()) expect(lives.size).toBe(1);
  });
});

test('an account that is deleted and made again 20 times ends with one Secret, one record and a released pod', async () => {
  const stage = openStage();
  stage.startWorker();
  await stage.clock.advance(3_000);
  stage.addPod('app');

  for (let time = 0; time < 20; time++) {
    stage.fake.deleteAccount(NAMESPACE, 'builder');
    await stage.clock.advance(700);
    stage.fake.addAccount(NAMESPACE, 'builder');
    stage.fake.deletePod(NAMESPACE, 'app');
    stage.addPod('app');
    await stage.clock.advance(800);
  }
  await untilReleased(stage);

  expect(stage.fake.secrets()).toHaveLength(1);
  expect(stage.fake.records()).toMatchObject([
    { accountUid: stage.planned('builder').need.identity.uid, status: { isReady: true } },
  ]);
  expect(stage.asked.length).toBeLessThanOrEqual(21);
});

test('an account whose parameters change 100 times is exchanged anew once in 10 s, and at last for what it says at last', async () => {
  const rule = ruleFrom({
    exchange: { kind: 'token-exchange', endpoint: 'https://tokens.team.example/token' },
    parameters: { scope: { from: 'annotation' } },
  });
  const stage = openStage({ rules: [rule] });
  const scopes: (string | undefined)[] = [];
  stage.registry = (call, input) => {
    scopes.push(input.planned.principal.parameters['scope']);
    return lasting(3_600)(call, input);
  };
  stage.startWorker();
  stage.addPod('app');
  await untilReleased(stage);
  await stage.clock.advance(MINUTE_MS);
  scopes.length = 0;

  for (let time = 0; time < 100; time++) {
    stage.fake.annotateAccount(NAMESPACE, 'builder', { 'keyless-pull.dev/scope': `pull:${time}` });
    await stage.clock.advance(300);
  }
  await stage.clock.advance(10_000);

  expect(scopes[0]).toBe('pull:0');
  expect(scopes.at(-1)).toBe('pull:99');
  expect(scopes.length).toBeLessThanOrEqual(5);
});

test('a worker whose watches have not listed yet leaves the Lease to those who see the cluster', async () => {
  const stage = openStage();
  const late = stage.fake.client('late', { synced: false });
  const blind = stage.startWorker('late');
  await stage.clock.advance(1_000);
  const seeing = stage.startWorker('seeing');
  await stage.clock.advance(1_000);
  const first = [blind.worker.isLeading(), seeing.worker.isLeading()];

  late.sync();
  seeing.stop();
  await stage.clock.advance(2_000);

  expect(first).toEqual([false, true]);
  expect(blind.worker.isLeading()).toBe(true);
});

test('a worker that cannot go on because of a bug releases the Lease, so that another can', async () => {
  const stage = openStage();
  const one = stage.startWorker('one');
  const ended = one.running.then(
    () => 'ended',
    (error: unknown) => error,
  );
  await stage.clock.advance(3_000);
  Object.defineProperty(stage.settings, 'rules', {
    get: () => {
      throw new TypeError('x is not a function');
    },
  });

  stage.fake.addPod(NAMESPACE, 'app');
  await stage.clock.advance(2_000);

  expect(await ended).toBeInstanceOf(TypeError);
  expect(holder(stage)).toBe('');
});

test('after days of work with failures, suspends and take-overs every credential is good and every Secret the same', async () => {
  const stage = openStage();
  let worker = stage.startWorker('worker-0');
  addBurst(stage, 10, 1);
  await untilReleased(stage);
  for (let at = 0; at < 10; at++) stage.runPod(`app-${at}-0`);
  const uids = stage.fake.secrets().map(({ metadata }) => metadata.uid);
  let expired = 0;

  for (let turn = 1; turn <= 12; turn++) {
    if (turn % 3 === 0) {
      worker.cluster.kill();
      worker = stage.startWorker(`worker-${turn}`);
    }
    if (turn % 4 === 0) stage.clock.turn(10 * MINUTE_MS);
    stage.registry = refusing('exchange-unreachable');
    await stage.clock.advance(5 * MINUTE_MS);
    stage.registry = lasting(3_600);
    await stage.clock.advance(25 * MINUTE_MS);
    expired += stage.fake
      .records()
      .filter(({ status }) => !status?.isReady || status.expiresAt <= stage.clock.now()).length;
  }

  expect(expired).toBe(0);
  expect(stage.fake.secrets().map(({ metadata }) => metadata.uid)).toEqual(uids);
  expect(stage.told()).not.toContain('CredentialExpired');
});

describe('a namespace in which RBAC gives the worker nothing', () => {
  const refusals = (stage: Stage) =>
    stage.fake.events().filter(({ reason }) => reason === 'CredentialRefused');

  test('is told of on the account, and works within a minute of the right, however long it was missing', async () => {
    const stage = openStage();
    const { fake, clock } = stage;
    fake.withoutRights.add(NAMESPACE);
    stage.startWorker();
    await clock.advance(2_000);
    stage.addPod('app', { gated: false });
    await clock.advance(HOUR_MS);
    const [told] = refusals(stage);
    const before = fake.events().length;

    fake.withoutRights.clear();
    await clock.advance(MINUTE_MS);

    const { secretName } = stage.planned('builder').need;
    expect(told).toMatchObject({
      type: 'Warning',
      note:
        `no credential for ${TEST_HOST} (cluster-refused): the worker has no right to create pullcredentials in namespace ` +
        `${NAMESPACE}: webhook-config/per-namespace/namespace gives it in one namespace, webhook-config/rbac.yaml in all of them`,
      regarding: { kind: 'ServiceAccount', namespace: NAMESPACE, name: 'builder' },
    });
    expect(before).toBeLessThan(12);
    expect(fake.dockerConfig(NAMESPACE, secretName)?.auths[TEST_HOST]).toBeDefined();
    expect(stage.told()).toContain('CredentialIssued');
  });

  test('keeps nothing from the others, and webhooks hold no pods there', async () => {
    const stage = openStage();
    const { fake, clock } = stage;
    fake.addNamespace('closed');
    fake.addAccount('closed', 'builder');
    fake.withoutRights.add('closed');
    const { worker } = stage.startWorker();
    await clock.advance(2_000);
    fake.addPod('closed', 'app', { serviceAccount: 'builder', imagePullSecrets: [], gated: false });
    stage.addPod('app');

    const took = await untilReleased(stage);

    expect(took).toBeLessThanOrEqual(1_000);
    expect([worker.mayOpenGates(NAMESPACE), worker.mayOpenGates('closed')]).toEqual([true, false]);
    await clock.advance(2_000);
    expect(fake.store.get('lease', fake.namespace, LEASE_NAME)?.['spec']).toMatchObject({
      gatesIn: [NAMESPACE],
    });
  });

  test('but lets it open gates, releases its pods at once, with a Warning that names what is missing', async () => {
    const stage = openStage();
    const { fake, clock } = stage;
    fake.beforeCall = ({ verb }) => {
      if (verb === 'createRecord') throw missingRight('create', 'pullcredentials', NAMESPACE);
    };
    stage.startWorker();
    await clock.advance(2_000);
    stage.addPod('app');

    const took = await untilReleased(stage);

    expect(took).toBeLessThanOrEqual(1_000);
    const late = fake.events().find(({ reason }) => reason === 'PodReleasedLate');
    expect(late).toMatchObject({ type: 'Warning', regarding: { kind: 'Pod', name: 'app' } });
    expect(late?.note).toContain(
      `(cluster-refused): the worker has no right to create pullcredentials in namespace ${NAMESPACE}`,
    );
  });
});
