// The double of Cloudsmith's OIDC exchange, tried by hand.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { cloudsmithRefusal, createCloudsmithDouble } from './cloudsmith-double.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const PATH = '/openid/team-a/';

async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const options = { clock, trust, organisation: 'team-a', serviceSlug: 'puller-x1y2' };
  const cloudsmith = stack.use(await createCloudsmithDouble(options));

  async function send(
    body: string,
    headers: Record<string, string> = JSON_TYPE,
    method = 'POST',
    path = PATH,
  ) {
    const ca = cloudsmith.certificateAuthorityPem;
    const asked = request(`${cloudsmith.url}${path}`, { method, headers, ca });
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
    const good = { oidc_token: await issuer.token(wishes), service_slug: 'puller-x1y2' };
    return await send(JSON.stringify({ ...good, ...changes }), { ...JSON_TYPE, ...headers }, 'POST', path);
  }
  return { clock, cloudsmith, stack, send, exchange };
}

test('a ServiceAccount token becomes a token, with status 201', async () => {
  const { clock, cloudsmith, stack, exchange } = await createWorld();
  await using _stack = stack;

  const { status, body } = await exchange();

  expect(status).toBe(201);
  expect(Object.keys(body)).toEqual(['token']);
  const password = String(body['token']);
  expect(decodeJwt(password).exp).toBe(clock.now() / 1000 + 7200);
  expect(cloudsmith.accepts('token', password)).toBe(true);
  expect(cloudsmith.accepts('puller-x1y2', password)).toBe(false);
  expect(cloudsmith.accepts('token', 'invented')).toBe(false);
  await clock.advance(7200_000);
  expect(cloudsmith.accepts('token', password)).toBe(false);
});

test('the newer path and status 200 are known too', async () => {
  const { cloudsmith, stack, exchange } = await createWorld();
  await using _stack = stack;
  cloudsmith.successStatus = 200;

  expect((await exchange({}, {}, {}, '/v2/openid/team-a')).status).toBe(200);
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

  expect(await exchange({}, wishes)).toMatchObject({ status, body: { detail: expect.any(String) } });
});

test('another service is not found, and neither is another organisation', async () => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({ service_slug: 'other' })).status).toBe(404);
  expect((await exchange({}, {}, {}, '/openid/team-b/')).status).toBe(404);
  expect((await exchange({}, {}, {}, '/openid/team-a')).status).toBe(404);
});

test('missing and unknown fields are named', async () => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  const missing = await exchange({ oidc_token: undefined });
  const unknown = await exchange({ audience: 'x' });

  expect(missing).toEqual({ status: 422, body: { oidc_token: ['This field is required.'] } });
  expect(unknown).toEqual({ status: 422, body: { audience: ['Unknown field.'] } });
});

test('an Authorization header, a form, broken JSON, fields in the query and GET are refused', async () => {
  const { stack, send, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({}, {}, { authorization: 'Bearer x' })).status).toBe(400);
  expect((await exchange({}, {}, { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415);
  expect((await send('{')).status).toBe(400);
  expect((await exchange({}, {}, {}, `${PATH}?service_slug=puller-x1y2`)).status).toBe(400);
  expect((await send('', {}, 'GET')).status).toBe(405);
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), false],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), true],
  ['missing', 'missing', true],
] as const)('the expiry of what it issues can be %s', async ([, expiry, isAccepted]) => {
  const { cloudsmith, stack, exchange } = await createWorld();
  await using _stack = stack;
  cloudsmith.expiry = expiry;

  const password = String((await exchange()).body['token']);

  expect(decodeJwt(password).exp).toBe(expiry === 'missing' ? undefined : expiry / 1000);
  expect(cloudsmith.accepts('token', password)).toBe(isAccepted);
});

test('any error can be forced', async () => {
  const { cloudsmith, stack, exchange } = await createWorld();
  await using _stack = stack;
  cloudsmith.refuseWith = cloudsmithRefusal(429, 'Slow down.');

  expect(await exchange()).toEqual({ status: 429, body: { detail: 'Slow down.' } });
});
