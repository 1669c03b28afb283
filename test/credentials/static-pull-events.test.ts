// Static pull secrets that were admitted: told once an hour for an account, and only where somebody wants to hear of them.
import { describe, expect, test } from 'vitest';
import { STATIC_PULL_SECRETS_LABEL } from '../../src/core/vocabulary.ts';
import { Policy } from '../../src/core/pull-policy.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { tellStaticPullSecrets } from '../../src/credentials/static-pull-events.ts';
import { ruleFrom, TEST_HOST, type PodWish } from '../fakes/builders.ts';
import { createFakeCluster } from '../fakes/fake-cluster.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const NAMESPACE = 'team-a';
const HOUR_MS = 3_600_000;

function open(mode: string | undefined, policy: object = {}) {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  const cluster = fake.client();
  const label = mode === undefined ? {} : { [STATIC_PULL_SECRETS_LABEL]: mode };
  fake.addNamespace(NAMESPACE, { labels: label });
  fake.addAccount(NAMESPACE, 'app', { imagePullSecrets: ['inherited'] });
  const world = { isLeading: true };
  const settings = { rules: [ruleFrom()], needsPerPod: 8, policy: Policy.parse(policy) };
  const stop = tellStaticPullSecrets({
    cluster,
    clock,
    settings: () => settings,
    isLeading: () => world.isLeading,
  });
  const addPod = async (name: string, imagePullSecrets: string[], wish: PodWish = {}) => {
    fake.addPod(NAMESPACE, name, {
      serviceAccount: 'app',
      gated: false,
      managed: false,
      imagePullSecrets,
      ...wish,
    });
    await clock.advance(1000);
  };
  const notes = () => fake.events().map(({ reason, note }) => `${reason} ${note}`);
  return { clock, fake, world, stop, addPod, notes };
}

describe('a pod that was admitted with a static pull secret', () => {
  test('is told of with what it is, the cure, and the command that shows more', async () => {
    const { fake, addPod } = open('warn');

    await addPod('web', ['nexus']);

    expect(fake.events()).toMatchObject([
      {
        reason: 'StaticPullSecret',
        type: 'Warning',
        note: `"nexus" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line; label the namespace keyless-pull.dev/inject=enabled and keyless-pull gives this pod its own credential for ${TEST_HOST} (keyless-pull explain pod web -n team-a shows more)`,
        regarding: { kind: 'Pod', name: 'web' },
      },
    ]);
  });

  test.for<[mode: string | undefined, told: number]>([
    ['enforce', 1],
    ['warn', 1],
    ['enforced', 1],
    ['audit', 0],
    ['off', 0],
    [undefined, 0],
  ])('in a namespace labelled %s: %i event', async ([mode, told]) => {
    const { addPod, notes } = open(mode);

    await addPod('web', ['nexus']);

    expect(notes()).toHaveLength(told);
  });

  test('an inherited one is told as such', async () => {
    const { addPod, notes } = open('warn');

    await addPod('web', ['inherited']);

    expect(notes()[0]).toContain('inherited from ServiceAccount app');
  });

  test.for<[what: string, secrets: string[], wish: PodWish, policy: object]>([
    ['has none', [], {}, {}],
    ['has ours alone', [secretNameFor('app', 'team-registry', '', TEST_HOST)], {}, {}],
    ['runs', ['nexus'], { phase: 'Running', managed: true }, {}],
    ['is exempt', ['nexus'], {}, { exemptions: [{ secret: 'nexus', until: '2999-01-01', reason: 'x' }] }],
    ['inherited it where that is allowed', ['inherited'], {}, { inherited: 'allowed' }],
  ])('nothing is told of a pod that %s', async ([, secrets, wish, policy]) => {
    const { addPod, notes } = open('warn', policy);

    await addPod('web', secrets, wish);

    expect(notes()).toEqual([]);
  });

  test('is told once an hour for its account and Secret, however many pods come and change', async () => {
    const { clock, fake, addPod, notes } = open('warn');
    for (let at = 0; at < 20; at++) await addPod(`web-${at}`, ['nexus']);
    fake.changePod(NAMESPACE, 'web-1', (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, labels: { a: 'b' } },
    }));
    await clock.advance(1000);
    expect(notes()).toHaveLength(1);

    await addPod('other', ['nexus', 'harbor']);
    expect(notes()).toHaveLength(2);

    await clock.advance(HOUR_MS);
    await addPod('later', ['nexus']);
    expect(notes()).toHaveLength(3);
  });

  test('five Secrets of one account are told in an hour: a tenant cannot make a storm', async () => {
    const { addPod, notes } = open('warn');

    await addPod(
      'web',
      Array.from({ length: 1000 }, (_, at) => `secret-${at}`),
    );
    await addPod('more', ['yet-another']);

    expect(notes()).toHaveLength(5);
  });

  test('only the worker that works tells, and nobody after the end', async () => {
    const { world, stop, addPod, notes } = open('warn');
    world.isLeading = false;
    await addPod('web', ['nexus']);
    world.isLeading = true;
    stop();
    await addPod('later', ['nexus']);

    expect(notes()).toEqual([]);
  });
});
