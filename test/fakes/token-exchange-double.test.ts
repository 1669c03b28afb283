// The double of an OAuth token service, tried by hand: RFC 8693 and its siblings, form and JSON.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';
import {
  createTokenExchangeDouble,
  oauthRefusal,
  type TokenExchangeOptions,
} from './token-exchange-double.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const TARGET = {
  subject_token_type: JWT,
  audience: 'registry',
  resource: 'https://a.example/',
  scope: 'pull',
};

async function createWorld(options: Partial<TokenExchangeOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const service = stack.use(await createTokenExchangeDouble({ clock, trust, ...options }));

  async function send(
    body: string,
    headers: Record<string, string> = FORM,
    url = service.tokenUrl,
    method = 'POST',
  ) {
    const asked = request(url, { method, headers, ca: service.certificateAuthorityPem });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const parsed = JSON.parse((await text(answer)) || '{}') as Record<string, unknown>;
    return { status: answer.statusCode, body: parsed };
  }
  async function exchange(
    changes: Record<string, string> = {},
    wishes?: TokenWishes,
    headers = {},
    url = service.tokenUrl,
  ) {
    const token = await issuer.token(wishes);
    const fields = { grant_type: GRANT, subject_token: token, subject_token_type: JWT, ...changes };
    return await send(new URLSearchParams(fields).toString(), { ...FORM, ...headers }, url);
  }
  return { clock, issuer, service, stack, send, exchange };
}

test('a ServiceAccount token becomes a registry token for an hour', async () => {
  const { clock, service, stack, exchange } = await createWorld();
  await using _stack = stack;

  const { status, body } = await exchange();

  expect(status).toBe(200);
  expect(body).toMatchObject({
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 3600,
  });
  const password = String(body['access_token']);
  expect(decodeJwt(password)).toMatchObject({ sub: 'builder', exp: clock.now() / 1000 + 3600 });
  expect(service.accepts('builder', password)).toBe(true);
  expect(service.accepts('somebody', password)).toBe(false);
  expect(service.accepts('builder', 'invented')).toBe(false);
  await clock.advance(3600_000);
  expect(service.accepts('builder', password)).toBe(false);
});

test('the assertion of RFC 7523 is traded too', async () => {
  const { issuer, stack, send } = await createWorld({ grant: 'jwt-bearer' });
  await using _stack = stack;
  const grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
  const form = async (wishes?: TokenWishes) =>
    new URLSearchParams({ grant_type, assertion: await issuer.token(wishes) }).toString();

  expect((await send(await form())).status).toBe(200);
  expect(await send(await form({ claims: { sub: 'x' } }))).toMatchObject({
    status: 400,
    body: { error: 'invalid_grant' },
  });
});

test('the token can be the proof of the client', async () => {
  const { issuer, stack, send } = await createWorld({ grant: 'client-credentials' });
  await using _stack = stack;
  const form = async (wishes?: TokenWishes) =>
    new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await issuer.token(wishes),
    }).toString();

  expect((await send(await form())).status).toBe(200);
  expect(await send(await form({ claims: { aud: ['x'] } }))).toMatchObject({
    status: 401,
    body: { error: 'invalid_client' },
  });
});

test('where JSON is configured, JSON it must be, with lists for what is repeated', async () => {
  const audience = ['one', 'two'];
  const fields = { subject_token_type: JWT, audience };
  const { issuer, stack, send, exchange } = await createWorld({ encoding: 'json', fields });
  await using _stack = stack;
  const good = { grant_type: GRANT, subject_token: await issuer.token(), subject_token_type: JWT, audience };
  const json = { 'content-type': 'application/json' };

  expect((await send(JSON.stringify(good), json)).status).toBe(200);
  expect((await send(JSON.stringify({ ...good, audience: 'one' }), json)).body['error']).toBe(
    'invalid_target',
  );
  expect((await send('[]', json)).body['error']).toBe('invalid_request');
  expect((await exchange()).body['error']).toBe('invalid_request');
});

test('a repeated field is expected as often as it is configured', async () => {
  const { issuer, stack, send, exchange } = await createWorld({
    fields: { ...TARGET, resource: ['a:b', 'c:d'] },
  });
  await using _stack = stack;
  const form = new URLSearchParams({ grant_type: GRANT, subject_token: await issuer.token(), ...TARGET });
  form.set('resource', 'a:b');
  form.append('resource', 'c:d');

  expect((await send(form.toString())).status).toBe(200);
  expect((await exchange({ ...TARGET, resource: 'a:b' })).body['error']).toBe('invalid_target');
});

const wrongFields: Record<string, [Record<string, string>, string]> = {
  audience: [{ audience: 'other' }, 'invalid_target'],
  resource: [{ resource: 'https://b.example/' }, 'invalid_target'],
  scope: [{ scope: 'push' }, 'invalid_scope'],
  'type of subject token': [{ subject_token_type: `${JWT}x` }, 'invalid_request'],
  'grant type': [{ grant_type: 'password' }, 'unsupported_grant_type'],
  'client id': [{ client_id: 'somebody' }, 'invalid_client'],
  field: [{ requested_token_type: JWT }, 'invalid_request'],
};

test.for(Object.entries(wrongFields))(
  'another %s than what is configured is refused',
  async ([, [wrong, error]]) => {
    const { stack, exchange } = await createWorld({ fields: TARGET });
    await using _stack = stack;

    expect((await exchange(TARGET)).status).toBe(200);
    expect((await exchange({ ...TARGET, ...wrong })).body['error']).toBe(error);
  },
);

test('what is configured may not be left out, and nothing may stand twice', async () => {
  const { issuer, stack, send, exchange } = await createWorld({ fields: TARGET });
  await using _stack = stack;
  const token = await issuer.token();
  const form = new URLSearchParams({ grant_type: GRANT, subject_token: token, ...TARGET }).toString();

  expect((await exchange()).body['error']).toBe('invalid_target');
  expect((await send(`${form}&subject_token=${token}`)).body['error']).toBe('invalid_request');
});

const wrongTokens: Record<string, TokenWishes> = {
  'of another issuer': { claims: { iss: 'https://elsewhere.example' } },
  'for another audience': { claims: { aud: ['https://other.example'] } },
  'of another account': { claims: { sub: 'system:serviceaccount:team-b:builder' } },
  'that has expired': { claims: { exp: 1_000_000 } },
  'signed with an unknown key': { header: { kid: 'unknown' } },
};

test.for(Object.entries(wrongTokens))('a token %s is refused', async ([, wishes]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect(await exchange({}, wishes)).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
});

test('an Authorization header, another type, fields in the query, another path and GET are refused', async () => {
  const { service, stack, send, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({}, {}, { authorization: 'Basic eDp5' })).status).toBe(400);
  expect((await exchange({}, {}, { 'content-type': 'text/plain' })).status).toBe(400);
  expect((await exchange({}, {}, {}, `${service.tokenUrl}?scope=pull`)).status).toBe(400);
  expect((await send('', FORM, `${service.url}/token`)).status).toBe(404);
  expect((await send('', {}, service.tokenUrl, 'GET')).status).toBe(405);
});

test('a token that is not an access token says so, and may be opaque and without any expiry', async () => {
  const { service, stack, exchange } = await createWorld();
  await using _stack = stack;
  Object.assign(service, { token: 'opaque', tokenType: 'N_A', expiry: 'missing', username: 'a:b\u0007' });
  service.extra = { refresh_token: 'never store me' };

  const { body } = await exchange();

  expect(body).toMatchObject({ token_type: 'N_A', refresh_token: 'never store me' });
  expect(body).not.toHaveProperty('expires_in');
  expect(body['access_token']).not.toContain('.');
  expect(service.accepts('a:b\u0007', String(body['access_token']))).toBe(true);
});

test('the expiry can stand in the token alone', async () => {
  const { service, stack, exchange } = await createWorld();
  await using _stack = stack;
  service.hasExpiresIn = false;

  const { body } = await exchange();

  expect(body).not.toHaveProperty('expires_in');
  expect(decodeJwt(String(body['access_token'])).exp).toBeTypeOf('number');
});

test.for([
  ['in the past', '2026-11-21T11:00:00Z', -3600, false],
  ['in 2126', '2126-11-21T12:00:00Z', 3_155_673_600, true],
] as const)('a token can expire %s', async ([, expiresAt, expiresIn, isAccepted]) => {
  const { service, stack, exchange } = await createWorld();
  await using _stack = stack;
  service.expiry = Date.parse(expiresAt);

  const { body } = await exchange();

  expect(body['expires_in']).toBe(expiresIn);
  expect(service.accepts('builder', String(body['access_token']))).toBe(isAccepted);
});

test('any error can be forced', async () => {
  const { service, stack, exchange } = await createWorld();
  await using _stack = stack;
  service.refuseWith = oauthRefusal('temporarily_unavailable');

  expect(await exchange()).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
  service.refuseWith = undefined;
  expect((await exchange()).status).toBe(200);
});
