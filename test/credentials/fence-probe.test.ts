// Whether the worker knows, and says, that its own fences do not stand.
import { expect, test } from 'vitest';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createFakeCluster } from '../fakes/fake-cluster.ts';
import { createFenceProbe } from '../../src/credentials/fence-probe.ts';
import { createLog } from '../../src/log.ts';
import { HOUR_MS } from './worker-stage.ts';

function openProbe() {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  const results: (readonly string[])[] = [];
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const cluster = fake.client();
  const probe = createFenceProbe({ cluster, clock, log }, (_all, missing) => results.push(missing));
  const ending = new AbortController();
  return { clock, fake, cluster, probe, results, lines, ending, run: () => probe.run(ending.signal) };
}

test('fences that were not tried yet do not count as standing', () => {
  const { probe } = openProbe();

  expect(probe.trouble()).toBe('the fences have not been tried yet');
});

test('fences that refuse what they must refuse are no trouble, and are tried again every hour', async () => {
  const { clock, fake, probe, run } = openProbe();
  void run();
  await clock.advance(0);
  const atStart = probe.trouble();

  await clock.advance(24 * HOUR_MS);

  expect(atStart).toBeUndefined();
  expect(probe.trouble()).toBeUndefined();
  expect(fake.count('tryFences')).toBe(25);
});

test('a missing fence is named, logged once, and tried again every 10 s until it stands', async () => {
  const { clock, fake, probe, results, lines, run } = openProbe();
  fake.missingFences = ['secrets', 'tokens'];
  void run();
  await clock.advance(60_000);
  const missing = probe.trouble();
  const tried = fake.count('tryFences');

  fake.missingFences = [];
  await clock.advance(10_000);

  expect(missing).toBe('fence-missing: nothing refused what the secrets and tokens policies must forbid');
  expect(tried).toBe(7);
  expect(lines.filter((line) => line.includes('fence missing'))).toHaveLength(1);
  expect(probe.trouble()).toBeUndefined();
  expect(results.at(-1)).toEqual([]);
});

test('a fence that goes missing later is found within the hour', async () => {
  const { clock, fake, probe, run } = openProbe();
  void run();
  await clock.advance(1_000);

  fake.missingFences = ['tokens'];
  await clock.advance(HOUR_MS);

  expect(probe.trouble()).toContain('tokens');
});

test('fences around a right that the worker has nowhere are no trouble, are told once, and tried again every minute', async () => {
  const { clock, fake, probe, lines, run } = openProbe();
  fake.fencesNowhere = ['secrets', 'tokens'];
  void run();
  await clock.advance(10 * 60_000);
  const tried = fake.count('tryFences');
  const trouble = probe.trouble();

  fake.fencesNowhere = [];
  await clock.advance(HOUR_MS);

  expect(trouble).toBeUndefined();
  expect(tried).toBe(11);
  expect(lines.filter((line) => line.includes('in no namespace'))).toHaveLength(1);
  expect(fake.count('tryFences')).toBe(tried + 1);
});

test('a right that is given without its fence is found out within a minute', async () => {
  const { clock, fake, probe, run } = openProbe();
  fake.fencesNowhere = ['secrets'];
  void run();
  await clock.advance(5 * 60_000);

  fake.fencesNowhere = [];
  fake.missingFences = ['secrets'];
  await clock.advance(60_000);

  expect(probe.trouble()).toBe('fence-missing: nothing refused what the secrets policies must forbid');
});

test('nothing is tried before the namespaces are known', async () => {
  const { clock, fake } = openProbe();
  const cluster = fake.client('late', { synced: false });
  const probe = createFenceProbe({ cluster, clock, log: createLog('silent') });
  void probe.run(new AbortController().signal);
  await clock.advance(60_000);
  const before = fake.count('tryFences');

  cluster.sync();
  await clock.advance(1_000);

  expect(before).toBe(0);
  expect(fake.count('tryFences')).toBe(1);
  expect(probe.trouble()).toBeUndefined();
});

test('an API server that is away is trouble before the first answer, and none after a good one', async () => {
  const early = openProbe();
  early.cluster.partition();
  void early.run();
  await early.clock.advance(60_000);
  const late = openProbe();
  void late.run();
  await late.clock.advance(1_000);

  late.cluster.partition();
  await late.clock.advance(2 * HOUR_MS);

  expect(early.probe.trouble()).toBe('the fences could not be tried');
  expect(late.probe.trouble()).toBeUndefined();
});

test('a machine that slept through the hour tries the fences within a minute of waking', async () => {
  const { clock, fake, ending } = openProbe();
  const bounded = {
    ...clock,
    sleep: (ms: number, signal?: AbortSignal) => clock.sleep(Math.min(ms, 60_000), signal),
  };
  const log = createLog('silent');
  void createFenceProbe({ cluster: fake.client(), clock: bounded, log }).run(ending.signal);
  await clock.advance(1_000);
  const before = fake.count('tryFences');

  clock.turn(8 * HOUR_MS);
  await clock.advance(60_000);

  expect(fake.count('tryFences')).toBe(before + 1);
});

test('the probe ends when it is told to', async () => {
  const { clock, ending, run } = openProbe();
  const running = run();
  await clock.advance(1_000);

  ending.abort();
  await clock.advance(0);

  await expect(running).resolves.toBeUndefined();
});

test('a clock that is put right by a day does not keep a worker unready for a day', async () => {
  const { clock, fake, probe, run } = openProbe();
  fake.missingFences = ['tokens'];
  void run();
  await clock.advance(15_000);
  const before = probe.trouble();

  fake.missingFences = [];
  clock.turn(-24 * HOUR_MS);
  await clock.advance(60_000);

  expect(before).toBeDefined();
  expect(probe.trouble()).toBeUndefined();
});
