// Docker's token authentication with the ServiceAccount token as password: tried at the realm before it is used, and sent
// nowhere that the rule does not know.
import { describe, expect, test } from 'vitest';
import { createTokenRealmDouble, type TokenRealmDouble } from '../fakes/token-realm-double.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, type WrongToken } from './wrong-tokens.ts';

/** As it is without any endpoint: the registry is where the image says. */
const WISH: ExchangeWish = { kind: 'token-realm', exchange: { endpoint: undefined } };

async function openRegistry(
  options: { username?: string } = {},
): Promise<{ world: World; registry: TokenRealmDouble } & AsyncDisposable> {
  const world = await openWorld();
  const { clock, trust } = world;
  const registry = await world.use(createTokenRealmDouble({ clock, trust, ...options }));
  return { world, registry, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

/** A second host that could be sent a token; and a rule that would trust its certificate. */
async function openOther({ world, registry }: { world: World; registry: TokenRealmDouble }) {
  const { clock, trust } = world;
  const other = await world.use(createTokenRealmDouble({ clock, trust }));
  const authorities = `${registry.certificateAuthorityPem}\n${other.certificateAuthorityPem}`;
  const certificateAuthorityFile = world.file('both.pem', authorities);
  registry.realm = other.realm;
  const wishFor = (endpoints?: Record<string, string>): ExchangeWish => ({
    ...WISH,
    exchange: { endpoint: undefined, certificateAuthorityFile, ...(endpoints && { endpoints }) },
  });
  return { other, wishFor };
}

describe('a login', () => {
  test('is the token itself, for as long as it lives, once the realm has taken it', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;

    const credential = await exchangeAt(world, registry, WISH);

    expect(credential).toMatchObject({
      hosts: [registry.host],
      username: 'team-a/builder',
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(credential.password.reveal()).toBe(world.secrets[0]);
    expect(registry.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(registry.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /v2/',
      'GET /auth/token',
    ]);
  });

  test('is tried without a scope, and the registry itself is not told the token', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;

    await exchangeAt(world, registry, WISH);

    const [ping, login] = registry.requests;
    expect(ping?.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(login?.query ?? [])).toEqual({
      service: registry.service,
      account: 'team-a/builder',
    });
  });

  test('is tried with the query that the realm itself has, as runtimes do', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    registry.realm = `${registry.realm}?client_id=team%2Fa&account=somebody`;

    await exchangeAt(world, registry, WISH);

    expect([...(registry.requests[1]?.query ?? [])]).toEqual([
      ['client_id', 'team/a'],
      ['account', 'team-a/builder'],
      ['service', registry.service],
    ]);
  });

  test.for([
    'BEARER, Basic realm="another"',
    'Basic realm="a, b", BEARER',
    'Negotiate, BEARER, Basic realm="another", service="another"',
  ])(
    'is tried at the realm of the Bearer challenge, whatever else the registry takes: %s',
    async (several) => {
      await using stack = await openRegistry();
      const { world, registry } = stack;
      const bearer = `Bearer realm="${registry.realm}",service="${registry.service}"`;
      const headers = { 'www-authenticate': several.replace('BEARER', bearer) };
      registry.refuseWith = { registry: { status: 401, headers } };

      await exchangeAt(world, registry, WISH);

      expect(registry.requests.map(({ path }) => path)).toEqual(['/v2/', '/auth/token']);
    },
  );

  test('is tried without a service where the registry names none, as Artifact Registry does', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    const headers = { 'www-authenticate': `Bearer realm="${registry.realm}"` };
    registry.refuseWith = { registry: { status: 401, headers }, realm: { body: { token: 'x' } } };

    await exchangeAt(world, registry, WISH);

    expect(Object.fromEntries(registry.requests[1]?.query ?? [])).toEqual({ account: 'team-a/builder' });
  });

  test('has the name that the rule says', async () => {
    await using stack = await openRegistry({ username: 'cluster' });
    const { world, registry } = stack;

    const credential = await exchangeAt(world, registry, {
      ...WISH,
      exchange: { endpoint: undefined, username: 'cluster' },
    });

    expect(credential.username).toBe('cluster');
    expect((await problemAt(world, registry, WISH)).code).toBe('exchange-refused');
  });

  test('ends no later than its token, whatever else the realm gives', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    for (const expiry of ['missing', 1_700_000_000_000, Date.parse('2126-01-01T00:00:00Z')] as const) {
      registry.expiry = expiry;

      expect((await exchangeAt(world, registry, WISH)).expiresAt).toBe(world.clock.now() + HOUR_MS);
    }
  });
});

describe('a token', () => {
  test.for(Object.keys(wrongTokens) as WrongToken[])(
    '%s is refused by the realm, and not used',
    async (wrong) => {
      await using stack = await openRegistry();
      const { world, registry } = stack;

      const problem = await problemAt(world, registry, { ...WISH, token: wrongTokens[wrong] });

      expect(problem).toMatchObject({
        code: 'exchange-refused',
        message: `${registry.host} refuses this account (401 UNAUTHORIZED): the token server must trust this cluster's issuer, the rule's audience and this account`,
      });
    },
  );
});

describe('a realm at another host', () => {
  test('is never sent the token by what the registry says', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    const { other, wishFor } = await openOther(stack);

    const problem = await problemAt(world, registry, wishFor());

    expect(problem).toMatchObject({
      code: 'exchange-refused',
      message: `${registry.host} wants the token at another host: name it as exchange.endpoints.realm of rule team-registry if it is to be trusted`,
    });
    expect(other.requests).toEqual([]);
  });

  test('is sent the token where the rule names it', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    const { other, wishFor } = await openOther(stack);

    const credential = await exchangeAt(world, registry, wishFor({ realm: other.url }));

    expect(other.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(registry.requests.map(({ path }) => path)).toEqual(['/v2/']);
  });

  test('is not trusted because another one is', async () => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    const { other, wishFor } = await openOther(stack);
    registry.realm = 'https://evil.example/auth/token';

    const credential = await exchangeAt(world, registry, wishFor({ realm: other.url }));

    // The rule says where the realm is; what the registry says of it counts for its path and query alone.
    expect(other.accepts(credential.username, credential.password.reveal())).toBe(true);
  });

  test.for([
    'http://127.0.0.1/auth/token',
    'ftp://127.0.0.1/auth/token',
    'javascript:alert(1)',
    '/auth/token',
    '//127.0.0.1/auth/token',
    '',
  ])('is no realm if it is no https URL: %j', async (realm) => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    registry.realm = realm;

    const problem = await problemAt(world, registry, WISH);

    expect(problem.code).toBe('exchange-malformed');
    expect(registry.requests.length).toBe(1);
  });

  test.for([
    'https://evil.example',
    'https://HOST@evil.example/',
    'https://evil.example/HOST',
    'https://HOST.evil.example',
  ])('cannot be dressed as the registry: %s', async (realm) => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    registry.realm = realm.replace('HOST', registry.host.replace(/:.*/, ''));

    const problem = await problemAt(world, registry, WISH);

    expect(problem.code).toBe('exchange-refused');
    expect(problem.message).not.toContain('evil');
    expect(registry.requests.length).toBe(1);
  });
});

describe('a registry', () => {
  test.for([
    [undefined, 'no challenge'],
    ['Basic realm="x"', 'another scheme'],
    ['Bearer', 'nothing in it'],
    ['Bearer service="x"', 'no realm'],
    ['Bearer realm=https://a.example', 'no quotes'],
  ] as const)('that answers 401 with %j is malformed: %s', async ([challenge]) => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    const headers: Record<string, string> = challenge === undefined ? {} : { 'www-authenticate': challenge };
    registry.refuseWith = { registry: { status: 401, headers } };

    expect((await problemAt(world, registry, WISH)).code).toBe('exchange-malformed');
  });

  test.for([
    ['registry', 404, 'exchange-refused'],
    ['registry', 503, 'exchange-unreachable'],
    ['registry', 429, 'exchange-throttled'],
    ['realm', 403, 'exchange-refused'],
    ['realm', 429, 'exchange-throttled'],
    ['realm', 500, 'exchange-unreachable'],
  ] as const)('whose %s answers %i is %s', async ([half, status, code]) => {
    await using stack = await openRegistry();
    const { world, registry } = stack;
    registry.refuseWith = { [half]: { status, body: { errors: [{ code: 'X', message: 'marked-secret' }] } } };

    const problem = await problemAt(world, registry, WISH);

    expect(problem.code).toBe(code);
    expect(problem.message).not.toContain('marked-secret');
  });
});
