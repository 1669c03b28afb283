// The double of Chainguard's token issuer, tried by hand.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { createChainguardDouble, rpcRefusal } from './chainguard-double.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const IDENTITY = '5c1d0e7a9b/3f2e1d0c';

async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock, audience: 'https://issuer.enforce.dev' }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const chainguard = stack.use(await createChainguardDouble({ clock, trust, identity: IDENTITY }));

  async function send(path: string, body: string, headers: Record<string, string>, method = 'POST') {
    const ca = chainguard.certificateAuthorityPem;
    const asked = request(`${chainguard.url}${path}`, { method, headers, ca });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const parsed = JSON.parse((await text(answer)) || '{}') as Record<string, unknown>;
    return { status: answer.statusCode, body: parsed };
  }
  async function exchange(changes: Record<string, string> = {}, wishes?: TokenWishes) {
    const form = new URLSearchParams({ aud: 'cgr.dev', identity: IDENTITY, ...changes });
    const authorization = `Bearer ${await issuer.token(wishes)}`;
    return await send('/sts/exchange', form.toString(), { ...FORM, authorization });
  }
  return { clock, issuer, chainguard, stack, send, exchange };
}

test('a ServiceAccount token becomes a token for an hour', async () => {
  const { clock, chainguard, stack, exchange } = await createWorld();
  await using _stack = stack;

  const { status, body } = await exchange();

  expect(status).toBe(200);
  expect(body).toEqual({ token: expect.any(String), expiry: '2026-11-21T13:00:00Z' });
  const password = String(body['token']);
  expect(decodeJwt(password)).toMatchObject({ aud: 'cgr.dev', exp: clock.now() / 1000 + 3600 });
  expect(chainguard.accepts('_token', password)).toBe(true);
  expect(chainguard.accepts('token', password)).toBe(false);
  expect(chainguard.accepts('_token', 'invented')).toBe(false);
  await clock.advance(3600_000);
  expect(chainguard.accepts('_token', password)).toBe(false);
});

test('the fields may stand in the query', async () => {
  const { issuer, stack, send } = await createWorld();
  await using _stack = stack;
  const path = `/sts/exchange?${new URLSearchParams({ aud: 'cgr.dev', identity: IDENTITY }).toString()}`;

  expect((await send(path, '', { authorization: `Bearer ${await issuer.token()}` })).status).toBe(200);
});

const wrongTokens: Record<string, [TokenWishes, number, number]> = {
  'of another issuer': [{ claims: { iss: 'https://elsewhere.example' } }, 403, 7],
  'for another audience': [{ claims: { aud: ['cgr.dev'] } }, 403, 7],
  'of another account': [{ claims: { sub: 'system:serviceaccount:team-b:builder' } }, 403, 7],
  'that has expired': [{ claims: { exp: 1_000_000 } }, 401, 16],
  'signed with an unknown key': [{ header: { kid: 'unknown' } }, 401, 16],
};

test.for(Object.entries(wrongTokens))('a token %s is refused', async ([, [wishes, status, code]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect(await exchange({}, wishes)).toMatchObject({ status, body: { code, details: [] } });
});

const wrongFields: Record<string, [Record<string, string>, number]> = {
  'another identity': [{ identity: '5c1d0e7a9b/other' }, 403],
  'another audience': [{ aud: 'docker.io' }, 400],
  'an unknown field': [{ scope: 'pull' }, 400],
};

test.for(Object.entries(wrongFields))('%s is refused', async ([, [fields, status]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange(fields)).status).toBe(status);
});

test('no bearer, no identity, a repeated field, JSON, GET and another path are refused', async () => {
  const { issuer, stack, send } = await createWorld();
  await using _stack = stack;
  const authorization = `Bearer ${await issuer.token()}`;
  const good = new URLSearchParams({ aud: 'cgr.dev', identity: IDENTITY }).toString();
  const headers = { ...FORM, authorization };
  const bare = await send('/sts/exchange', good, FORM);

  expect(bare).toMatchObject({ status: 401, body: { message: 'missing bearer token' } });
  expect((await send('/sts/exchange', good, { ...FORM, authorization: 'Basic eDp5' })).status).toBe(401);
  expect((await send('/sts/exchange', 'aud=cgr.dev', headers)).status).toBe(400);
  expect((await send('/sts/exchange?aud=cgr.dev', good, headers)).status).toBe(400);
  expect((await send('/sts/exchange', good, { ...headers, 'content-type': 'application/json' })).status).toBe(
    400,
  );
  expect((await send('/sts/exchange', '', headers, 'GET')).status).toBe(405);
  expect((await send('/sts/exchange/', good, headers)).status).toBe(404);
});

test('the expiry can have nanoseconds, and a refresh token can come with it', async () => {
  const { chainguard, stack, exchange } = await createWorld();
  await using _stack = stack;
  Object.assign(chainguard, { fractionDigits: 9, hasRefreshToken: true });

  const { body } = await exchange();

  expect(body).toMatchObject({ expiry: '2026-11-21T13:00:00.000999999Z', refreshToken: expect.any(String) });
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), '2026-11-21T11:00:00Z', false],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), '2126-11-21T12:00:00Z', true],
  ['missing', 'missing', undefined, true],
] as const)('the expiry can be %s', async ([, expiry, said, isAccepted]) => {
  const { chainguard, stack, exchange } = await createWorld();
  await using _stack = stack;
  chainguard.expiry = expiry;

  const { body } = await exchange();

  const password = String(body['token']);
  expect(body['expiry']).toBe(said);
  expect(decodeJwt(password).exp).toBe(expiry === 'missing' ? undefined : expiry / 1000);
  expect(chainguard.accepts('_token', password)).toBe(isAccepted);
});

test('any error can be forced', async () => {
  const { chainguard, stack, exchange } = await createWorld();
  await using _stack = stack;
  chainguard.refuseWith = rpcRefusal(14, 'unavailable');

  expect(await exchange()).toMatchObject({ status: 503, body: { code: 14, message: 'unavailable' } });
});
