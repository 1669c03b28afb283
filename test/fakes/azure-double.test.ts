// The double of Entra and ACR, tried by hand and with Microsoft's own client.
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { ClientAssertionCredential } from '@azure/identity';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import {
  AZURE_SCOPE,
  AZURE_USERNAME,
  createAzureDouble,
  entraRefusal,
  registryRefusal,
} from './azure-double.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';

const TENANT = '11111111-2222-4333-8444-555555555555';
const CLIENT = '66666666-7777-4888-8999-000000000000';
const SUBJECT = 'system:serviceaccount:team-a:builder';
const HOUR_MS = 3600_000;
type Fields = Record<string, string>;

async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock, audience: 'api://AzureADTokenExchange' }));
  const trust = { issuer, audience: 'api://AzureADTokenExchange', subjects: [SUBJECT], clock };
  const registry = 'team-abc123.azurecr.io';
  const azure = await createAzureDouble({ clock, trust, tenantId: TENANT, clientId: CLIENT, registry });
  stack.use(azure);

  async function post(path: string, fields: Fields, headers: Record<string, string> = {}, method = 'POST') {
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const ca = azure.certificateAuthorityPem;
    const asked = request(`${azure.url}${path}`, { ca, method, headers: { ...type, ...headers } });
    asked.end(new URLSearchParams(fields).toString());
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const body = JSON.parse((await text(answer)) || '{}') as Record<string, never>;
    return { status: answer.statusCode, headers: answer.headers as IncomingHttpHeaders, body };
  }
  const entra = async (changes: Fields = {}, wishes?: TokenWishes, headers = {}, tenant = TENANT) =>
    await post(`/${tenant}/oauth2/v2.0/token`, { ...(await entraFields(wishes)), ...changes }, headers);
  const entraFields = async (wishes?: TokenWishes): Promise<Fields> => ({
    client_id: CLIENT,
    scope: 'https://containerregistry.azure.net/.default',
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await issuer.token(wishes),
  });
  const exchange = async (changes: Fields = {}, accessToken?: string, headers = {}) => {
    const access_token = accessToken ?? (await entra()).body['access_token'] ?? '';
    const fields = { grant_type: 'access_token', service: registry, tenant: TENANT, access_token };
    return await post('/oauth2/exchange', { ...fields, ...changes }, headers);
  };
  return { clock, issuer, azure, stack, post, entra, exchange };
}

test('a ServiceAccount token becomes an access token, and that a login for about three hours', async () => {
  const { clock, azure, stack, entra, exchange } = await createWorld();
  await using _stack = stack;

  const first = await entra();
  const second = await exchange({}, first.body['access_token']);

  expect(first.status).toBe(200);
  expect(first.body).toMatchObject({ token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599 });
  expect(Object.keys(second.body)).toEqual(['refresh_token']);
  const password = String(second.body['refresh_token']);
  expect(decodeJwt(password)).toMatchObject({
    iss: 'Azure Container Registry',
    aud: 'team-abc123.azurecr.io',
    exp: (clock.now() + 3 * HOUR_MS) / 1000,
  });
  expect(azure.accepts(AZURE_USERNAME, password)).toBe(true);
  expect(azure.accepts('somebody', password)).toBe(false);
  expect(azure.accepts(AZURE_USERNAME, `${password}x`)).toBe(false);
  await clock.advance(3 * HOUR_MS);
  expect(azure.accepts(AZURE_USERNAME, password)).toBe(false);
});

test("Microsoft's own client gets its access token here", async () => {
  const { issuer, azure, stack, exchange } = await createWorld();
  await using _stack = stack;
  const credential = new ClientAssertionCredential(TENANT, CLIENT, () => issuer.token(), {
    authorityHost: azure.url,
    disableInstanceDiscovery: true,
    tlsOptions: { ca: azure.certificateAuthorityPem },
  });

  const { token } = await credential.getToken(AZURE_SCOPE);

  const paths = azure.requests.map(({ method, path }) => `${method} ${path}`);
  expect(paths).toEqual([
    `GET /${TENANT}/v2.0/.well-known/openid-configuration`,
    `POST /${TENANT}/oauth2/v2.0/token`,
  ]);
  expect((await exchange({}, token)).status).toBe(200);
});

test("Microsoft's own client is told what is wrong with its assertion", async () => {
  const { issuer, azure, stack } = await createWorld();
  await using _stack = stack;
  const wrong = () => issuer.token({ claims: { aud: ['https://registry.team.example'] } });
  const credential = new ClientAssertionCredential(TENANT, CLIENT, wrong, {
    authorityHost: azure.url,
    disableInstanceDiscovery: true,
    tlsOptions: { ca: azure.certificateAuthorityPem },
  });

  await expect(credential.getToken(AZURE_SCOPE)).rejects.toThrow('AADSTS700212');
});

const past = Math.floor(createHandClock().now() / 1000) - 60;
const wrongAssertions: Record<string, [TokenWishes, number, number]> = {
  'of another issuer': [{ claims: { iss: 'https://elsewhere.example' } }, 700211, 401],
  'for another audience': [{ claims: { aud: ['sts.amazonaws.com'] } }, 700212, 401],
  'of another subject': [{ claims: { sub: SUBJECT.replace('builder', 'Builder') } }, 700213, 401],
  'that has expired': [{ claims: { exp: past } }, 700024, 401],
  'that is not valid yet': [{ claims: { nbf: past + 3600 } }, 700024, 401],
  'signed with an unknown key': [{ header: { kid: 'unknown' } }, 700027, 401],
  'without an expiry': [{ claims: { exp: undefined } }, 50027, 400],
};

test.for(Object.entries(wrongAssertions))(
  'Entra refuses an assertion %s',
  async ([, [wishes, code, status]]) => {
    const { stack, entra } = await createWorld();
    await using _stack = stack;

    const answer = await entra({}, wishes);

    expect(answer).toMatchObject({ status, body: { error_codes: [code] } });
    expect(answer.body['error_description']).toMatch(new RegExp(`^AADSTS${code}:`));
  },
);

test('Entra refuses an assertion whose signature is wrong, and one that is no token', async () => {
  const { issuer, stack, entra } = await createWorld();
  await using _stack = stack;
  const [header, , signature] = (await issuer.token({ claims: { jti: 'other' } })).split('.');
  const [, payload] = (await issuer.token()).split('.');

  const forged = await entra({ client_assertion: [header, payload, signature].join('.') });
  const nonsense = await entra({ client_assertion: 'nonsense' });

  expect(forged).toMatchObject({ status: 401, body: { error: 'invalid_client', error_codes: [50013] } });
  expect(nonsense).toMatchObject({ status: 400, body: { error_codes: [50027] } });
});

const wrongFields: Record<string, [Fields, number, string]> = {
  'an unknown client': [{ client_id: TENANT }, 700016, 'unauthorized_client'],
  'the scope of another resource': [
    { scope: 'https://management.azure.com/.default' },
    500011,
    'invalid_resource',
  ],
  'another grant type': [{ grant_type: 'refresh_token' }, 70003, 'unsupported_grant_type'],
  'another assertion type': [{ client_assertion_type: 'jwt' }, 7000218, 'invalid_client'],
  'an unknown field': [{ audience: 'api://AzureADTokenExchange' }, 90023, 'invalid_request'],
};

test.for(Object.entries(wrongFields))('Entra refuses %s', async ([, [fields, code, error]]) => {
  const { stack, entra } = await createWorld();
  await using _stack = stack;

  expect((await entra(fields)).body).toMatchObject({ error, error_codes: [code] });
});

test('Entra refuses another tenant, an Authorization header, JSON and GET', async () => {
  const { stack, entra, post } = await createWorld();
  await using _stack = stack;
  const path = `/${TENANT}/oauth2/v2.0/token`;

  expect((await entra({}, {}, {}, CLIENT)).body['error_codes']).toEqual([90002]);
  expect((await entra({}, {}, { authorization: 'Basic eDp5' })).body['error_codes']).toEqual([90023]);
  expect((await entra({}, {}, { 'content-type': 'application/json' })).body['error_codes']).toEqual([90023]);
  expect((await post(path, {}, {}, 'GET')).body['error_codes']).toEqual([900561]);
  expect((await post('/elsewhere', {})).status).toBe(404);
});

const wrongExchanges: Record<string, [Fields, number, string]> = {
  'an access token it has not issued': [{ access_token: 'invented' }, 401, 'UNAUTHORIZED'],
  'another tenant': [{ tenant: CLIENT }, 401, 'UNAUTHORIZED'],
  'another service': [{ service: 'other.azurecr.io' }, 400, 'UNSUPPORTED'],
  'the first deprecated grant type': [{ grant_type: 'access_token_refresh_token' }, 400, 'UNSUPPORTED'],
  'the second deprecated grant type': [{ grant_type: 'refresh_token' }, 400, 'UNSUPPORTED'],
  'an unknown field': [{ scope: AZURE_SCOPE }, 400, 'UNSUPPORTED'],
};

test.for(Object.entries(wrongExchanges))('the registry refuses %s', async ([, [fields, status, code]]) => {
  const { stack, exchange } = await createWorld();
  await using _stack = stack;

  const answer = await exchange(fields);

  expect(answer).toMatchObject({ status, body: { errors: [{ code }] } });
  expect(answer.headers['x-ms-correlation-request-id']).toMatch(/^[\da-f-]{36}$/);
});

test('the registry refuses an access token that has expired, an Authorization header, JSON, GET, and a shut network', async () => {
  const { clock, azure, stack, entra, exchange, post } = await createWorld();
  await using _stack = stack;
  const { body } = await entra();
  await clock.advance(HOUR_MS);

  expect((await exchange({}, body['access_token'])).status).toBe(401);
  expect((await exchange({}, undefined, { authorization: 'Bearer x' })).status).toBe(400);
  expect((await exchange({}, undefined, { 'content-type': 'application/json' })).status).toBe(400);
  expect((await post('/oauth2/exchange', {}, {}, 'GET')).status).toBe(405);
  azure.isNetworkAllowed = false;
  expect(await exchange()).toMatchObject({ status: 403, body: { errors: [{ code: 'DENIED' }] } });
});

test('the registry needs no tenant', async () => {
  const { stack, post, entra } = await createWorld();
  await using _stack = stack;
  const { body } = await entra();
  const fields = { grant_type: 'access_token', service: 'team-abc123.azurecr.io' };

  expect(
    (await post('/oauth2/exchange', { ...fields, access_token: body['access_token'] ?? '' })).status,
  ).toBe(200);
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), false],
  ['in 2126', Date.parse('2126-01-01T00:00:00Z'), true],
  ['missing', 'missing', true],
] as const)('the refresh token expires as is wished: %s', async ([, expiry, isAccepted]) => {
  const { azure, stack, exchange } = await createWorld();
  await using _stack = stack;
  azure.expiry = expiry;

  const password = String((await exchange()).body['refresh_token']);

  expect(decodeJwt(password).exp).toBe(expiry === 'missing' ? undefined : expiry / 1000);
  expect(azure.accepts(AZURE_USERNAME, password)).toBe(isAccepted);
});

test('any error can be forced on either half', async () => {
  const { azure, stack, entra, exchange } = await createWorld();
  await using _stack = stack;
  const token = (await entra()).body['access_token'];
  azure.refuseWith = {
    entra: entraRefusal(90033),
    registry: registryRefusal(404, 'NAME_UNKNOWN', 'no registry'),
  };

  expect(await entra()).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
  expect(await exchange({}, token)).toMatchObject({
    status: 404,
    body: { errors: [{ code: 'NAME_UNKNOWN' }] },
  });
});
