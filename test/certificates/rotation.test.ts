// The life of our own certificate: first pair, renewal, deaths in between, clocks that jump, and what people do to the Secret.
import { X509Certificate } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAuthority } from '../../src/certificates/authority.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { authorities, createStage, isProven, NAMES } from './rotation-stage.ts';
import type { StoreCall } from './fake-store.ts';

const DAY_MS = 86_400_000;
const NOTHING = new SecretText('');

/** A stage with a leader, a first pair and one replica that serves it. */
async function createServing() {
  const stage = createStage();
  const leading = stage.lead('first');
  await stage.pass(5_000);
  const replica = await stage.replica();
  return { ...stage, addReplica: stage.replica, leading, replica };
}

test('an empty Secret has a pair within 5 s, for all names, and every caBundle proves it', async () => {
  await using stage = createStage();
  stage.lead('first');

  await stage.pass(5_000);

  const { certificate = '', caBundle = '' } = stage.store.secret ?? {};
  const leaf = new X509Certificate(certificate);
  expect(NAMES.map((name) => leaf.checkHost(name))).toEqual(NAMES);
  expect(leaf.ca).toBe(false);
  expect(new Set(stage.store.trusts.flatMap(({ caBundles }) => caBundles))).toEqual(new Set([caBundle]));
  expect(isProven(certificate, caBundle)).toBe(true);
  expect(Date.parse(leaf.validTo) - stage.clock.now()).toBeGreaterThan(29 * DAY_MS);
});

test('no key but that of the certificate is ever stored', async () => {
  await using stage = await createServing();

  const { certificate = '', caBundle = '', key } = stage.store.secret ?? {};
  expect(certificate + caBundle).not.toContain('PRIVATE');
  expect(key?.reveal().match(/BEGIN PRIVATE KEY/g)).toHaveLength(1);
});

test('as long as the pair is good nothing is written', async () => {
  await using stage = await createServing();
  const before = stage.store.calls.length;

  await stage.pass(60_000);

  expect(stage.store.calls.slice(before).filter(({ call }) => call.startsWith('write'))).toEqual([]);
});

test('after 20 of its 30 days the pair is renewed, and what replaces it is trusted before it is served', async () => {
  await using stage = await createServing();
  const before = stage.replica.current().certificate;

  stage.clock.turn(19 * DAY_MS);
  await stage.pass(10_000);
  expect(stage.replica.current().certificate).toBe(before);
  stage.clock.turn(DAY_MS + 60_000);
  await stage.pass(10_000);

  expect(stage.replica.current().certificate).not.toBe(before);
  expect(stage.lines).toContainEqual(
    expect.objectContaining({ message: 'certificate renewed', reason: 'due' }),
  );
  expect(authorities(stage.store.secret?.caBundle ?? '')).toHaveLength(2);
  expect(stage.faults).toEqual([]);
});

test('the new authority is shown for 3 s before its certificate is there to be served', async () => {
  await using stage = await createServing();
  stage.store.edit({ certificate: '', key: NOTHING });
  let shownAt = 0;
  let publishedAt = 0;
  const check = stage.store.afterWrite;
  stage.store.afterWrite = () => {
    check();
    const isShown = stage.store.trusts.every(({ caBundles }) =>
      caBundles.every((bundle) => authorities(bundle).length === 2),
    );
    if (isShown) shownAt ||= stage.clock.monotonic();
    if (stage.store.secret?.certificate !== '') publishedAt ||= stage.clock.monotonic();
  };

  await stage.pass(8_000);

  expect(shownAt).toBeGreaterThan(0);
  expect(publishedAt - shownAt).toBeGreaterThanOrEqual(3_000);
  expect(publishedAt - shownAt).toBeLessThan(4_000);
});

test('authorities that ended long ago leave the bundle, with the next renewal', async () => {
  await using stage = await createServing();

  for (let life = 0; life < 8; life++) {
    stage.clock.turn(21 * DAY_MS);
    await stage.pass(15_000);
  }

  expect(authorities(stage.store.secret?.caBundle ?? '').length).toBeLessThanOrEqual(4);
  expect(stage.faults).toEqual([]);
});

test.each<[string, number]>([
  ['forward by a day', DAY_MS],
  ['back by a day', -DAY_MS],
  ['forward by 25 days', 25 * DAY_MS],
  ['back by 25 days', -25 * DAY_MS],
])('a clock that jumps %s makes no certificate that the right clock calls invalid', async (_, jump) => {
  await using stage = await createServing();
  stage.store.edit({ certificate: '', key: NOTHING });
  const right = stage.clock.now();

  stage.clock.turn(jump);
  await stage.pass(15_000);

  const leaf = new X509Certificate(stage.replica.current().certificate);
  expect(Date.parse(leaf.validFrom)).toBeLessThan(right);
  expect(Date.parse(leaf.validTo)).toBeGreaterThan(right);
  expect(stage.faults).toEqual([]);
});

test('a machine that slept past the end of the certificate renews it when it wakes up', async () => {
  await using stage = await createServing();

  stage.clock.turn(40 * DAY_MS);
  await stage.pass(10_000);

  expect(stage.replica.current().expiresAt).toBeGreaterThan(stage.clock.now() + 29 * DAY_MS);
  expect(stage.lines).toContainEqual(expect.objectContaining({ reason: 'expired' }));
});

test('what people do to the Secret is put right, and each replica keeps what it has meanwhile', async () => {
  const now = createStage().clock.now();
  const authority = await createAuthority('x', { notBefore: now - DAY_MS, notAfter: now + 300 * DAY_MS });
  const other = await authority.issue(NAMES);
  const stranger = await authority.issue(['other.example']);
  const wrecks = [
    ['empty', { certificate: '', key: NOTHING }],
    ['empty', { certificate: '', key: NOTHING, caBundle: '' }],
    ['broken', { certificate: 'no PEM' }],
    ['broken', { key: new SecretText('no PEM') }],
    ['broken', { key: other.key }],
    ['not-covered', other],
    ['other-names', stranger],
    ['not-covered', { caBundle: '' }],
    ['not-covered', { caBundle: 'no PEM' }],
  ] as const;
  for (const [reason, wreck] of wrecks) {
    await using stage = await createServing();
    const served = stage.replica.current().certificate;

    stage.store.edit(wreck);
    // A pair that fits is taken, whoever made it.
    const isTaken = wreck === other || wreck === stranger;
    await stage.pass(2_000);
    expect(isTaken || stage.replica.current().certificate === served).toBe(true);
    await stage.pass(10_000);

    expect(stage.lines.filter(({ message }) => message === 'certificate renewed').at(-1)?.reason).toBe(
      reason,
    );
    expect(isProven(stage.replica.current().certificate, stage.store.secret?.caBundle ?? '')).toBe(true);
    if (!isTaken) expect(stage.faults).toEqual([]);
  }
});

test('other names, as after a change of the Service, get another pair', async () => {
  await using stage = createStage();
  const now = stage.clock.now();
  const authority = await createAuthority('old', { notBefore: now - DAY_MS, notAfter: now + 30 * DAY_MS });
  const { certificate, key } = await authority.issue(['old.keyless-pull.svc']);
  stage.store.edit({ certificate, key, caBundle: authority.certificate });
  stage.lead('first');

  await stage.pass(5_000);

  expect(stage.lines).toContainEqual(
    expect.objectContaining({ message: 'certificate renewed', reason: 'other-names' }),
  );
});

test('a pair that somebody made by hand is trusted until ours is served in its place', async () => {
  await using stage = createStage();
  const now = stage.clock.now();
  const authority = await createAuthority('by hand', {
    notBefore: now - DAY_MS,
    notAfter: now + 300 * DAY_MS,
  });
  const { certificate, key } = await authority.issue(NAMES);
  for (const trust of stage.store.trusts) trust.caBundles = trust.caBundles.map(() => authority.certificate);
  stage.store.edit({ certificate, key });
  const replica = await stage.replica();
  stage.lead('first');

  await stage.pass(120_000);

  expect(replica.current().certificate).not.toBe(certificate);
  expect(stage.faults).toEqual([]);
  expect(stage.store.trusts.flatMap(({ caBundles }) => caBundles).join('')).not.toContain(
    authority.certificate,
  );
});

test('an emptied Secret is the way to be rid of a leaked key: after a minute nothing trusts it any more', async () => {
  await using stage = await createServing();
  const leaked = stage.replica.current().certificate;

  stage.store.edit({ certificate: '', key: NOTHING, caBundle: '' });
  await stage.pass(90_000);

  for (const bundle of stage.store.trusts.flatMap(({ caBundles }) => caBundles))
    expect(isProven(leaked, bundle)).toBe(false);
  expect(stage.faults).toEqual([]);
});

test('a wrecked caBundle is put right at the next look; none is ever made blank', async () => {
  await using stage = await createServing();
  const right = stage.store.secret?.caBundle;
  for (const [at, wreck] of ['', 'no PEM', (await createCertificateAuthority('x')).certificate].entries()) {
    const trust = stage.store.trusts[at % 2];
    if (trust) Object.assign(trust, { caBundles: trust.caBundles.map(() => wreck), version: 1_000 + at });

    await stage.pass(2_250);

    expect(new Set(stage.store.trusts.flatMap(({ caBundles }) => caBundles))).toEqual(new Set([right]));
  }
});

test('a Secret that is gone is named once, and nothing is written', async () => {
  await using stage = await createServing();
  stage.store.secret = undefined;
  const before = stage.store.calls.length;

  await stage.pass(30_000);

  const warned = stage.lines.filter(({ error }) => error?.code === 'certificate-missing');
  expect(warned).toHaveLength(1);
  expect(stage.store.calls.slice(before).filter(({ call }) => call.startsWith('write'))).toEqual([]);
});

test('who does not lead looks at nothing', async () => {
  await using stage = createStage();
  stage.lead('waiting', { is: false });

  await stage.pass(30_000);

  expect(stage.store.calls).toEqual([]);
});

/** Calls of one renewal, in order: the leader dies before the one that is named, for each of them once. */
test.each([
  ['whose pair was taken away', {}],
  ['that was emptied', { caBundle: '' }],
])(
  'wherever a leader dies in the renewal of a Secret %s, the next one finishes it, and no replica is distrusted',
  async (_, more) => {
    const writes = (of: readonly { client: string; call: StoreCall }[]) =>
      of.filter(({ client, call }) => client === 'first' && call.startsWith('write')).length;
    for (let fatal = 0; fatal < 5; fatal++) {
      await using stage = await createServing();
      const before = writes(stage.store.calls);
      stage.store.before = (client, call) => {
        if (client !== 'first' || !call.startsWith('write')) return undefined;
        if (writes(stage.store.calls) - before < fatal) return undefined;
        stage.leading.is = false;
        return new Promise(() => undefined);
      };
      stage.store.edit({ certificate: '', key: NOTHING, ...more });

      await stage.pass(10_000);
      const next = stage.lead('next');
      await stage.pass(15_000);

      expect(next.is).toBe(true);
      expect(writes(stage.store.calls) - before).toBe(Math.min(fatal, 4));
      expect(isProven(stage.store.secret?.certificate ?? '', stage.store.secret?.caBundle ?? '')).toBe(true);
      expect(stage.faults).toEqual([]);
    }
  },
);

test('two that both believe to lead, and people who take the pair away, leave no moment in which a replica is distrusted', async () => {
  const action = fc.record({
    after: fc.integer({ min: 0, max: 8_000 }),
    what: fc.constantFrom('take away', 'break', 'sleep', 'switch', 'both', 'slow'),
    pause: fc.integer({ min: 1, max: 4_000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 8 }), async (actions) => {
      await using stage = await createServing();
      await stage.addReplica();
      const second = stage.lead('second', { is: false });
      for (const { after, what, pause } of actions) {
        await stage.pass(after);
        if (what === 'take away') stage.store.edit({ certificate: '', key: NOTHING });
        if (what === 'break') stage.store.edit({ key: new SecretText('no PEM') });
        // Less than two months in all: then an authority leaves the bundle, over which two leaders differ for a minute.
        if (what === 'sleep') stage.clock.turn(7 * DAY_MS);
        if (what === 'switch') [stage.leading.is, second.is] = [second.is, !second.is];
        if (what === 'both') stage.leading.is = second.is = true;
        // Its next call is late, and everything that others do comes before it.
        let isLate = what === 'slow';
        stage.store.before = async (client) => {
          if (client !== 'first' || !isLate) return;
          isLate = false;
          await stage.clock.sleep(pause);
        };
      }
      second.is = true;
      await stage.pass(20_000);
      expect(stage.faults).toEqual([]);
      expect(stage.replica.current().certificate).toBe(stage.store.secret?.certificate);
      expect(stage.replica.current().expiresAt).toBeGreaterThan(stage.clock.now() + 9 * DAY_MS);
    }),
    { numRuns: 8 },
  );
});

test('a second leader that was slow between its two looks undoes nothing that the first one has announced', async () => {
  await using stage = await createServing();
  const gate = Promise.withResolvers<void>();
  let reads = 0;
  stage.store.before = (client, call) =>
    client === 'second' && call.startsWith('read') && ++reads === 2 ? gate.promise : undefined;
  stage.lead('second');
  await stage.pass(250);

  stage.store.edit({ certificate: '', key: NOTHING });
  while (stage.store.secret?.certificate === '') await stage.pass(250);
  gate.resolve();
  await stage.pass(250);
  await stage.replica.reload();
  await stage.pass(250);

  expect(reads).toBeGreaterThanOrEqual(2);
  expect(stage.replica.current().certificate).toBe(stage.store.secret?.certificate);
  expect(stage.faults).toEqual([]);
});
