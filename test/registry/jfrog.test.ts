// JFrog's OIDC integration: the whole way from a ServiceAccount token to a login.
import { describe, expect, test } from 'vitest';
import {
  createJfrogDouble,
  JFROG_PATH,
  jfrogRefusal,
  type JfrogDouble,
  type JfrogOptions,
} from '../fakes/jfrog-double.ts';
import {
  exchangeAt,
  HOUR_MS,
  MINUTE_MS,
  openWorld,
  problemAt,
  type ExchangeWish,
  type World,
} from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const PROVIDER = 'team cluster';
const WISH: ExchangeWish = { kind: 'jfrog', parameters: { provider: PROVIDER } };

async function openJfrog(
  options: Partial<JfrogOptions> = {},
): Promise<{ world: World; jfrog: JfrogDouble } & AsyncDisposable> {
  const world = await openWorld();
  const { clock, trust } = world;
  const jfrog = await world.use(createJfrogDouble({ clock, trust, providerName: PROVIDER, ...options }));
  return { world, jfrog, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test('is of the user that the identity mapping makes of the account', async () => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;

    const credential = await exchangeAt(world, jfrog, WISH);

    expect(credential).toMatchObject({
      hosts: [jfrog.host],
      username: 'builder',
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(jfrog.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(jfrog.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([`POST ${JFROG_PATH}`]);
  });

  test('may be of a project, by a named mapping, with an audience of its own', async () => {
    const fields = { project_key: 'shop', identity_mapping_name: 'puller', audience: 'jfrt@*' };
    await using stack = await openJfrog({ fields });
    const { world, jfrog } = stack;
    const more = { project: 'shop', 'identity-mapping': 'puller', 'token-audience': 'jfrt@*' };

    const credential = await exchangeAt(world, jfrog, {
      ...WISH,
      parameters: { ...WISH.parameters, ...more },
    });

    expect(jfrog.accepts('builder', credential.password.reveal())).toBe(true);
    expect((await problemAt(world, jfrog, WISH)).details.upstream).toBe('400 BAD_REQUEST');
  });

  test.for([
    ['jfac@01hexample/users/', 'alice', 'alice'],
    ['jfac@01hexample/users/', 'team/alice', 'team/alice'],
    ['jfrt@01hexample/', 'alice', 'alice'],
    ['', 'alice', 'alice'],
  ] as const)(
    'names the user in its token where the answer does not: %s%s is %s',
    async ([prefix, name, user]) => {
      await using stack = await openJfrog();
      const { world, jfrog } = stack;
      Object.assign(jfrog, { namesUser: 'in-token', subjectPrefix: prefix, username: name });

      const credential = await exchangeAt(world, jfrog, WISH);

      expect(credential.username).toBe(user);
      expect(jfrog.accepts(credential.username, credential.password.reveal())).toBe(true);
    },
  );

  test.for(['', 'two:parts', 'a\nb', 'jfac@x/users/'])(
    'of a user that no docker config can carry is not used: %j',
    async (username) => {
      await using stack = await openJfrog();
      const { world, jfrog } = stack;
      const namesUser = username.endsWith('/') ? 'in-token' : 'in-answer';
      Object.assign(jfrog, { username, namesUser, subjectPrefix: '' });

      expect(await problemAt(world, jfrog, WISH)).toMatchObject({
        code: 'exchange-malformed',
        message: `${jfrog.host} gave a user name that no docker config can carry`,
      });
    },
  );

  test('is asked for at another host where the rule says so: a registry may be a sub-domain of its platform', async () => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;

    const credential = await exchangeAt(world, jfrog, { ...WISH, host: 'docker-local.shop.jfrog.example' });

    expect(credential.hosts).toEqual(['docker-local.shop.jfrog.example']);
    expect(jfrog.accepts('builder', credential.password.reveal())).toBe(true);
  });
});

describe('a token', () => {
  test.for<[WrongToken, string, string]>([
    ['for another audience', '403 FORBIDDEN', 'no identity mapping of the integration fits'],
    ['of another account', '403 FORBIDDEN', 'no identity mapping of the integration fits'],
    ['of another issuer', '401 UNAUTHORIZED', "the integration must have this cluster's issuer"],
    ['that has expired', '401 UNAUTHORIZED', "the integration must have this cluster's issuer"],
    ['of a key that nobody knows', '401 UNAUTHORIZED', "the integration must have this cluster's issuer"],
  ])('%s is refused (%s): %s', async ([wrong, upstream, sentence]) => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;

    const problem = await problemAt(world, jfrog, { ...WISH, token: wrongTokens[wrong] });

    expect(problem).toMatchObject({ code: 'exchange-refused', details: { upstream } });
    expect(problem.message).toContain(sentence);
    expect(jfrog.requests.length).toBe(1);
  });
});

describe('a no', () => {
  test('for an integration that is not there names it', async () => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;

    expect((await problemAt(world, jfrog, { ...WISH, parameters: { provider: 'other' } })).message).toBe(
      `${jfrog.host} refuses this account (404 NOT_FOUND): the platform has no OIDC integration called other`,
    );
  });

  test.for([
    [400, 'exchange-refused', 1],
    [401, 'exchange-refused', 1],
    [403, 'exchange-refused', 1],
    [404, 'exchange-refused', 1],
    [429, 'exchange-throttled', 3],
    [500, 'exchange-unreachable', 3],
    [503, 'exchange-unreachable', 3],
  ] as const)(
    'with status %i is %s after %i tries, and its words are not repeated',
    async ([status, code, tries]) => {
      await using stack = await openJfrog();
      const { world, jfrog } = stack;
      jfrog.refuseWith = jfrogRefusal(status, 'SOMETHING', 'a marked-secret');

      const problem = await problemAt(world, jfrog, WISH);

      expect(problem).toMatchObject({ code, details: { upstream: `${status} SOMETHING` } });
      expect(problem.message).not.toContain('marked-secret');
      expect(jfrog.requests.length).toBe(tries);
    },
  );
});

describe('the end of a login', () => {
  test.for([
    ['is what the token says, where the answer does not', { extra: { expires_in: undefined } }, 60],
    ['is the earlier one of both', { extra: { expires_in: 300 } }, 5],
    ['is the earlier one of both, also where that is the token', { extra: { expires_in: 360_000 } }, 60],
    ['is never further than a day away', { expiry: YEAR_2126 }, 24 * 60],
  ] as const)('%s', async ([, change, minutes]) => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;
    Object.assign(jfrog, change);

    expect((await exchangeAt(world, jfrog, WISH)).expiresAt).toBe(world.clock.now() + minutes * MINUTE_MS);
  });

  test.for([
    ['missing', {}, 'exchange-malformed'],
    [1_700_000_000_000, { expires_in: undefined }, 'credential-already-expired'],
    ['usual', { expires_in: -1 }, 'exchange-malformed'],
    ['usual', { expires_in: '3600' }, 'exchange-malformed'],
    ['usual', { access_token: '' }, 'exchange-malformed'],
  ] as const)('that is %s with %j ends as %s', async ([expiry, extra, code]) => {
    await using stack = await openJfrog();
    const { world, jfrog } = stack;
    Object.assign(jfrog, { expiry, extra });

    expect((await problemAt(world, jfrog, WISH)).code).toBe(code);
  });
});
