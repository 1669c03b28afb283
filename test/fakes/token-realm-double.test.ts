// The double of a registry and its token realm, tried by hand as a docker client does it.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';
import { createTokenRealmDouble, type TokenRealmOptions } from './token-realm-double.ts';

const SERVICE = 'registry.team.example';
const PULL = 'repository:team-a/app:pull';

async function createWorld(options: Partial<TokenRealmOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const registry = stack.use(await createTokenRealmDouble({ clock, trust, ...options }));

  async function send(url: string, authorization?: string, method = 'GET') {
    const headers = authorization === undefined ? {} : { authorization };
    const asked = request(url, { method, headers, ca: registry.certificateAuthorityPem });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const body = JSON.parse((await text(answer)) || '{}') as Record<string, unknown>;
    return { status: answer.statusCode, challenge: answer.headers['www-authenticate'], body };
  }
  const basic = (user: string, password: string) =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const ask = async (query = `service=${SERVICE}`, user = 'builder', wishes?: TokenWishes) =>
    await send(`${registry.realm}?${query}`, basic(user, await issuer.token(wishes)));
  return { clock, issuer, registry, stack, send, basic, ask };
}

test('the registry names its realm, the realm lets the token in, and the registry lets its bearer in', async () => {
  const { clock, issuer, registry, stack, send, basic } = await createWorld();
  await using _stack = stack;
  const token = await issuer.token();

  const challenged = await send(`${registry.url}/v2/`);
  const [, realm, service] = /^Bearer realm="(.+)",service="(.+)"$/.exec(String(challenged.challenge)) ?? [];
  const scope = encodeURIComponent('repository:team-a/app:pull,push');
  const query = `service=${service}&scope=${scope}&account=builder&client_id=kubelet&offline_token=true`;
  const granted = await send(`${realm}?${query}`, basic('builder', token));
  const bearer = String(granted.body['token']);
  const welcomed = await send(`${registry.url}/v2/`, `Bearer ${bearer}`);

  expect(challenged.status).toBe(401);
  expect(granted.body).toMatchObject({
    access_token: bearer,
    expires_in: 300,
    issued_at: '2026-11-21T12:00:00.000Z',
  });
  expect(decodeJwt(bearer)['access']).toEqual([
    { type: 'repository', name: 'team-a/app', actions: ['pull'] },
  ]);
  expect(welcomed.status).toBe(200);
  expect(registry.accepts('builder', token)).toBe(true);
  expect(registry.accepts('somebody', token)).toBe(false);
  await clock.advance(300_000);
  expect(await send(`${registry.url}/v2/`, `Bearer ${bearer}`)).toMatchObject({
    status: 401,
    challenge: expect.stringContaining('error="invalid_token"'),
  });
  await clock.advance(3300_000);
  expect(registry.accepts('builder', token)).toBe(false);
});

test('without a scope the login alone is tried, and nothing is granted', async () => {
  const { stack, ask } = await createWorld();
  await using _stack = stack;

  const { status, body } = await ask();

  expect(status).toBe(200);
  expect(decodeJwt(String(body['token']))['access']).toEqual([]);
});

const wrongTokens: Record<string, TokenWishes> = {
  'of another issuer': { claims: { iss: 'https://elsewhere.example' } },
  'for another audience': { claims: { aud: ['https://other.example'] } },
  'of another account': { claims: { sub: 'system:serviceaccount:team-b:builder' } },
  'that has expired': { claims: { exp: 1_000_000 } },
  'signed with an unknown key': { header: { kid: 'unknown' } },
};

test.for(Object.entries(wrongTokens))(
  'the realm refuses a token %s, with a Basic challenge',
  async ([, wishes]) => {
    const { registry, issuer, stack, ask } = await createWorld();
    await using _stack = stack;

    const answer = await ask(undefined, undefined, wishes);

    expect(answer).toMatchObject({ status: 401, challenge: 'Basic realm="token realm"' });
    expect(registry.accepts('builder', await issuer.token(wishes))).toBe(false);
  },
);

test('the realm refuses another user, no user, no login and a bearer', async () => {
  const { issuer, registry, stack, send, ask } = await createWorld({ username: 'builder' });
  await using _stack = stack;
  const url = `${registry.realm}?service=${SERVICE}`;

  expect((await ask(undefined, 'somebody')).status).toBe(401);
  expect((await ask(undefined, '')).status).toBe(401);
  expect((await send(url)).status).toBe(401);
  expect((await send(url, `Bearer ${await issuer.token()}`)).status).toBe(401);
});

test.for([
  ['a scope without actions', `service=${SERVICE}&scope=repository:team-a/app`],
  ['a scope with an empty name', `service=${SERVICE}&scope=repository::pull`],
  ['one malformed scope among good ones', `service=${SERVICE}&scope=${PULL}&scope=nonsense`],
  ['another service', 'service=other'],
  ['no service', `scope=${PULL}`],
  ['another account', `service=${SERVICE}&account=somebody`],
  ['an unknown field', `service=${SERVICE}&grant_type=password`],
] as const)('the realm calls %s malformed', async ([, query]) => {
  const { stack, ask } = await createWorld();
  await using _stack = stack;

  expect((await ask(query)).status).toBe(400);
});

test('what is no pull of a repository is not granted, and is no error', async () => {
  const { stack, ask } = await createWorld();
  await using _stack = stack;

  const scopes = `scope=registry:catalog:pull&scope=repository:team-a/app:push&scope=${PULL}`;
  const { status, body } = await ask(`service=${SERVICE}&${scopes}`);

  const access = [{ type: 'repository', name: 'team-a/app', actions: ['pull'] }];
  expect(status).toBe(200);
  expect(decodeJwt(String(body['token']))['access']).toEqual(access);
});

test('a scope may name a registry with a port, and a class', async () => {
  const { stack, ask } = await createWorld();
  await using _stack = stack;

  const { body } = await ask(`service=${SERVICE}&scope=repository(plugin):a.example:5000/app:pull`);

  const access = [{ type: 'repository', class: 'plugin', name: 'a.example:5000/app', actions: ['pull'] }];
  expect(decodeJwt(String(body['token']))['access']).toEqual(access);
});

test('who posts finds nothing', async () => {
  const { registry, stack, send } = await createWorld();
  await using _stack = stack;

  expect((await send(registry.realm, undefined, 'POST')).status).toBe(404);
  expect((await send(`${registry.url}/v1/`)).status).toBe(404);
});

test('the realm can be on another host', async () => {
  const { registry, stack, send } = await createWorld();
  await using _stack = stack;
  registry.realm = 'https://elsewhere.example/token';

  expect((await send(`${registry.url}/v2/`)).challenge).toContain('realm="https://elsewhere.example/token"');
});

test.for([
  ['missing', 'missing', undefined],
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), -3600],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), 3_155_673_600],
] as const)("the bearer's expiry can be %s", async ([, expiry, expiresIn]) => {
  const { registry, stack, ask } = await createWorld();
  await using _stack = stack;
  registry.expiry = expiry;

  expect((await ask()).body['expires_in']).toBe(expiresIn);
});

test('any error can be forced on either half', async () => {
  const { registry, stack, send, ask } = await createWorld();
  await using _stack = stack;
  registry.refuseWith = {
    registry: { status: 503 },
    realm: { status: 403, body: { errors: [{ code: 'DENIED' }] } },
  };

  expect((await send(`${registry.url}/v2/`)).status).toBe(503);
  expect((await ask()).body).toEqual({ errors: [{ code: 'DENIED' }] });
});
