// Chainguard's assumable identities: the whole way from a ServiceAccount token to a login.
import { describe, expect, test } from 'vitest';
import {
  CHAINGUARD_USERNAME,
  createChainguardDouble,
  rpcRefusal,
  type ChainguardDouble,
} from '../fakes/chainguard-double.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const IDENTITY = `${'0123456789abcdef0123456789abcdef01234567'}/${'0123456789abcdef'}`;
const WISH: ExchangeWish = { kind: 'chainguard', host: 'cgr.dev', parameters: { identity: IDENTITY } };

async function openChainguard(): Promise<{ world: World; chainguard: ChainguardDouble } & AsyncDisposable> {
  const world = await openWorld({ audience: 'https://issuer.enforce.dev' });
  const { clock, trust } = world;
  const chainguard = await world.use(createChainguardDouble({ clock, trust, identity: IDENTITY }));
  return { world, chainguard, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test('is that of the identity, and a refresh token beside it is forgotten', async () => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;
    chainguard.hasRefreshToken = true;

    const credential = await exchangeAt(world, chainguard, WISH);

    expect(credential).toMatchObject({
      hosts: ['cgr.dev'],
      username: CHAINGUARD_USERNAME,
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(chainguard.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(chainguard.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /sts/exchange',
    ]);
  });

  test('has the token as bearer, and the identity beside it as form', async () => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;

    await exchangeAt(world, chainguard, WISH);

    const [request] = chainguard.requests;
    expect(request?.headers.authorization).toBe(`Bearer ${world.secrets[0]}`);
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      aud: 'cgr.dev',
      identity: IDENTITY,
    });
  });
});

describe('a token', () => {
  test.for<[WrongToken, string]>([
    ['for another audience', '403 7'],
    ['of another account', '403 7'],
    ['of another issuer', '403 7'],
    ['that has expired', '401 16'],
    ['of a key that nobody knows', '401 16'],
  ])(
    '%s is refused with %s, and the sentence says what the identity must name',
    async ([wrong, upstream]) => {
      await using stack = await openChainguard();
      const { world, chainguard } = stack;

      const problem = await problemAt(world, chainguard, { ...WISH, token: wrongTokens[wrong] });

      expect(problem).toMatchObject({ code: 'exchange-refused', details: { upstream } });
      expect(problem.message).toContain(
        "the identity must name this cluster's issuer and the subject of this account",
      );
      expect(chainguard.requests.length).toBe(1);
    },
  );
});

describe('a no', () => {
  test('meets an identity that is not there', async () => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;
    const parameters = { identity: IDENTITY.replaceAll('0', '9') };

    expect((await problemAt(world, chainguard, { ...WISH, parameters })).code).toBe('exchange-refused');
  });

  test.for([
    [3, 'exchange-refused', 1],
    [5, 'exchange-refused', 1],
    [7, 'exchange-refused', 1],
    [8, 'exchange-throttled', 3],
    [13, 'exchange-unreachable', 3],
    [14, 'exchange-unreachable', 3],
    [16, 'exchange-refused', 1],
  ] as const)(
    'with the code %i is %s after %i tries, and its words are not repeated',
    async ([number, code, tries]) => {
      await using stack = await openChainguard();
      const { world, chainguard } = stack;
      chainguard.refuseWith = rpcRefusal(number, 'a marked-secret');

      const problem = await problemAt(world, chainguard, WISH);

      expect(problem.code).toBe(code);
      expect(problem.message).not.toContain('marked-secret');
      expect(chainguard.requests.length).toBe(tries);
    },
  );
});

describe('the end of a login', () => {
  test.for([0, 3, 6, 9] as const)('may have seconds with %i digits', async (digits) => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;
    chainguard.fractionDigits = digits;
    chainguard.expiry = world.clock.now() + HOUR_MS;

    expect((await exchangeAt(world, chainguard, WISH)).expiresAt).toBe(world.clock.now() + HOUR_MS);
  });

  test('is never further than a day away', async () => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;
    chainguard.expiry = YEAR_2126;

    expect((await exchangeAt(world, chainguard, WISH)).expiresAt).toBe(world.clock.now() + 24 * HOUR_MS);
  });

  test.for([
    ['missing', 'exchange-malformed'],
    [1_700_000_000_000, 'credential-already-expired'],
  ] as const)('that is %s ends as %s', async ([expiry, code]) => {
    await using stack = await openChainguard();
    const { world, chainguard } = stack;
    chainguard.expiry = expiry;

    expect((await problemAt(world, chainguard, WISH)).code).toBe(code);
  });

  test.for([
    [{}, 'token'],
    [{ token: '' }, 'token'],
    [{ expiry: '2126-01-01T00:00:00Z' }, 'token'],
    [{ token: 'x', expiry: 'soon' }, 'expiry'],
    [{ token: 'x', expiry: 5 }, 'expiry'],
  ] as const)(
    'is that of an answer with a token and a proper time: %j lacks its %s',
    async ([body, missing]) => {
      await using stack = await openChainguard();
      const { world, chainguard } = stack;
      chainguard.refuseWith = { status: 200, body };

      expect(await problemAt(world, chainguard, WISH)).toMatchObject({
        code: 'exchange-malformed',
        message: `${chainguard.host} answered with an answer without a proper ${missing}`,
      });
    },
  );
});
