// The double of Google's token exchange, tried with Google's own client, and by hand where that would not go wrong.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { json } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { IdentityPoolClient } from 'google-auth-library';
import { generateKeyPair } from 'jose';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createGoogleDouble } from './google-double.ts';
import { createHandClock } from './hand-clock.ts';

const PROVIDER = 'projects/123456789/locations/global/workloadIdentityPools/pool/providers/cluster';
const EMAIL = 'puller@team.iam.gserviceaccount.com';
const CLOSED_EMAIL = 'closed@team.iam.gserviceaccount.com';
const SUBJECT = 'system:serviceaccount:team-a:builder';
const LONG_SUBJECT = `system:serviceaccount:${'n'.repeat(60)}:${'s'.repeat(45)}`;
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const URN = 'urn:ietf:params:oauth';

/** Google's client goes by the machine's clock: the double's starts there, and is moved by hand. */
async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock(systemClock.now());
  const issuer = stack.use(
    await createFakeIssuer({ clock, audience: `https://iam.googleapis.com/${PROVIDER}` }),
  );
  const trust = { issuer, subjects: [SUBJECT, LONG_SUBJECT], clock };
  const serviceAccounts = { [EMAIL]: {}, [CLOSED_EMAIL]: { impersonators: [] } };
  const google = stack.use(await createGoogleDouble({ clock, trust, provider: PROVIDER, serviceAccounts }));
  // Google's client makes a second client of its own for the exchange, and no option reaches it.
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, google.certificateAuthorityPem]);
  stack.defer(() => setDefaultCACertificates(before));

  const pathFor = (email: string) => `/v1/projects/-/serviceAccounts/${email}:generateAccessToken`;
  function client(email?: string, wishes?: TokenWishes, more: { audience?: string; scopes?: string[] } = {}) {
    return new IdentityPoolClient({
      type: 'external_account',
      audience: `//iam.googleapis.com/${PROVIDER}`,
      subject_token_type: `${URN}:token-type:jwt`,
      token_url: `${google.url}/v1/token`,
      subject_token_supplier: { getSubjectToken: async () => await issuer.token(wishes) },
      ...(email !== undefined && { service_account_impersonation_url: `${google.url}${pathFor(email)}` }),
      ...more,
    });
  }
  async function post(path: string, body: string, headers: Record<string, string>, method = 'POST') {
    const ca = google.certificateAuthorityPem;
    const asked = request(`${google.url}${path}`, { ca, method, headers });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: answer.statusCode, body: (await json(answer)) as Record<string, never> };
  }
  async function exchange(changes: Record<string, string> = {}, wishes?: TokenWishes, headers = {}) {
    const fields = {
      grant_type: `${URN}:grant-type:token-exchange`,
      audience: `//iam.googleapis.com/${PROVIDER}`,
      scope: SCOPE,
      requested_token_type: `${URN}:token-type:access_token`,
      subject_token_type: `${URN}:token-type:jwt`,
      subject_token: await issuer.token(wishes),
      ...changes,
    };
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    return await post('/v1/token', new URLSearchParams(fields).toString(), { ...type, ...headers });
  }
  async function impersonate(changes: Record<string, unknown> = {}, more: Record<string, string> = {}) {
    const { email = EMAIL, ...headers } = more;
    const bearer = headers['authorization'] ?? `Bearer ${(await exchange()).body['access_token']}`;
    const type = { 'content-type': 'application/json' };
    const body = JSON.stringify({ scope: [SCOPE], lifetime: '3600s', ...changes });
    return await post(pathFor(email), body, { ...type, ...headers, authorization: bearer });
  }
  return {
    clock,
    issuer,
    google,
    client,
    post,
    exchange,
    impersonate,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const now = () => Math.floor(systemClock.now() / 1000);

test("Google's client gets a federated token that lives as long as the token it is for", async () => {
  await using world = await createWorld();

  const client = world.client(undefined, { claims: { exp: now() + 900 } });
  const { token } = await client.getAccessToken();

  expect(world.google.federatedTokens.get(token ?? '')).toMatchObject({
    principal: SUBJECT,
    scopes: [SCOPE],
  });
  const life = Number(client.credentials.expiry_date) - systemClock.now();
  expect(life).toBeGreaterThan(850_000);
  expect(life).toBeLessThanOrEqual(900_000);
});

test("Google's client impersonates a service account, with the scopes that it wants", async () => {
  await using world = await createWorld();
  const scopes = ['https://www.googleapis.com/auth/cloud-platform.read-only'];

  const client = world.client(EMAIL, undefined, { scopes });
  const { token } = await client.getAccessToken();

  const given = world.google.accessTokens.get(token ?? '');
  expect(given).toMatchObject({ principal: EMAIL, scopes });
  expect(client.credentials.expiry_date).toBe(given?.expiresAt);
});

test("Google's client sends six fields and no Authorization, then a bearer with scope and lifetime", async () => {
  await using world = await createWorld();

  await world.client(EMAIL).getAccessToken();

  const [exchange, impersonation] = world.google.requests;
  expect([...new URLSearchParams(exchange?.body).keys()].sort()).toEqual([
    'audience',
    'grant_type',
    'requested_token_type',
    'scope',
    'subject_token',
    'subject_token_type',
  ]);
  expect(exchange?.headers.authorization).toBeUndefined();
  expect(impersonation?.headers.authorization).toMatch(/^Bearer ya29\.d\./);
  expect(JSON.parse(impersonation?.body ?? '')).toEqual({ scope: [SCOPE], lifetime: '3600s' });
});

test('a federated token never lives longer than an hour', async () => {
  await using world = await createWorld();

  const { body } = await world.exchange({}, { claims: { exp: now() + 90_000 } });

  expect(body).toEqual({
    access_token: expect.stringMatching(/^ya29\.d\./),
    issued_token_type: `${URN}:token-type:access_token`,
    token_type: 'Bearer',
    expires_in: 3600,
  });
});

test.for<[string, TokenWishes, string]>([
  [
    'another audience',
    { claims: { aud: [`//iam.googleapis.com/${PROVIDER}`] } },
    'invalid_grant: The audience',
  ],
  ['an end in the past', { claims: { exp: now() - 5 } }, 'invalid_grant: The ID Token is stale'],
  ['another issuer', { claims: { iss: 'https://other.example' } }, 'invalid_grant: The issuer'],
  [
    'another subject',
    { claims: { sub: 'system:serviceaccount:team-b:builder' } },
    'unauthorized_client: The given',
  ],
  ['a subject of 128 bytes', { claims: { sub: LONG_SUBJECT } }, 'invalid_request: The size'],
  ['a key that is not published', { header: { kid: 'other' } }, "invalid_grant: The token's signing key"],
])('a token with %s is refused', async ([, wishes, expected]) => {
  await using world = await createWorld();
  expect(Buffer.byteLength(LONG_SUBJECT)).toBe(128);

  // The client's own words for an OAuth error: `Error code <error>: <error_description>`.
  await expect(world.client(EMAIL, wishes).getAccessToken()).rejects.toThrow(`Error code ${expected}`);
  expect(world.google.federatedTokens.size).toBe(0);
});

test('a token that another key signed under the same name is refused', async () => {
  await using world = await createWorld();
  const { privateKey } = await generateKeyPair('ES256');

  const refused = world.client(undefined, { signWith: privateKey }).getAccessToken();

  await expect(refused).rejects.toThrow("Error code invalid_grant: the token's signature is wrong");
});

test.for([
  ['is not there', `//iam.googleapis.com/${PROVIDER}-2`, 'invalid_target'],
  ['is written as in the token', `https://iam.googleapis.com/${PROVIDER}`, 'invalid_request'],
  ['has a project id', `//iam.googleapis.com/${PROVIDER.replace('123456789', 'team')}`, 'invalid_request'],
])('a provider that %s is refused', async ([, audience, code]) => {
  await using world = await createWorld();

  await expect(world.client(undefined, undefined, { audience: audience! }).getAccessToken()).rejects.toThrow(
    `Error code ${code}`,
  );
});

test.for<[string, Record<string, string>, Record<string, string>]>([
  ['an Authorization', {}, { authorization: 'Bearer a' }],
  ['another content type', {}, { 'content-type': 'application/json' }],
  ['another grant type', { grant_type: 'client_credentials' }, {}],
  ['another requested type', { requested_token_type: `${URN}:token-type:id_token` }, {}],
  ['another subject type', { subject_token_type: `${URN}:token-type:id_token` }, {}],
  ['no scope', { scope: '' }, {}],
  ['a scope that is none', { scope: 'cloud-platform' }, {}],
  ['a field nobody knows', { resource: 'a' }, {}],
])('an exchange with %s is an invalid request', async ([, changes, headers]) => {
  await using world = await createWorld();

  const answer = await world.exchange(changes, undefined, headers);

  expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
});

test('a field that is there twice is an invalid request', async () => {
  await using world = await createWorld();
  await world.exchange();
  const form = world.google.requests[0]?.body ?? '';
  const type = { 'content-type': 'application/x-www-form-urlencoded' };

  const answer = await world.post('/v1/token', `${form}&scope=${encodeURIComponent(SCOPE)}`, type);

  expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
});

test.for<[string, string, number, string]>([
  ['an account that is not there', 'absent@team.iam.gserviceaccount.com', 404, 'NOT_FOUND'],
  ['an account that the caller may not be', CLOSED_EMAIL, 403, 'PERMISSION_DENIED'],
])("Google's client is refused %s", async ([, email, code, status]) => {
  await using world = await createWorld();

  const refused = world.client(email).getAccessToken();

  await expect(refused).rejects.toMatchObject({
    status: code,
    response: { data: { error: { code, status } } },
  });
});

test.for<[string, Record<string, unknown>, Record<string, string>, number, string]>([
  ['3,601 seconds', { lifetime: '3601s' }, {}, 400, 'INVALID_ARGUMENT'],
  ['a lifetime without unit', { lifetime: '3600' }, {}, 400, 'INVALID_ARGUMENT'],
  ['a scope that is no list', { scope: SCOPE }, {}, 400, 'INVALID_ARGUMENT'],
  ['no scope', { scope: [] }, {}, 400, 'INVALID_ARGUMENT'],
  ['a field nobody knows', { audience: 'a' }, {}, 400, 'INVALID_ARGUMENT'],
  ['another content type', {}, { 'content-type': 'text/plain' }, 400, 'INVALID_ARGUMENT'],
  ['a bearer from elsewhere', {}, { authorization: 'Bearer a' }, 401, 'UNAUTHENTICATED'],
  ['Basic', {}, { authorization: 'Basic a' }, 401, 'UNAUTHENTICATED'],
])('an impersonation with %s is refused', async ([, changes, headers, code, status]) => {
  await using world = await createWorld();

  const answer = await world.impersonate(changes, headers);

  expect(answer).toMatchObject({ status: code, body: { error: { code, status, details: [] } } });
});

test('an e-mail may be percent-encoded, delegates may be named, and the lifetime left out', async () => {
  await using world = await createWorld();

  const answer = await world.impersonate(
    { delegates: [], lifetime: undefined },
    { email: encodeURIComponent(EMAIL) },
  );

  const end = (Math.floor(world.clock.now() / 1000) + 3600) * 1000;
  expect(answer.status).toBe(200);
  expect(answer.body['expireTime']).toBe(new Date(end).toISOString().replace('.000', ''));
});

test('to impersonate, a federated token must be current and of scope iam or cloud-platform', async () => {
  await using world = await createWorld();
  const bearer = async (scope: string) => `Bearer ${(await world.exchange({ scope })).body['access_token']}`;
  const [iam, narrow] = [
    await bearer('https://www.googleapis.com/auth/iam'),
    await bearer(`${SCOPE}.read-only`),
  ];

  expect((await world.impersonate({}, { authorization: iam })).status).toBe(200);
  expect((await world.impersonate({}, { authorization: narrow })).status).toBe(403);
  world.clock.turn(3600_000);
  expect((await world.impersonate({}, { authorization: iam })).status).toBe(401);
});

test('an expiry can be wrong in the ways that are wished', async () => {
  await using world = await createWorld();
  Object.assign(world.google, { expiresIn: '-1', expireTime: 'tomorrow' });

  expect((await world.exchange()).body['expires_in']).toBe('-1');
  expect((await world.impersonate()).body['expireTime']).toBe('tomorrow');
});

test("Google's client reads refusals that are forced on either operation", async () => {
  await using world = await createWorld();

  world.google.refuseExchangeWith = { status: 401, error: 'invalid_client', uri: 'https://docs.example' };
  await expect(world.client().getAccessToken()).rejects.toThrow('invalid_client');
  world.google.refuseExchangeWith = undefined;
  world.google.refuseImpersonationWith = { status: 403, code: 'PERMISSION_DENIED', message: 'not today' };

  await expect(world.client(EMAIL).getAccessToken()).rejects.toMatchObject({
    message: 'not today',
    status: 403,
  });
});
