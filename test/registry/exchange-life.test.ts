// What the engine believes of any registry's answer: how long the credential lives, and that a docker config can carry it.
import { expect, test } from 'vitest';
import { openProbe } from './probe.ts';
import { expectNothingShown, HOUR_MS } from './set-up.ts';

const jwt = (claims: object) =>
  ['{"alg":"none"}', JSON.stringify(claims), 'signature']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');

test('a credential lives from the moment the request was made, not from when it was answered', async () => {
  await using probe = await openProbe();
  const { clock } = probe.world;
  const start = clock.now();
  probe.answer = () => {
    clock.turn(5000);
    return { body: { seconds: [600] } };
  };

  const credential = await probe.exchange();

  expect(credential).toMatchObject({ issuedAt: start, expiresAt: start + 600_000 });
});

test('a credential lives from the try that was answered, not from the first', async () => {
  await using probe = await openProbe({ seconds: [600] });
  const { clock } = probe.world;
  const start = clock.now();
  probe.server.nextMoods.push('failing', 'failing');

  const credential = await probe.exchange();

  const waited = clock.pauses.reduce((sum, pause) => sum + pause, 0);
  expect(credential).toMatchObject({ issuedAt: start, expiresAt: start + waited + 600_000 });
});

test('a credential ends with the first of all ends that are known, that of a JWT among them', async () => {
  await using probe = await openProbe();
  const now = probe.world.clock.now();
  const inToken = { password: jwt({ exp: now / 1000 + 500 }) };

  probe.answer = () => ({ body: { seconds: [900], at: [now + 700_000] } });
  const byInstant = await probe.exchange();
  probe.answer = () => ({ body: { ...inToken, seconds: [900], at: [now + 700_000] } });
  const byToken = await probe.exchange();
  probe.answer = () => ({ body: { ...inToken } });
  const byTokenAlone = await probe.exchange();

  const lives = [byInstant, byToken, byTokenAlone].map(({ expiresAt }) => (expiresAt - now) / 1000);
  expect(lives).toEqual([700, 500, 500]);
});

test.for([Date.parse('2126-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59Z'), 1e290])(
  'a credential that claims to live until %d is believed for the longest life of its family',
  async (at) => {
    await using probe = await openProbe({ at: [at] });

    const { expiresAt } = await probe.exchange();

    expect(expiresAt).toBe(probe.world.clock.now() + 24 * HOUR_MS);
  },
);

test('a credential that is expired on arrival is none', async () => {
  await using probe = await openProbe({ seconds: [-90] });

  const problem = await probe.problem();

  expect(problem).toMatchObject({ code: 'credential-already-expired' });
  expect(problem.message).toMatch(/ answered with a credential that expired 90 s ago$/);
  expect(probe.server.requests).toHaveLength(1);
});

test('a credential that says nowhere how long it lives is refused', async () => {
  await using probe = await openProbe({});

  expect(await probe.problem()).toMatchObject({
    code: 'exchange-malformed',
    message: `${probe.server.host} does not say how long its credential lives`,
  });
});

test.for([
  ['a colon', 'a:b'],
  ['a line feed', 'a\nb'],
  ['a terminal escape', 'a\u001B[31mb'],
  ['no letter at all', ''],
  ['256 characters', 'x'.repeat(256)],
])('a credential whose user name has %s fits in no docker config and is refused', async ([, user]) => {
  await using probe = await openProbe({ user: user!, seconds: [3600] });

  const problem = await probe.problem();

  expect(problem).toMatchObject({ code: 'exchange-malformed' });
  expect(problem.message).toMatch(/gave a user name that no docker config can carry$/);
});

test.for([
  ['is empty', ''],
  ['has a line feed', 'marked\nsecret'],
  ['has a NUL', 'marked\0secret'],
  ['is longer than any token', 'x'.repeat(64 * 1024 + 1)],
])(
  'a credential whose password %s fits in no docker config and is refused, unshown',
  async ([, password]) => {
    await using probe = await openProbe({ password: password!, seconds: [3600] });

    const problem = await probe.problem();

    expect(problem).toMatchObject({ code: 'exchange-malformed' });
    if (password) expectNothingShown(problem, password, 'marked');
  },
);
