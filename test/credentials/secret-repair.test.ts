// Pods that cannot pull have their Secret written again: soon, seldom, and never over somebody else's.
import { describe, expect, test } from 'vitest';
import { ruleFrom, TEST_HOST, type PodWish } from '../fakes/builders.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { HOUR_MS, NAMESPACE, openStage, refusing, type Stage } from './worker-stage.ts';

const MINUTE_MS = 60_000;

/** A pod of `builder` that has pulled and runs, ten minutes ago. */
async function openRunning() {
  const stage = openStage();
  const loop = stage.startLoop();
  const counted = loop.startCare();
  stage.addPod('app');
  await stage.clock.advance(1_000);
  stage.runPod('app');
  await stage.clock.advance(10 * MINUTE_MS);
  stage.written();
  stage.asked.splice(0);
  const { secretName } = stage.planned('builder').need;
  return {
    stage,
    loop,
    counted,
    secretName,
    fake: stage.fake,
    clock: stage.clock,
    isFilled: () => TEST_HOST in (stage.fake.dockerConfig(NAMESPACE, secretName)?.auths ?? {}),
  };
}

/** As the kubelet writes it after a pull that failed. */
function failPull(
  { fake }: Stage,
  name: string,
  reason = 'ErrImagePull',
  image?: string,
  phase: PodWish['phase'] = 'Pending',
): void {
  fake.changePod(NAMESPACE, name, (pod) => ({
    ...pod,
    ...(image && { spec: { ...Object(pod['spec']), containers: [{ name: 'container-0', image }] } }),
    status: {
      phase,
      containerStatuses: [{ name: 'container-0', state: { waiting: { reason } } }],
    },
  }));
}

test('many that cannot pull, and wait for their turn, leave what the bucket has to others', async () => {
  const stage = openStage({
    rules: [ruleFrom({ exchange: { kind: 'token-realm' } })],
    ratePerEndpoint: 1,
    burst: 20,
  });
  const { clock, asked } = stage;
  stage.startLoop().startCare();
  const names = Array.from({ length: 12 }, (_, at) => `many-${at}`);
  for (const name of names) {
    stage.fake.addAccount(NAMESPACE, name);
    stage.addPod(name, { serviceAccount: name });
  }
  await clock.advance(2_000);
  for (const name of names) stage.runPod(name);
  await clock.advance(10 * MINUTE_MS);
  asked.splice(0);
  const answers = stage.registry;
  stage.registry = async (call, input) => {
    if (input.planned.need.identity.account !== 'builder') await call.clock.sleep(30_000);
    return answers(call, input);
  };

  for (const name of names) failPull(stage, name);
  await clock.advance(5_000);
  const repairs = asked.length;
  stage.addPod('other');
  await clock.advance(200);

  expect(repairs).toBe(4);
  expect(asked.at(-1)?.account).toBe('builder');
});

describe('a pod that cannot pull', () => {
  test.each(['ErrImagePull', 'ImagePullBackOff'])(
    'has a Secret that was deleted by hand back at once (%s)',
    async (reason) => {
      const { stage, fake, clock, counted, secretName, isFilled } = await openRunning();
      fake.deleteSecret(NAMESPACE, secretName);

      failPull(stage, 'app', reason);
      await clock.advance(5_000);

      expect(isFilled()).toBe(true);
      expect(fake.record(NAMESPACE, secretName)?.status?.secretUid).toBe(
        fake.secret(NAMESPACE, secretName)?.metadata.uid,
      );
      expect(counted).toEqual([['repair', 'issued']]);
    },
  );

  test('has a Secret that was emptied by hand filled again, in place', async () => {
    const { stage, fake, clock, secretName, isFilled } = await openRunning();
    const before = fake.secret(NAMESPACE, secretName);
    if (!before) throw new Error('there is no Secret');
    const data = { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') };
    fake.store.write('secret', { ...before, data });

    failPull(stage, 'app');
    await clock.advance(5_000);

    expect(isFilled()).toBe(true);
    expect(fake.secret(NAMESPACE, secretName)?.metadata.uid).toBe(before.metadata.uid);
  });

  test('for a minute has what was written a moment ago', async () => {
    const { stage, clock, counted } = await openRunning();
    stage.fake.addAccount(NAMESPACE, 'late');
    stage.addPod('late', { serviceAccount: 'late' });
    await clock.advance(1_000);
    const { secretName } = stage.planned('late').need;
    stage.fake.deleteSecret(NAMESPACE, secretName);

    failPull(stage, 'late');
    await clock.advance(50_000);
    const early = counted.length;
    await clock.advance(12_000);

    expect(early).toBe(0);
    expect(stage.fake.dockerConfig(NAMESPACE, secretName)?.auths).toHaveProperty([TEST_HOST]);
  });

  test('for ever, its tag being wrong, is asked for ever more seldom', async () => {
    const { stage, clock, counted } = await openRunning();

    failPull(stage, 'app');
    await clock.advance(HOUR_MS);
    const first = counted.splice(0).length;
    await clock.advance(HOUR_MS);

    expect(first).toBeGreaterThanOrEqual(4);
    expect(first).toBeLessThanOrEqual(9);
    expect(counted.length).toBeLessThanOrEqual(4);
  });

  test('again and again under new names is served once a minute', async () => {
    const { stage, clock, counted } = await openRunning();

    for (let at = 0; at < 120; at++) {
      stage.addPod(`job-${at}`, { gated: false });
      failPull(stage, `job-${at}`);
      await clock.advance(5_000);
    }

    expect(counted.length).toBeGreaterThanOrEqual(9);
    expect(counted.length).toBeLessThanOrEqual(11);
  });

  test('has its Secret back also after a clock that was ahead was put right', async () => {
    const { stage, fake, clock, secretName, isFilled } = await openRunning();
    clock.turn(24 * HOUR_MS);
    await clock.advance(5 * MINUTE_MS);
    failPull(stage, 'app');
    await clock.advance(5_000);
    clock.turn(-24 * HOUR_MS);
    await clock.advance(5 * MINUTE_MS);

    fake.deleteSecret(NAMESPACE, secretName);
    await clock.advance(5 * MINUTE_MS);

    expect(isFilled()).toBe(true);
  });

  test('from a registry without a rule moves nobody', async () => {
    const { stage, clock, counted } = await openRunning();

    failPull(stage, 'app', 'ErrImagePull', 'elsewhere.example/app:1');
    await clock.advance(5 * MINUTE_MS);

    expect(counted).toEqual([]);
  });

  test('in a namespace that is drained is served all the same', async () => {
    const { stage, fake, clock, secretName, isFilled } = await openRunning();
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'draining' });
    fake.deleteSecret(NAMESPACE, secretName);

    failPull(stage, 'app');
    await clock.advance(5_000);

    expect(isFilled()).toBe(true);
  });

  test('beside a Secret of somebody else is told why, and that Secret stays as it is', async () => {
    const { stage, fake, clock, secretName } = await openRunning();
    fake.deleteSecret(NAMESPACE, secretName);
    const foreign = fake.addSecret({
      type: 'Opaque',
      metadata: { namespace: NAMESPACE, name: secretName },
      data: { own: 'eWVz' },
    });

    failPull(stage, 'app');
    await clock.advance(5 * MINUTE_MS);

    expect(fake.secret(NAMESPACE, secretName)).toEqual(foreign);
    expect(fake.record(NAMESPACE, secretName)?.status?.reason).toBe('secret-not-ours');
  });
});

describe('a repair that fails', () => {
  test('leaves no record that calls a lost Secret good, and is made good by the next attempt', async () => {
    const { stage, fake, clock, secretName, isFilled } = await openRunning();
    const good = stage.registry;
    stage.registry = refusing('exchange-unreachable');
    fake.deleteSecret(NAMESPACE, secretName);

    failPull(stage, 'app');
    await clock.advance(5_000);
    const during = fake.record(NAMESPACE, secretName)?.status?.isReady;
    stage.registry = good;
    await clock.advance(MINUTE_MS);

    expect(during).toBe(false);
    expect(isFilled()).toBe(true);
  });

  test('for a refusal leaves what is good and says so in the record, without a storm', async () => {
    const { stage, fake, clock, secretName, isFilled } = await openRunning();
    stage.registry = refusing('exchange-refused');

    failPull(stage, 'app');
    await clock.advance(10 * MINUTE_MS);

    expect(isFilled()).toBe(true);
    expect(fake.record(NAMESPACE, secretName)?.status).toMatchObject({
      isReady: true,
      reason: 'exchange-refused',
    });
    expect(stage.asked.length).toBeLessThanOrEqual(5);
  });
});

test('nothing is repaired by who does not lead', async () => {
  const { stage, clock, loop } = await openRunning();
  loop.setLeading(false);

  failPull(stage, 'app');
  await clock.advance(5 * MINUTE_MS);

  expect(stage.written()).toEqual([]);
});

test('two containers of different registries are repaired each for itself', async () => {
  const other = 'other.team.example';
  const { stage, fake, clock, counted } = await openRunning();
  stage.settings.rules = [
    ruleFrom(),
    ruleFrom({ name: 'other', hosts: [other], audience: 'https://other.team.example' }),
  ];
  fake.audiences.add('https://other.team.example');
  stage.addPod('both', { images: [`${TEST_HOST}/a:1`, `${other}/b:1`] });
  await clock.advance(5 * MINUTE_MS);

  failPull(stage, 'both');
  await clock.advance(5_000);

  expect(counted).toEqual([['repair', 'issued']]);
  expect(stage.asked.at(-1)?.host).toBe(TEST_HOST);
});

test('a pod that is over has nothing written for it, whatever it waited for', async () => {
  const { stage, clock, counted } = await openRunning();
  failPull(stage, 'app', 'ImagePullBackOff', undefined, 'Failed');

  await clock.advance(20 * MINUTE_MS);

  expect(stage.asked).toEqual([]);
  expect(counted).toEqual([]);
});
