// The double of Quay's robot federation, tried by hand.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { decodeJwt, generateKeyPair } from 'jose';
import { expect, test } from 'vitest';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';
import { createQuayDouble, quayRefusal } from './quay-double.ts';

const ROBOT = 'team_a+builder';

async function createWorld(algorithm: 'RS256' | 'ES256' = 'RS256') {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock, algorithm }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: 'never looked at', subjects, clock };
  const quay = stack.use(await createQuayDouble({ clock, trust, robot: ROBOT, plainRobot: 'team_a+plain' }));

  async function send(authorization?: string, method = 'GET', path = '/oauth2/federation/robot/token') {
    const headers = { accept: 'application/json', ...(authorization !== undefined && { authorization }) };
    const asked = request(`${quay.url}${path}`, { method, headers, ca: quay.certificateAuthorityPem });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const body = JSON.parse((await text(answer)) || '{}') as Record<string, unknown>;
    return { status: answer.statusCode, body };
  }
  const basic = (user: string, password: string) =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const exchange = async (wishes?: TokenWishes, robot = ROBOT) =>
    await send(basic(robot, await issuer.token(wishes)));
  return { clock, issuer, quay, stack, send, basic, exchange };
}

test("a ServiceAccount token becomes the robot's login for an hour", async () => {
  const { clock, quay, stack, exchange } = await createWorld();
  await using _stack = stack;

  const { status, body } = await exchange();

  expect(status).toBe(200);
  expect(Object.keys(body)).toEqual(['token']);
  const password = String(body['token']);
  expect(decodeJwt(password).exp).toBe(clock.now() / 1000 + 3600);
  expect(quay.accepts(ROBOT, password)).toBe(true);
  expect(quay.accepts('team_a+plain', password)).toBe(false);
  expect(quay.accepts(ROBOT, 'invented')).toBe(false);
  await clock.advance(3600_000);
  expect(quay.accepts(ROBOT, password)).toBe(false);
});

test('the audience is not looked at', async () => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect((await exchange({ claims: { aud: ['https://anything.example'] } })).status).toBe(200);
});

test('a token signed with RS384 is let in', async () => {
  const { issuer, stack, exchange } = await createWorld();
  await using _stack = stack;
  const { privateKey, publicKey } = await generateKeyPair('RS384', { extractable: true });
  const jwk = { ...(await crypto.subtle.exportKey('jwk', publicKey)), kid: 'third', use: 'sig' };
  Object.defineProperty(issuer, 'publishedKeys', { value: [jwk] });

  expect((await exchange({ signWith: privateKey, header: { alg: 'RS384', kid: 'third' } })).status).toBe(200);
});

test('half a minute after its end a token is still let in, and no longer', async () => {
  const { clock, stack, exchange } = await createWorld();
  await using _stack = stack;
  const now = clock.now() / 1000;

  expect((await exchange({ claims: { exp: now - 29 } })).status).toBe(200);
  expect((await exchange({ claims: { exp: now - 31 } })).body['message']).toContain('Signature has expired');
});

const refused: Record<string, [TokenWishes, string]> = {
  'of another issuer': [
    { claims: { iss: 'https://elsewhere.example' } },
    'issuer is not configured for this robot',
  ],
  'of another subject': [{ claims: { sub: 'somebody' } }, 'Token does not match robot'],
  'signed with an unknown key': [
    { header: { kid: 'unknown' } },
    'Invalid token: Signature verification failed',
  ],
  'without an expiry': [{ claims: { exp: undefined } }, 'Invalid token: Token is missing a required claim'],
  'without an issue time': [
    { claims: { iat: undefined } },
    'Invalid token: Token is missing a required claim',
  ],
};

test.for(Object.entries(refused))('a token %s is refused', async ([, [wishes, message]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  expect(await exchange(wishes)).toEqual({ status: 400, body: { message } });
});

test('a token signed with an elliptic curve is refused', async () => {
  const { stack, exchange } = await createWorld('ES256');
  await using _stack = stack;

  expect((await exchange()).body['message']).toBe('Invalid token: The specified alg value is not allowed');
});

test('a bearer, no header, and a name that is no robot are unauthorized', async () => {
  const { issuer, stack, send, exchange } = await createWorld();
  await using _stack = stack;

  const unread = { status: 401, body: { error: 'Invalid basic auth credential format' } };
  expect(await send(`Bearer ${await issuer.token()}`)).toEqual(unread);
  expect(await send()).toEqual(unread);
  expect(await exchange({}, 'builder')).toEqual({ status: 401, body: { error: 'Invalid robot' } });
});

test('a robot that is unknown or trusts nobody is refused', async () => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  const unknown = await exchange({}, 'team_a+other');
  const plain = await exchange({}, 'team_a+plain');

  expect(unknown.body['message']).toContain('Could not find robot with specified username');
  expect(plain).toEqual(quayRefusal('Robot does not have federated login configured'));
});

test('what is no token at all breaks Quay', async () => {
  const { stack, send, basic } = await createWorld();
  await using _stack = stack;

  expect((await send(basic(ROBOT, 'nonsense'))).status).toBe(500);
});

test('another method and another path are refused', async () => {
  const { stack, send } = await createWorld();
  await using _stack = stack;

  expect((await send(undefined, 'POST')).status).toBe(405);
  expect((await send(undefined, 'GET', '/oauth2/token')).status).toBe(404);
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), false],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), true],
  ['missing', 'missing', true],
] as const)('the expiry of what it issues can be %s', async ([, expiry, isAccepted]) => {
  const { quay, stack, exchange } = await createWorld();
  await using _stack = stack;
  quay.expiry = expiry;

  const password = String((await exchange()).body['token']);

  expect(decodeJwt(password).exp).toBe(expiry === 'missing' ? undefined : expiry / 1000);
  expect(quay.accepts(ROBOT, password)).toBe(isAccepted);
});

test('any error can be forced', async () => {
  const { quay, stack, exchange } = await createWorld();
  await using _stack = stack;
  quay.refuseWith = { status: 429, headers: { 'retry-after': '7' }, body: { error: 'slow_down' } };

  expect(await exchange()).toEqual({ status: 429, body: { error: 'slow_down' } });
});
