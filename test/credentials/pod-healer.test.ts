// Pods without the reference that they should have: told of once, evicted where the config says so, and never in a loop.
import { describe, expect, test } from 'vitest';
import type { PodWish } from '../fakes/builders.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { NAMESPACE, openStage, refusing } from './worker-stage.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const CONTROLLED = { kind: 'ReplicaSet', name: 'app', uid: 'replica-set-1', controller: true };

/** A pod made before the opt-in, that hangs (unless told otherwise) and has a controller. */
function openOld(heal: 'report' | 'evict', owner: typeof CONTROLLED = CONTROLLED) {
  const stage = openStage({ heal });
  const loop = stage.startLoop();
  const counted = loop.startCare();
  const { fake } = stage;
  const addOld = (name: string, phase: PodWish['phase'] = 'Pending', wish: PodWish = {}) => {
    stage.addPod(name, { gated: false, managed: phase !== 'Pending', imagePullSecrets: [], ...wish });
    fake.changePod(NAMESPACE, name, (pod) => {
      const metadata = { ...pod.metadata, ownerReferences: [owner] };
      const waiting = { name: 'container-0', state: { waiting: { reason: 'ImagePullBackOff' } } };
      return { ...pod, metadata, status: { phase, containerStatuses: [waiting] } };
    });
  };
  const outcomes = () => counted.splice(0).map(([, outcome]) => outcome);
  return { stage, loop, fake, clock: stage.clock, addOld, outcomes };
}

describe('a pod that hangs without the reference it should have', () => {
  test('is told of once: by event, log line and count, and stays', async () => {
    const { stage, fake, clock, addOld, outcomes } = openOld('report');
    addOld('old');

    await clock.advance(HOUR_MS);

    expect(outcomes()).toEqual(['reported']);
    expect(fake.events()).toMatchObject([
      { reason: 'PodWithoutCredential', type: 'Warning', regarding: { kind: 'Pod', name: 'old' } },
    ]);
    expect(stage.lines.filter(({ message }) => message === 'pod without its credential')).toHaveLength(1);
    expect(fake.count('evictPod')).toBe(0);
    expect(fake.pod(NAMESPACE, 'old')).toBeDefined();
  });

  test('is evicted where the config says so, once its credential is there', async () => {
    const { fake, clock, addOld, outcomes } = openOld('evict');
    addOld('old');

    await clock.advance(MINUTE_MS);

    expect(outcomes()).toEqual(['reported', 'evicted']);
    expect(fake.pod(NAMESPACE, 'old')).toBeUndefined();
    expect(fake.records()[0]?.status?.isReady).toBe(true);
    expect(fake.events().map(({ reason }) => reason)).toContain('PodHealed');
  });

  test('is not evicted while its registry says no', async () => {
    const { stage, fake, clock, addOld } = openOld('evict');
    stage.registry = refusing('exchange-refused');
    addOld('old');

    await clock.advance(HOUR_MS);

    expect(fake.count('evictPod')).toBe(0);
  });

  test.each([
    ['a DaemonSet', { ...CONTROLLED, kind: 'DaemonSet' }],
    ['a node, static', { ...CONTROLLED, kind: 'Node' }],
    ['an owner that is no controller', { ...CONTROLLED, controller: false }],
  ])('of %s is never evicted', async (_title, owner) => {
    const { fake, clock, addOld, outcomes } = openOld('evict', owner);
    addOld('old');

    await clock.advance(HOUR_MS);

    expect(outcomes()).toEqual(['reported']);
    expect(fake.count('evictPod')).toBe(0);
  });

  test('whose successor hangs too is not followed by a chain of evictions', async () => {
    const { fake, clock, addOld, outcomes } = openOld('evict');
    addOld('old-1');
    addOld('old-2');
    await clock.advance(MINUTE_MS);
    const first = outcomes();

    for (let at = 0; at < 20; at++) {
      addOld(`successor-${at}`);
      await clock.advance(2 * MINUTE_MS);
    }

    expect(first.filter((outcome) => outcome === 'evicted')).toHaveLength(2);
    expect(outcomes().filter((outcome) => outcome === 'evicted')).toEqual([]);
    expect(fake.count('evictPod')).toBe(2);
  });

  test('and that a PodDisruptionBudget holds is asked for once a minute, until it may go', async () => {
    const { fake, clock, addOld, outcomes } = openOld('evict');
    fake.budgets.add(NAMESPACE);
    addOld('old', 'Running');

    await clock.advance(10 * MINUTE_MS);
    const held = outcomes().filter((outcome) => outcome === 'held').length;
    fake.budgets.clear();
    await clock.advance(2 * MINUTE_MS);

    expect(held).toBeGreaterThanOrEqual(8);
    expect(held).toBeLessThanOrEqual(10);
    expect(outcomes()).toEqual(['evicted']);
  });

  test('is not asked for without end where the right is missing', async () => {
    const { fake, clock, addOld, outcomes } = openOld('evict');
    fake.mayEvict = false;
    addOld('old');

    await clock.advance(10 * MINUTE_MS);

    expect(fake.count('evictPod')).toBeLessThanOrEqual(10);
    expect(outcomes()).toContain('failed');
  });

  test('whose eviction was done, but not answered, is not evicted twice', async () => {
    const { fake, clock, addOld } = openOld('evict');
    fake.beforeCall = ({ verb }) => (verb === 'evictPod' ? 'lose-answer' : undefined);
    addOld('old');

    await clock.advance(HOUR_MS);

    expect(fake.count('evictPod')).toBe(1);
  });

  test('in a namespace that is drained stays: its successor would be given nothing', async () => {
    const { fake, clock, addOld, outcomes } = openOld('evict');
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'draining' });
    addOld('old');

    await clock.advance(HOUR_MS);

    expect(outcomes()).toEqual([]);
  });

  test('because it opted out is left alone', async () => {
    const { clock, addOld, outcomes } = openOld('evict');
    addOld('old', 'Pending', { labels: { [INJECT_LABEL]: 'disabled' } });

    await clock.advance(HOUR_MS);

    expect(outcomes()).toEqual([]);
  });
});

test('a pod that runs without the reference is told of, and never evicted', async () => {
  const { stage, fake, clock, outcomes } = openOld('evict');
  stage.addPod('running', { gated: false, imagePullSecrets: [] });
  stage.runPod('running');

  await clock.advance(HOUR_MS);

  expect(outcomes()).toEqual(['reported']);
  expect(fake.count('evictPod')).toBe(0);
});

// The node was lost, or its job's time was up, while it could not pull: what waited then stands in its status for ever.
test.each(['Succeeded', 'Failed'] as const)('a pod that is over (%s) is not told of', async (phase) => {
  const { fake, clock, addOld, outcomes } = openOld('evict');
  addOld('old', phase);

  await clock.advance(HOUR_MS);

  expect(outcomes()).toEqual([]);
  expect(fake.count('evictPod')).toBe(0);
});

test('a pod that pulls from elsewhere is nobody of ours', async () => {
  const { clock, addOld, outcomes } = openOld('evict');
  addOld('old', 'Pending', { images: ['elsewhere.example/app:1'] });

  await clock.advance(HOUR_MS);

  expect(outcomes()).toEqual([]);
});
