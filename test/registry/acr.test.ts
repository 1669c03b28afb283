// Azure Container Registry: the whole way from a ServiceAccount token through Entra ID to a login.
import { describe, expect, test } from 'vitest';
import {
  AZURE_USERNAME,
  createAzureDouble,
  entraRefusal,
  registryRefusal,
  type AzureDouble,
} from '../fakes/azure-double.ts';
import { createRecorder } from './recorder.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const CLIENT = '11111111-2222-3333-4444-555555555555';
const TENANT = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const OTHER_TENANT = '99999999-bbbb-cccc-dddd-eeeeeeeeeeee';
const HOST = 'shopregistry-a1b2c3.azurecr.io';
const WISH: ExchangeWish = {
  kind: 'acr',
  host: HOST,
  parameters: { 'client-id': CLIENT, 'tenant-id': TENANT },
};

async function openAzure(): Promise<{ world: World; azure: AzureDouble } & AsyncDisposable> {
  const world = await openWorld({ audience: 'api://AzureADTokenExchange' });
  const { clock, trust } = world;
  const azure = await world.use(
    createAzureDouble({ clock, trust, tenantId: TENANT, clientId: CLIENT, registry: HOST }),
  );
  return { world, azure, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test('is made of a federated credential, and lasts as long as its refresh token', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;

    const credential = await exchangeAt(world, azure, WISH);

    expect(credential).toMatchObject({
      hosts: [HOST],
      username: AZURE_USERNAME,
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + 3 * HOUR_MS,
    });
    expect(azure.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(azure.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `POST /${TENANT}/oauth2/v2.0/token`,
      'POST /oauth2/exchange',
    ]);
  });

  test('asks for ten minutes of a ServiceAccount token, and sends it to Entra alone', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;

    await exchangeAt(world, azure, WISH);

    const [login, exchange] = azure.requests;
    expect(new URLSearchParams(login?.body).get('client_assertion')).toBe(world.secrets[0]);
    expect(exchange?.body).not.toContain(world.secrets[0]);
    expect(new URLSearchParams(exchange?.body).get('tenant')).toBe(TENANT);
  });

  test('of two tenants are two, each at its own', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    const { clock, trust } = world;
    const options = { clock, trust, tenantId: OTHER_TENANT, clientId: CLIENT, registry: HOST };
    const other = await world.use(createAzureDouble(options));
    const rule = {
      parameters: { 'client-id': { from: 'rule', value: CLIENT }, 'tenant-id': { from: 'annotation' } },
    };
    const wishFor = (tenant: string): ExchangeWish => ({
      ...WISH,
      rule,
      account: { annotations: { 'keyless-pull.dev/tenant-id': tenant } },
    });

    const [one, two] = [
      await exchangeAt(world, azure, wishFor(TENANT)),
      await exchangeAt(world, other, wishFor(OTHER_TENANT)),
    ];

    expect(azure.accepts(one.username, one.password.reveal())).toBe(true);
    expect(other.accepts(two.username, two.password.reveal())).toBe(true);
    expect(other.requests[0]?.path).toBe(`/${OTHER_TENANT}/oauth2/v2.0/token`);
    expect(await problemAt(world, other, wishFor(TENANT))).toMatchObject({
      code: 'exchange-refused',
      message: expect.stringContaining('AADSTS90002): there is no such tenant') as string,
    });
  });

  test.for([
    ['shopregistry.azurecr.io', 'login.microsoftonline.com'],
    ['shopregistry.azurecr.us', 'login.microsoftonline.us'],
    ['shopregistry.azurecr.cn', 'login.chinacloudapi.cn'],
    ['shopregistry.azurecr.de', 'login.microsoftonline.de'],
  ] as const)('for %s is made at %s and at the registry, with its scope', async ([host, authority]) => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    const { http, requests } = createRecorder(({ url }) => ({
      body: url.host === host ? { refresh_token: 'a.b.c' } : { access_token: 'opaque' },
    }));

    const problem = await problemAt(world, azure, { ...WISH, host, http, exchange: { endpoint: undefined } });

    expect(requests.map(({ url }) => url.host)).toEqual([authority, host]);
    // The made-up refresh token says no end.
    expect(problem.code).toBe('exchange-malformed');
  });

  test('may be for another scope, which the rule names', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    const parameters = { ...WISH.parameters, scope: 'https://management.usgovcloudapi.net/.default' };

    const problem = await problemAt(world, azure, { ...WISH, parameters });

    expect(problem.message).toContain('AADSTS500011): the tenant does not know the scope');
    expect(new URLSearchParams(azure.requests[0]?.body).get('scope')).toBe(parameters.scope);
  });
});

describe('a token', () => {
  test.for<[WrongToken, string, string]>([
    ['for another audience', 'exchange-waiting', 'AADSTS700212'],
    ['of another account', 'exchange-waiting', 'AADSTS700213'],
    ['of another issuer', 'exchange-waiting', 'AADSTS700211'],
    ['that has expired', 'exchange-stale', 'AADSTS700024'],
    ['of a key that nobody knows', 'exchange-refused', 'AADSTS700027'],
  ])('%s ends as %s (%s)', async ([wrong, code, upstream]) => {
    await using stack = await openAzure();
    const { world, azure } = stack;

    const problem = await problemAt(world, azure, { ...WISH, token: wrongTokens[wrong] });

    expect(problem).toMatchObject({ code, details: { upstream: `401 ${upstream}` } });
    expect(azure.requests.length).toBe(1);
  });
});

describe('a no', () => {
  test.for([
    [70021, 'exchange-waiting', 1],
    [700211, 'exchange-waiting', 1],
    [700212, 'exchange-waiting', 1],
    [700213, 'exchange-waiting', 1],
    [7002138, 'exchange-waiting', 1],
    [70025, 'exchange-waiting', 1],
    [700024, 'exchange-stale', 1],
    [50196, 'exchange-unreachable', 3],
    [90033, 'exchange-unreachable', 3],
    [700016, 'exchange-refused', 1],
    [700027, 'exchange-refused', 1],
    [50013, 'exchange-refused', 1],
    [90002, 'exchange-refused', 1],
    [500011, 'exchange-refused', 1],
    [123456, 'exchange-refused', 1],
  ] as const)('of Entra with AADSTS%i is %s after %i tries', async ([number, code, tries]) => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.refuseWith = { entra: entraRefusal(number) };

    const problem = await problemAt(world, azure, WISH);

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(`AADSTS${number}`);
    expect(problem.message).not.toContain('refused by the double');
    expect(azure.requests.length).toBe(tries);
  });

  test('of Entra counts by its number: the same federation error moved from status 400 to 401 once', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.refuseWith = { entra: { ...entraRefusal(700213), status: 400 } };

    expect((await problemAt(world, azure, WISH)).code).toBe('exchange-waiting');
  });

  test('says what to do: the federated credential, letter by letter', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.refuseWith = { entra: entraRefusal(700213) };

    expect((await problemAt(world, azure, WISH)).message).toMatch(
      /^127\.0\.0\.1:\d+ does not know the trust for this account \(yet\) \(401 AADSTS700213\): the identity needs a federated credential with this cluster's issuer/,
    );
  });

  test.for([
    [401, 'UNAUTHORIZED', 'exchange-waiting', 'needs the role AcrPull'],
    [403, 'DENIED', 'exchange-refused', "the registry's network rules do not let us in"],
    [404, 'NAME_UNKNOWN', 'exchange-refused', '404 NAME_UNKNOWN'],
    [429, 'TOOMANYREQUESTS', 'exchange-throttled', 'asks us to wait'],
    [503, 'UNAVAILABLE', 'exchange-unreachable', 'is failing'],
  ] as const)('of the registry with %i %s is %s: %s', async ([status, name, code, sentence]) => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.refuseWith = { registry: registryRefusal(status, name, 'refused by the double') };

    const problem = await problemAt(world, azure, WISH);

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(sentence);
    expect(problem.message).toMatch(/request [0-9a-f-]{36}/);
  });

  test('of its network rules is told as such', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.isNetworkAllowed = false;

    expect((await problemAt(world, azure, WISH)).message).toContain('network rules');
  });
});

describe('the end of a login', () => {
  test('is never further than six hours away', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.expiry = YEAR_2126;

    expect((await exchangeAt(world, azure, WISH)).expiresAt).toBe(world.clock.now() + 6 * HOUR_MS);
  });

  test('that is past is told so', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.expiry = world.clock.now() - 1000;

    expect((await problemAt(world, azure, WISH)).code).toBe('credential-already-expired');
  });

  test('that the refresh token does not say is no end: such a login is not used', async () => {
    await using stack = await openAzure();
    const { world, azure } = stack;
    azure.expiry = 'missing';

    expect(await problemAt(world, azure, WISH)).toMatchObject({
      code: 'exchange-malformed',
      message: `${HOST} does not say how long its credential lives`,
    });
  });
});
