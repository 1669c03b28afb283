// How records end, in virtual days: unused, orphaned, left behind, without a rule; and what keeps them.
import { describe, expect, test } from 'vitest';
import { ruleFrom, TEST_HOST } from '../fakes/builders.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, type Stage } from './worker-stage.ts';
import type { WorkerSettings } from '../../src/credentials/worker.ts';

const MINUTE_MS = 60_000;

/** A pod of `builder` that runs on a credential of two days. */
async function openRunning(wish: Partial<WorkerSettings> = {}) {
  const stage = openStage(wish);
  stage.registry = lasting(172_800);
  const loop = stage.startLoop();
  const counted = loop.startCare();
  stage.addPod('app');
  await stage.clock.advance(1_000);
  stage.runPod('app');
  await stage.clock.advance(MINUTE_MS);
  const { secretName } = stage.planned('builder').need;
  return {
    stage,
    loop,
    counted,
    secretName,
    fake: stage.fake,
    clock: stage.clock,
    record: () => stage.fake.record(NAMESPACE, secretName),
    secret: () => stage.fake.secret(NAMESPACE, secretName),
  };
}

/** In steps as large as the loops' timers are many. */
async function pass({ clock }: Stage, hours: number): Promise<void> {
  await clock.advance(hours * HOUR_MS);
}

describe('a record that no pod names', () => {
  test('ends after the hours of the config, and its Secret with it', async () => {
    const { stage, fake, counted, record, secret } = await openRunning({ unusedHours: 3 });
    fake.deletePod(NAMESPACE, 'app');

    await pass(stage, 2.9);
    const before = record();
    await pass(stage, 0.2);

    expect(before).toBeDefined();
    expect([record(), secret()]).toEqual([undefined, undefined]);
    expect(counted).toEqual([['end', 'unused']]);
  });

  test('ends at that time also when another worker has taken over in between', async () => {
    const { stage, loop, fake, record } = await openRunning({ unusedHours: 3 });
    fake.deletePod(NAMESPACE, 'app');
    await pass(stage, 2);
    await loop.stop();
    loop.cluster.kill();

    stage.startLoop('two').startCare();
    await pass(stage, 0.9);
    const before = record();
    await pass(stage, 0.3);

    expect(before?.status?.unusedSince).toBeGreaterThan(0);
    expect(record()).toBeUndefined();
  });

  test('is kept when one comes before that, and counted anew when that one goes', async () => {
    const { stage, fake, record } = await openRunning({ unusedHours: 3 });
    fake.deletePod(NAMESPACE, 'app');
    await pass(stage, 2);
    stage.addPod('again');
    await pass(stage, 0.1);
    const marked = record()?.status?.unusedSince;
    fake.deletePod(NAMESPACE, 'again');
    await pass(stage, 2.8);

    expect(marked).toBeUndefined();
    expect(record()).toBeDefined();
  });

  test('but one that lost our label and runs, is kept', async () => {
    const { stage, fake, record, secret } = await openRunning({ unusedHours: 1 });
    fake.changePod(NAMESPACE, 'app', (pod) => ({ ...pod, metadata: { ...pod.metadata, labels: {} } }));

    await pass(stage, 4);

    expect(record()).toBeDefined();
    expect(secret()).toBeDefined();
  });

  test('is kept where it is made before any pod asks', async () => {
    const rule = ruleFrom({ prewarm: true });
    const stage = openStage({ rules: [rule], unusedHours: 1 });
    stage.fake.annotateAccount(NAMESPACE, 'builder', { 'keyless-pull.dev/prewarm': 'true' });
    stage.startLoop().startCare();

    await pass(stage, 3);

    expect(stage.fake.records()).toHaveLength(1);
    expect(stage.fake.count('createRecord')).toBe(1);
  });

  test('is not counted on from an earlier time of leading: another has seen since who uses it', async () => {
    const { stage, loop, fake, record } = await openRunning({ unusedHours: 3 });
    fake.deletePod(NAMESPACE, 'app');
    await pass(stage, 0.5);
    loop.setLeading(false);
    await pass(stage, 3);
    stage.addPod('again');
    await pass(stage, 0.5);
    fake.deletePod(NAMESPACE, 'again');

    loop.setLeading(true);
    await pass(stage, 2.5);
    const before = record();
    await pass(stage, 1);

    expect(before).toBeDefined();
    expect(record()).toBeUndefined();
  });

  test('is nobody to delete for who does not lead', async () => {
    const { stage, loop, fake, record } = await openRunning({ unusedHours: 1 });
    fake.deletePod(NAMESPACE, 'app');
    loop.setLeading(false);

    await pass(stage, 3);

    expect(record()).toBeDefined();
  });
});

test('a record that a pod names is kept for ever, also while its namespace is drained', async () => {
  const { stage, fake, record, secret } = await openRunning({ unusedHours: 1 });
  const uid = secret()?.metadata.uid;
  fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'draining' });

  await pass(stage, 6);

  expect(record()?.status).toMatchObject({ isReady: true });
  expect(secret()?.metadata.uid).toBe(uid);
});

describe('a record whose account is gone', () => {
  test('and that has lost its owner is deleted, with its Secret', async () => {
    const { clock, fake, counted, secretName, record, secret } = await openRunning();
    fake.orphanRecord(NAMESPACE, secretName);
    fake.deleteAccount(NAMESPACE, 'builder');

    await clock.advance(20_000);

    expect([record(), secret()]).toEqual([undefined, undefined]);
    expect(counted).toEqual([['end', 'account-gone']]);
  });

  test('of an earlier life makes room for the new one', async () => {
    const { stage, clock, fake, secretName, record } = await openRunning();
    fake.orphanRecord(NAMESPACE, secretName);
    const account = fake.recreateAccount(NAMESPACE, 'builder');
    stage.addPod('next');

    await clock.advance(30_000);

    expect(record()).toMatchObject({ accountUid: account.uid, status: { isReady: true } });
    expect(fake.gatedPods()).toEqual([]);
  });

  test('for our watch alone is kept', async () => {
    const { clock, fake, loop, record, counted } = await openRunning();
    Object.assign(loop.cluster.view, { account: () => undefined });

    await clock.advance(MINUTE_MS);

    expect(fake.count('findAccount')).toBeGreaterThan(0);
    expect(record()).toBeDefined();
    expect(counted).toEqual([]);
  });
});

describe('a namespace', () => {
  test('that has left loses its records and Secrets, and its gates are opened with a Warning', async () => {
    const { stage, clock, fake, counted } = await openRunning();
    stage.registry = () => new Promise(() => undefined);
    fake.addAccount(NAMESPACE, 'slow');
    stage.addPod('waiting', { serviceAccount: 'slow' });
    await clock.advance(1_000);

    fake.labelNamespace(NAMESPACE, {});
    await clock.advance(MINUTE_MS);
    const writes = stage.written().length;
    await pass(stage, 2);

    expect(fake.records()).toEqual([]);
    expect(fake.secrets()).toEqual([]);
    expect(fake.gatedPods()).toEqual([]);
    expect(fake.events().filter(({ type }) => type === 'Warning')).toMatchObject([
      { reason: 'PodReleasedLate' },
    ]);
    expect(counted.every(([, reason]) => reason === 'namespace-left')).toBe(true);
    expect(writes).toBeGreaterThan(0);
    expect(stage.written()).toEqual([]);
  });

  test('that loses its label for a moment keeps all', async () => {
    const { clock, fake, record } = await openRunning();

    fake.labelNamespace(NAMESPACE, {});
    await clock.advance(3_000);
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'enabled' });
    await clock.advance(MINUTE_MS);

    expect(record()).toBeDefined();
  });

  test('that comes back while its records are being deleted keeps those that are left', async () => {
    const stage = openStage();
    stage.fake.beforeCall = async ({ verb }) => {
      if (verb === 'deleteRecord') await stage.clock.sleep(1_000);
    };
    for (const account of ['one', 'two', 'three', 'four']) {
      stage.fake.addAccount(NAMESPACE, account);
      stage.addPod(account, { serviceAccount: account });
    }
    stage.startLoop().startCare();
    await stage.clock.advance(MINUTE_MS);
    stage.fake.labelNamespace(NAMESPACE, {});
    while (stage.fake.records().length === 4) await stage.clock.advance(100);

    stage.fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'enabled' });
    await stage.clock.advance(MINUTE_MS);

    expect(stage.fake.count('deleteRecord')).toBeLessThanOrEqual(2);
  });

  test('that terminates is left to itself, and nobody is alarmed', async () => {
    const { stage, clock, fake } = await openRunning();
    fake.addAccount(NAMESPACE, 'late');
    stage.addPod('late', { serviceAccount: 'late', gated: false });
    stage.addPod('gated', { serviceAccount: 'late' });
    fake.terminateNamespace(NAMESPACE);
    const told = stage.told();
    stage.lines.splice(0);
    stage.written();

    await pass(stage, 3);
    await clock.advance(0);

    expect(stage.told()).toEqual(told);
    expect(stage.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
    expect(stage.written()).toEqual([]);
  });
});

test('a record whose rule is gone is told of once, lives out its time and is emptied then', async () => {
  const { stage, loop, fake, clock, record, secretName } = await openRunning();
  const told = stage.told().length;
  stage.settings.rules = [ruleFrom({ name: 'renamed' })];

  await clock.advance(MINUTE_MS);
  const { status } = record() ?? {};
  await loop.stop();
  stage.startLoop('two').startCare();
  await pass(stage, 40);
  const later = stage.told().slice(told);
  const isFilled = TEST_HOST in (fake.dockerConfig(NAMESPACE, secretName)?.auths ?? {});
  await pass(stage, 9);

  expect(status).toMatchObject({ isReady: true, reason: 'rule-unknown' });
  expect(status?.message).toContain('team-registry');
  expect(later).toEqual(['RuleUnknown']);
  expect(isFilled).toBe(true);
  expect(fake.dockerConfig(NAMESPACE, secretName)?.auths).toEqual({});
});

describe('a record whose rule has moved to the nodes', () => {
  test('lives as long as a pod names it, told of by nobody, and ends soon after the last one', async () => {
    const { stage, fake, record, secret, counted } = await openRunning();
    const told = stage.told();
    stage.settings.rules = [ruleFrom({ delivery: ['kubelet'] })];

    await pass(stage, 100);
    const while1 = { status: record()?.status, told: stage.told() };
    fake.deletePod(NAMESPACE, 'app');
    await pass(stage, 0.1);
    const soonAfter = record();
    await pass(stage, 0.2);

    expect(while1).toMatchObject({ status: { isReady: true, reason: 'issued' }, told });
    expect(soonAfter).toBeDefined();
    expect([record(), secret()]).toEqual([undefined, undefined]);
    expect(counted).toEqual([['end', 'unused']]);
  });

  test('is what a new pod gets when the rule comes back, with the same Secret', async () => {
    const { stage, secret, record } = await openRunning();
    const uid = secret()?.uid;
    stage.settings.rules = [ruleFrom({ delivery: ['kubelet'] })];
    await pass(stage, 5);
    stage.settings.rules = [ruleFrom({ delivery: ['secret', 'kubelet'] })];
    stage.addPod('next');

    await stage.clock.advance(2_000);

    expect(secret()?.uid).toBe(uid);
    expect(record()?.status).toMatchObject({ isReady: true, reason: 'issued' });
    expect(stage.fake.gatedPods()).toEqual([]);
  });
});

test('an account that flaps a hundred times has one Secret in the end, and makes no storm', async () => {
  const { stage, clock, fake, record } = await openRunning();
  fake.calls.splice(0);
  stage.addPod('next');

  for (let at = 0; at < 100; at++) {
    fake.recreateAccount(NAMESPACE, 'builder');
    await clock.advance(300);
  }
  await clock.advance(MINUTE_MS);

  expect(fake.secrets()).toHaveLength(1);
  expect(fake.records()).toHaveLength(1);
  expect(record()?.status).toMatchObject({ isReady: true });
  expect(fake.gatedPods()).toEqual([]);
  expect(fake.count('mintToken')).toBeLessThanOrEqual(105);
  expect(fake.calls.length).toBeLessThanOrEqual(1_000);
});
