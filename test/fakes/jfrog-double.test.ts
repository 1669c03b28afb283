// The double of JFrog's OIDC token exchange, tried by hand.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';
import { createJfrogDouble, jfrogRefusal } from './jfrog-double.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const PATH = '/access/api/v1/oidc/token';

async function createWorld(fields?: Record<string, string>) {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const options = { clock, trust, providerName: 'team-cluster', ...(fields && { fields }) };
  const jfrog = stack.use(await createJfrogDouble(options));

  async function send(
    body: string,
    headers: Record<string, string> = JSON_TYPE,
    method = 'POST',
    path = PATH,
  ) {
    const asked = request(`${jfrog.url}${path}`, { method, headers, ca: jfrog.certificateAuthorityPem });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const parsed = JSON.parse((await text(answer)) || '{}') as Record<string, unknown>;
    return { status: answer.statusCode, body: parsed };
  }
  async function exchange(
    changes: Record<string, unknown> = {},
    wishes?: TokenWishes,
    headers = {},
    path = PATH,
  ) {
    const good = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      subject_token: await issuer.token(wishes),
      provider_name: 'team-cluster',
    };
    return await send(JSON.stringify({ ...good, ...changes }), { ...JSON_TYPE, ...headers }, 'POST', path);
  }
  return { clock, jfrog, stack, send, exchange };
}

test('a ServiceAccount token becomes an access token of a user', async () => {
  const { clock, jfrog, stack, exchange } = await createWorld();
  await using _stack = stack;

  const { status, body } = await exchange();

  expect(status).toBe(200);
  expect(body).toMatchObject({
    token_type: 'Bearer',
    expires_in: 3600,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    scope: 'applied-permissions/user',
    username: 'builder',
  });
  const password = String(body['access_token']);
  const exp = clock.now() / 1000 + 3600;
  expect(decodeJwt(password)).toMatchObject({ sub: 'jfac@01hexample/users/builder', aud: '*@*', exp });
  expect(jfrog.accepts('builder', password)).toBe(true);
  expect(jfrog.accepts('somebody', password)).toBe(false);
  expect(jfrog.accepts('builder', 'invented')).toBe(false);
  await clock.advance(3600_000);
  expect(jfrog.accepts('builder', password)).toBe(false);
});

test('the user can stand in the token alone, and be called anything', async () => {
  const { jfrog, stack, exchange } = await createWorld();
  await using _stack = stack;
  Object.assign(jfrog, { namesUser: 'in-token', username: 'a:b\u0007', subjectPrefix: 'jfrt@01h/' });

  const { body } = await exchange();

  expect(body).not.toHaveProperty('username');
  expect(decodeJwt(String(body['access_token'])).sub).toBe('jfrt@01h/a:b\u0007');
  expect(jfrog.accepts('a:b\u0007', String(body['access_token']))).toBe(true);
});

test('optional fields are wanted as configured, and not one more', async () => {
  const fields = { project_key: 'team-a', identity_mapping_name: 'pull', include_reference_token: 'true' };
  const { stack, exchange } = await createWorld({ ...fields, audience: 'jfrt@*' });
  await using _stack = stack;
  const good = { ...fields, audience: 'jfrt@*', provider_type: 'Generic OpenID Connect' };

  const { body } = await exchange(good);

  expect(decodeJwt(String(body['access_token'])).aud).toBe('jfrt@*');
  expect(body['reference_token']).toBeTypeOf('string');
  expect((await exchange({ ...good, project_key: 'team-b' })).status).toBe(400);
  expect((await exchange({ ...good, application_key: 'x' })).status).toBe(400);
  expect((await exchange({ ...good, project_key: undefined })).status).toBe(400);
  expect((await exchange({ ...good, provider_type: 'GitHub' })).status).toBe(400);
});

const wrongFields: Record<string, [Record<string, unknown>, number]> = {
  'another provider': [{ provider_name: 'other' }, 404],
  'no provider': [{ provider_name: undefined }, 400],
  'another grant type': [{ grant_type: 'password' }, 400],
  'another type of token': [{ subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }, 400],
  'no token': [{ subject_token: undefined }, 400],
  'an optional field that is not configured': [{ project_key: 'team-a' }, 400],
  'an unknown field': [{ scope: 'pull' }, 400],
};

test.for(Object.entries(wrongFields))('%s is refused', async ([, [fields, status]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  const answer = await exchange(fields);

  expect(answer).toMatchObject({ status, body: { errors: [{ code: expect.any(String) }] } });
});

const wrongTokens: Record<string, [TokenWishes, number]> = {
  'of another issuer': [{ claims: { iss: 'https://elsewhere.example' } }, 401],
  'for another audience': [{ claims: { aud: ['https://other.example'] } }, 403],
  'of another account': [{ claims: { sub: 'system:serviceaccount:team-b:builder' } }, 403],
  'that has expired': [{ claims: { exp: 1_000_000 } }, 401],
  'signed with an unknown key': [{ header: { kid: 'unknown' } }, 401],
};

test.for(Object.entries(wrongTokens))('a token %s is refused', async ([, [wishes, status]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({}, wishes)).status).toBe(status);
});

test('an Authorization header, a form, broken JSON, fields in the query, GET and another path are refused', async () => {
  const { stack, send, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({}, {}, { authorization: 'Bearer x' })).status).toBe(400);
  expect((await exchange({}, {}, { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415);
  expect((await send('{')).status).toBe(400);
  expect((await exchange({}, {}, {}, `${PATH}?provider_name=team-cluster`)).status).toBe(400);
  expect((await send('', {}, 'GET')).status).toBe(405);
  expect((await send('{}', JSON_TYPE, 'POST', '/access/api/v1/tokens')).status).toBe(404);
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), -3600, false],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), 3_155_673_600, true],
  ['missing', 'missing', undefined, true],
] as const)('the expiry can be %s', async ([, expiry, expiresIn, isAccepted]) => {
  const { jfrog, stack, exchange } = await createWorld();
  await using _stack = stack;
  jfrog.expiry = expiry;

  const { body } = await exchange();

  const password = String(body['access_token']);
  expect(body['expires_in']).toBe(expiresIn);
  expect(decodeJwt(password).exp).toBe(expiry === 'missing' ? undefined : expiry / 1000);
  expect(jfrog.accepts('builder', password)).toBe(isAccepted);
});

test('the answer can promise another life than the token has', async () => {
  const { jfrog, stack, exchange } = await createWorld();
  await using _stack = stack;
  jfrog.extra = { expires_in: 60 };

  expect((await exchange()).body['expires_in']).toBe(60);
});

test('any error can be forced', async () => {
  const { jfrog, stack, exchange } = await createWorld();
  await using _stack = stack;
  jfrog.refuseWith = jfrogRefusal(500, 'INTERNAL', 'out of order');

  expect(await exchange()).toMatchObject({ status: 500, body: { errors: [{ message: 'out of order' }] } });
});
