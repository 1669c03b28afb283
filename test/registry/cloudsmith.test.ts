// Cloudsmith's OpenID Connect: the whole way from a ServiceAccount token to a login.
import { describe, expect, test } from 'vitest';
import {
  CLOUDSMITH_USERNAME,
  cloudsmithRefusal,
  createCloudsmithDouble,
  type CloudsmithDouble,
} from '../fakes/cloudsmith-double.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const HOST = 'docker.cloudsmith.io';
const WISH: ExchangeWish = {
  kind: 'cloudsmith',
  host: HOST,
  parameters: { organization: 'shop', service: 'puller-x1y2' },
};

async function openCloudsmith(): Promise<{ world: World; cloudsmith: CloudsmithDouble } & AsyncDisposable> {
  const world = await openWorld();
  const { clock, trust } = world;
  const cloudsmith = await world.use(
    createCloudsmithDouble({ clock, trust, organisation: 'shop', serviceSlug: 'puller-x1y2' }),
  );
  return { world, cloudsmith, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test.for([200, 201] as const)(
    'comes with status %i, and lasts as long as its token says',
    async (status) => {
      await using stack = await openCloudsmith();
      const { world, cloudsmith } = stack;
      cloudsmith.successStatus = status;

      const credential = await exchangeAt(world, cloudsmith, WISH);

      expect(credential).toMatchObject({
        hosts: [HOST],
        username: CLOUDSMITH_USERNAME,
        issuedAt: world.clock.now(),
        expiresAt: world.clock.now() + 2 * HOUR_MS,
      });
      expect(cloudsmith.accepts(credential.username, credential.password.reveal())).toBe(true);
      expect(cloudsmith.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
        'POST /openid/shop/',
      ]);
    },
  );
});

describe('a token', () => {
  test.for<[WrongToken, string]>([
    ['for another audience', '403'],
    ['of another account', '403'],
    ['of another issuer', '401'],
    ['that has expired', '401'],
    ['of a key that nobody knows', '401'],
  ])('%s is refused with %s, and the sentence says what must be there', async ([wrong, status]) => {
    await using stack = await openCloudsmith();
    const { world, cloudsmith } = stack;

    const problem = await problemAt(world, cloudsmith, { ...WISH, token: wrongTokens[wrong] });

    expect(problem).toMatchObject({
      code: 'exchange-refused',
      message: `127.0.0.1:${new URL(cloudsmith.url).port} refuses this account (${status}): the provider settings of shop must name this cluster's issuer and the claims of this account, and be linked to puller-x1y2`,
      details: { upstream: status },
    });
    expect(cloudsmith.requests.length).toBe(1);
  });
});

describe('a no', () => {
  test.for([{ organization: 'other' }, { service: 'other' }])(
    'meets who is not there: %j',
    async (change) => {
      await using stack = await openCloudsmith();
      const { world, cloudsmith } = stack;

      const problem = await problemAt(world, cloudsmith, {
        ...WISH,
        parameters: { ...WISH.parameters, ...change },
      });

      expect(problem).toMatchObject({ code: 'exchange-refused', details: { upstream: '404' } });
    },
  );

  test.for([
    [401, 'exchange-refused', 1],
    [403, 'exchange-refused', 1],
    [404, 'exchange-refused', 1],
    [422, 'exchange-refused', 1],
    [429, 'exchange-throttled', 3],
    [500, 'exchange-unreachable', 3],
    [503, 'exchange-unreachable', 3],
  ] as const)(
    'with status %i is %s after %i tries, and its words are not repeated',
    async ([status, code, tries]) => {
      await using stack = await openCloudsmith();
      const { world, cloudsmith } = stack;
      cloudsmith.refuseWith = cloudsmithRefusal(status, 'a marked-secret');

      const problem = await problemAt(world, cloudsmith, WISH);

      expect(problem).toMatchObject({ code, details: { upstream: String(status) } });
      expect(problem.message).not.toContain('marked-secret');
      expect(cloudsmith.requests.length).toBe(tries);
    },
  );
});

describe('the end of a login', () => {
  test('is never further than a day away', async () => {
    await using stack = await openCloudsmith();
    const { world, cloudsmith } = stack;
    cloudsmith.expiry = YEAR_2126;

    expect((await exchangeAt(world, cloudsmith, WISH)).expiresAt).toBe(world.clock.now() + 24 * HOUR_MS);
  });

  test.for([
    ['missing', 'exchange-malformed'],
    [1_700_000_000_000, 'credential-already-expired'],
  ] as const)('that is %s ends as %s', async ([expiry, code]) => {
    await using stack = await openCloudsmith();
    const { world, cloudsmith } = stack;
    cloudsmith.expiry = expiry;

    expect((await problemAt(world, cloudsmith, WISH)).code).toBe(code);
  });

  test('is that of an answer with a token: any other answer is told as malformed', async () => {
    await using stack = await openCloudsmith();
    const { world, cloudsmith } = stack;
    for (const body of [{}, { token: '' }, { token: 5 }, { token: 'a\nb.c.d' }, 'eyJhbGciOiJub25lIn0.e30.']) {
      cloudsmith.refuseWith = { status: 201, body };

      expect((await problemAt(world, cloudsmith, WISH)).code).toBe('exchange-malformed');
    }
  });
});
