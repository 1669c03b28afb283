// Where the worker may open gates, found out by asking for its own rights.
import { expect, test } from 'vitest';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createFakeCluster } from '../fakes/fake-cluster.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { createGateReach } from '../../src/credentials/gate-reach.ts';
import { createLog } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';

function openReach({ synced = true } = {}) {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  const cluster = fake.client('worker', { synced });
  const reach = createGateReach({ cluster, clock, log: createLog('silent') });
  const ending = new AbortController();
  return { clock, fake, cluster, reach, ending, run: () => reach.run(ending.signal) };
}

test('with the right in the whole cluster one question does, twice a minute', async () => {
  const { clock, fake, reach, run } = openReach();
  for (let at = 0; at < 100; at++) fake.addNamespace(`team-${at}`);
  await clock.advance(0);
  void run();

  await clock.advance(5 * 60_000);

  expect(reach.namespaces()).toBeUndefined();
  expect(reach.includes('anything')).toBe(true);
  expect(fake.count('mayOpenGates')).toBeLessThanOrEqual(11);
});

test('else each namespace that has opted in is asked about, and no other', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.addNamespace('given');
  fake.addNamespace('not-given');
  fake.addNamespace('out', { labels: {} });
  fake.addNamespace('kube-system');
  fake.withoutRights.add('not-given');
  await clock.advance(0);
  void run();

  await clock.advance(1_000);

  const asked = fake.calls.flatMap(({ verb, details }) =>
    verb === 'mayOpenGates' ? [details.namespace ?? 'everywhere'] : [],
  );
  expect(new Set(asked)).toEqual(new Set(['everywhere', 'given', 'not-given']));
  expect(asked).toHaveLength(3);
  expect(reach.namespaces()).toEqual(['given']);
  expect([reach.includes('given'), reach.includes('not-given')]).toEqual([true, false]);
});

test('a right that is given is known within half a minute, and so is one that is taken', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.addNamespace('team-a');
  fake.addNamespace('other');
  fake.withoutRights.add('team-a').add('other');
  void run();
  await clock.advance(1_000);
  const before = reach.namespaces();

  fake.withoutRights.delete('team-a');
  await clock.advance(30_000);
  const given = reach.namespaces();
  fake.withoutRights.add('team-a');
  await clock.advance(30_000);

  expect([before, given, reach.namespaces()]).toEqual([[], ['team-a'], []]);
});

test('a namespace that opts in is asked about at once', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.addNamespace('without');
  fake.withoutRights.add('without');
  fake.addNamespace('late', { labels: {} });
  void run();
  await clock.advance(5_000);

  fake.labelNamespace('late', { [INJECT_LABEL]: 'enabled' });
  fake.addNamespace('new');
  await clock.advance(300);

  expect(reach.namespaces()).toEqual(['late', 'new']);
});

test('the right in the whole cluster that is taken away leaves the namespaces that were given', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.addNamespace('given');
  fake.addNamespace('not-given');
  void run();
  await clock.advance(1_000);
  const before = reach.namespaces();

  fake.withoutRights.add('not-given');
  await clock.advance(30_000);

  expect(before).toBeUndefined();
  expect(reach.namespaces()).toEqual(['given']);
});

test('where RBAC has just said no, no gate is opened until it is asked again', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.addNamespace('team-a');
  fake.withoutRights.add('elsewhere');
  void run();
  await clock.advance(1_000);
  const before = reach.includes('team-a');

  reach.lost('team-a');

  expect([before, reach.includes('team-a')]).toEqual([true, false]);
});

test('nothing is known before the namespaces are, nor while the API server is away', async () => {
  const { clock, fake, cluster, reach, run } = openReach({ synced: false });
  fake.addNamespace('team-a');
  fake.withoutRights.add('elsewhere');
  cluster.partition();
  void run();
  await clock.advance(5_000);
  const away = reach.isKnown();

  cluster.heal();
  await clock.advance(2_000);

  expect(away).toBe(false);
  expect(reach.isKnown()).toBe(true);
  expect(reach.namespaces()).toEqual(['team-a']);
});

test('an API server that goes away later changes nothing, and is not asked without end', async () => {
  const { clock, fake, cluster, reach, run } = openReach();
  fake.addNamespace('team-a');
  fake.withoutRights.add('elsewhere');
  void run();
  await clock.advance(1_000);
  const before = fake.count('mayOpenGates');

  cluster.partition();
  await clock.advance(10 * 60_000);

  expect(reach.namespaces()).toEqual(['team-a']);
  expect(fake.count('mayOpenGates') - before).toBeLessThan(600);
});

test('a cluster that lets nobody ask for his own rights is taken for one that gives them', async () => {
  const { clock, fake, reach, run } = openReach();
  fake.beforeCall = ({ verb }) => {
    if (verb === 'mayOpenGates') throw new Problem('cluster-refused', 'no');
  };
  void run();

  await clock.advance(1_000);

  expect(reach.namespaces()).toBeUndefined();
});

test('it ends when it is told to', async () => {
  const { clock, ending, run } = openReach();
  const running = run();
  await clock.advance(1_000);

  ending.abort();
  await clock.advance(0);

  await expect(running).resolves.toBeUndefined();
});
