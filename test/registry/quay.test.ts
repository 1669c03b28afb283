// Quay's robot federation: the whole way from a ServiceAccount token to a robot's login.
import { describe, expect, test } from 'vitest';
import { createQuayDouble, QUAY_PATH, quayRefusal, type QuayDouble } from '../fakes/quay-double.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const ROBOT = 'shop+puller';
const PLAIN_ROBOT = 'shop+plain';
const WISH: ExchangeWish = { kind: 'quay', parameters: { robot: ROBOT } };

/** Quay takes tokens of RSA keys alone, and so do its users. */
async function openQuay(
  algorithm: 'ES256' | 'RS256' = 'RS256',
): Promise<{ world: World; quay: QuayDouble } & AsyncDisposable> {
  const world = await openWorld({ algorithm });
  const { clock, trust } = world;
  const quay = await world.use(createQuayDouble({ clock, trust, robot: ROBOT, plainRobot: PLAIN_ROBOT }));
  return { world, quay, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test('is that of the robot, for as long as its token says', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;

    const credential = await exchangeAt(world, quay, WISH);

    expect(credential).toMatchObject({
      hosts: [quay.host],
      username: ROBOT,
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(quay.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(quay.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([`GET ${QUAY_PATH}`]);
  });

  test('is asked for with Basic, where the documentation has Bearer', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;

    await exchangeAt(world, quay, WISH);

    const sent = Buffer.from(`${ROBOT}:${world.secrets[0]}`).toString('base64');
    expect(quay.requests[0]?.headers.authorization).toBe(`Basic ${sent}`);
    expect(quay.requests[0]?.body).toBe('');
  });

  test('is asked for at the host that the image names, unless the rule names another', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;

    const credential = await exchangeAt(world, quay, { ...WISH, exchange: { endpoint: undefined } });

    expect(quay.accepts(credential.username, credential.password.reveal())).toBe(true);
  });

  test('is given for any audience: Quay does not look, which is why its rules share none', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;

    const credential = await exchangeAt(world, quay, { ...WISH, token: wrongTokens['for another audience'] });

    expect(credential.username).toBe(ROBOT);
  });
});

describe('a token', () => {
  test.for<WrongToken>([
    'of another account',
    'of another issuer',
    'that has expired',
    'of a key that nobody knows',
  ])('%s is refused, with what the robot needs', async (wrong) => {
    await using stack = await openQuay();
    const { world, quay } = stack;

    const problem = await problemAt(world, quay, { ...WISH, token: wrongTokens[wrong] });

    expect(problem).toMatchObject({
      code: 'exchange-refused',
      message: `${quay.host} refuses this account (400): robot ${ROBOT} must have a federation with this cluster's issuer and the subject of this account; Quay takes tokens signed RS256 or RS384 only`,
      details: { upstream: '400' },
    });
    expect(quay.requests.length).toBe(1);
  });

  test('signed with an elliptic curve is refused: Quay takes RSA alone', async () => {
    await using stack = await openQuay('ES256');
    const { world, quay } = stack;

    const problem = await problemAt(world, quay, WISH);

    expect(problem.message).toContain('RS256 or RS384 only');
  });
});

describe('a no', () => {
  test.for([PLAIN_ROBOT, 'shop+nobody'])(
    'meets the robot %s, which trusts nobody or is not there',
    async (robot) => {
      await using stack = await openQuay();
      const { world, quay } = stack;

      const problem = await problemAt(world, quay, { ...WISH, parameters: { robot } });

      expect(problem.code).toBe('exchange-refused');
      expect(problem.message).toContain(`robot ${robot} must have a federation`);
    },
  );

  test.for([
    [400, 'exchange-refused', 1],
    [401, 'exchange-refused', 1],
    [404, 'exchange-refused', 1],
    [429, 'exchange-throttled', 3],
    // A token that it cannot read shows as 500 too: it is tried again, but not for ever.
    [500, 'exchange-unreachable', 3],
    [503, 'exchange-unreachable', 3],
  ] as const)(
    'with status %i is %s after %i tries, and its words are not repeated',
    async ([status, code, tries]) => {
      await using stack = await openQuay();
      const { world, quay } = stack;
      quay.refuseWith = quayRefusal('Could not find it, but here is a marked-secret', status);

      const problem = await problemAt(world, quay, WISH);

      expect(problem).toMatchObject({ code, details: { upstream: String(status) } });
      expect(problem.message).not.toContain('marked-secret');
      expect(quay.requests.length).toBe(tries);
    },
  );
});

describe('the end of a login', () => {
  test.for([
    ['missing', 'exchange-malformed'],
    [1_700_000_000_000, 'credential-already-expired'],
  ] as const)('that is %s ends as %s', async ([expiry, code]) => {
    await using stack = await openQuay();
    const { world, quay } = stack;
    quay.expiry = expiry;

    expect((await problemAt(world, quay, WISH)).code).toBe(code);
  });

  test('is never further than a day away', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;
    quay.expiry = YEAR_2126;

    expect((await exchangeAt(world, quay, WISH)).expiresAt).toBe(world.clock.now() + 24 * HOUR_MS);
  });

  test('is that of an answer with a token: any other answer is told as malformed', async () => {
    await using stack = await openQuay();
    const { world, quay } = stack;
    for (const body of [
      {},
      { token: '' },
      { token: 5 },
      [],
      'eyJhbGciOiJub25lIn0.e30.',
      { token: 'a\nb.c.d' },
    ]) {
      quay.refuseWith = { status: 200, body };

      expect((await problemAt(world, quay, WISH)).code).toBe('exchange-malformed');
    }
  });
});
