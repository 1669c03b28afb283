// The wire: what docker and containerd send, what they get, and what nobody ever gets to see.
import supertest from 'supertest';
import type { Response } from 'supertest';
import { describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { SecretText } from '../../src/secret-text.ts';
import type { AccessRule } from '../../src/token-server/access-rules.ts';
import { createTokenServerMetrics } from '../../src/server/token-server-metrics.ts';
import { createRegistryTokenSigner } from '../../src/token-server/registry-token.ts';
import { createTokenRoutes } from '../../src/token-server/routes.ts';
import { readSigningKey } from '../../src/token-server/signing-key.ts';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { setUpTrust, until } from './set-up.ts';

const SERVICE = 'registry.team.example';
const USER = 'team-a/builder';
const PULL = 'repository:team-a/app:pull';
const BASIC = `Basic realm="${SERVICE}", charset="UTF-8"`;

const access: AccessRule[] = [
  { namespaces: ['team-*'], serviceAccounts: ['*'], repositories: ['{namespace}/**'], actions: ['pull'] },
  { namespaces: ['team-a'], serviceAccounts: ['builder'], repositories: ['team-a/app'], actions: ['push'] },
];

async function setUp({ anyUser = false } = {}) {
  const trust = await setUpTrust();
  const { clock, verifier } = trust;
  const leaf = await (await createTestAuthority()).issue('signing');
  const key = readSigningKey(new SecretText(leaf.keyPem), leaf.certificatePem);
  const sign = createRegistryTokenSigner({
    issuer: 'keyless-pull',
    service: SERVICE,
    tokenSeconds: 300,
    header: 'x5c',
    keys: { current: () => key },
    clock,
  });
  const lines: string[] = [];
  const log = createLog('debug', { write: (line) => void lines.push(line) });
  const metrics = createTokenServerMetrics();
  const onLogin = metrics.login;
  const app = createTokenRoutes({ service: SERVICE, anyUser, access, verifier, sign, onLogin, clock, log });
  return {
    ...trust,
    lines,
    request: supertest(app),
    /** By issuer, outcome and code. */
    logins: async () =>
      [
        ...(await supertest(metrics.handler).get('/metrics')).text.matchAll(
          /^keyless_pull_token_server_logins_total\{issuer="(.*)",outcome="(.*)",code="(.*)"\} (\d+)$/gm,
        ),
      ].map(([, ...values]) => values),
    login: (query: string, user: string, password: string) =>
      supertest(app).get(`/auth/token${query}`).auth(user, password),
    post: (form: Record<string, string>) => supertest(app).post('/auth/token').type('form').send(form),
    [Symbol.asyncDispose]: () => trust[Symbol.asyncDispose](),
  };
}

interface Body {
  token: string;
  access_token: string;
  expires_in: number;
  issued_at: string;
  scope: string;
  errors: { code: string; message: string; detail?: { code: string } }[];
  error: string;
}

const bodyOf = (response: Response) => response.body as Body;

function claimsOf(response: Response): { access: unknown; sub: string; exp: number } {
  const [, claims = ''] = bodyOf(response).token.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as {
    access: unknown;
    sub: string;
    exp: number;
  };
}

describe('GET /auth/token', () => {
  test('gives who logs in with a ServiceAccount token a registry token for what is asked and allowed', async () => {
    await using server = await setUp();

    const response = await server.login(
      `?service=${SERVICE}&scope=${PULL},push,delete`,
      USER,
      await server.issuer.token(),
    );

    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': 'application/json; charset=utf-8',
    });
    expect(response.headers).not.toHaveProperty('x-powered-by');
    expect(response.headers).not.toHaveProperty('etag');
    const { token, ...rest } = bodyOf(response);
    expect(rest).toEqual({
      access_token: token,
      expires_in: 300,
      issued_at: '2026-11-21T07:00:00.000Z',
      scope: `${PULL},push`,
    });
    expect(claimsOf(response)).toMatchObject({
      iss: 'keyless-pull',
      aud: SERVICE,
      sub: USER,
      access: [{ type: 'repository', name: 'team-a/app', actions: ['pull', 'push'] }],
    });
  });

  test('understands a repeated scope, and scopes with a space between them', async () => {
    await using server = await setUp();
    const token = await server.issuer.token();
    const wanted = [
      { type: 'repository', name: 'team-a/app', actions: ['pull'] },
      { type: 'repository', name: 'team-a/base', actions: ['pull'] },
    ];

    const repeated = await server.login(`?scope=${PULL}&scope=repository:team-a/base:pull`, USER, token);
    const joined = await server.login(`?scope=${PULL}%20repository:team-a/base:pull`, USER, token);

    expect(claimsOf(repeated).access).toEqual(wanted);
    expect(claimsOf(joined).access).toEqual(wanted);
  });

  test('without a scope is a login check: 200 and a token without access', async () => {
    await using server = await setUp();

    const response = await server.login(
      `?service=${SERVICE}&account=${USER}&client_id=docker&offline_token=true`,
      USER,
      await server.issuer.token(),
    );

    expect(response.status).toBe(200);
    expect(claimsOf(response).access).toEqual([]);
    expect(bodyOf(response)).not.toHaveProperty('refresh_token');
  });

  test("for somebody else's repository is 200 too, with a token that opens nothing", async () => {
    await using server = await setUp();

    const response = await server.login(
      '?scope=repository:team-b/app:pull',
      USER,
      await server.issuer.token(),
    );

    expect(response.status).toBe(200);
    expect(claimsOf(response).access).toEqual([]);
    expect(server.lines.join()).toContain('"withheld":["repository:team-b/app:pull"]');
  });

  test('gives no longer life than the login has left, but a minute', async () => {
    await using server = await setUp();
    const now = server.clock.now() / 1000;

    const shorter = await server.login('', USER, await server.issuer.token({ claims: { exp: now + 120 } }));
    const shortest = await server.login('', USER, await server.issuer.token({ claims: { exp: now + 5 } }));

    expect(bodyOf(shorter).expires_in).toBe(120);
    expect(bodyOf(shortest).expires_in).toBe(60);
    expect(claimsOf(shortest).exp).toBe(now + 60);
  });

  test.for<[string, Record<string, string>]>([
    ['no login', {}],
    ['a Bearer', { authorization: 'Bearer x' }],
    ['Basic without a colon', { authorization: `Basic ${btoa('x')}` }],
    ['Basic that is not base64', { authorization: 'Basic %%%' }],
  ])('with %s is 401 with a Basic challenge', async ([, headers]) => {
    await using server = await setUp();

    const response = await server.request.get(`/auth/token?scope=${PULL}`).set(headers);

    expect(response.status).toBe(401);
    expect(response.headers['www-authenticate']).toBe(BASIC);
  });

  test('with a bad token is 401, and the sentence says which check failed', async () => {
    await using server = await setUp();

    const response = await server.login(
      '',
      USER,
      await server.issuer.token({ claims: { aud: ['elsewhere'] } }),
    );

    expect(response.status).toBe(401);
    expect(response.headers['www-authenticate']).toBe(BASIC);
    const message =
      'the token is meant for somebody else: its audience must be https://registry.team.example';
    expect(response.body).toEqual({
      errors: [{ code: 'UNAUTHORIZED', message, detail: { code: 'login-refused' } }],
      error: 'invalid_grant',
      error_description: message,
    });
  });

  test('with a user who is not the account of the token is 401, unless any user will do', async () => {
    await using strict = await setUp();
    await using open = await setUp({ anyUser: true });

    const refused = await strict.login('', 'oauth2', await strict.issuer.token());
    const accepted = await open.login('', 'oauth2', await open.issuer.token());

    expect(refused.status).toBe(401);
    expect(bodyOf(refused).errors[0]?.message).toBe(
      'the user must be team-a/builder, to whom the token belongs',
    );
    expect(accepted.status).toBe(200);
    expect(claimsOf(accepted).sub).toBe(USER);
  });

  test.for([
    ['a malformed scope', '?scope=repository:Team/App:pull', 'scope-malformed'],
    ['another service', '?service=other', undefined],
    ['two services', `?service=${SERVICE}&service=${SERVICE}`, undefined],
    ['an account that is not the user', '?account=team-b/root', undefined],
  ] as const)('with %s is 400', async ([, query, code]) => {
    await using server = await setUp();

    const response = await server.login(query, USER, await server.issuer.token());

    expect(response.status).toBe(400);
    expect(bodyOf(response).errors[0]?.detail?.code).toBe(code);
  });

  test('while the keys of the issuer are unknown is 503 with Retry-After, never 401', async () => {
    await using server = await setUp();
    server.issuer.mood = 'dropping';

    const response = await server.login('', USER, await server.issuer.token());

    expect(response.status).toBe(503);
    expect(response.headers['retry-after']).toBe('5');
    expect(bodyOf(response).errors[0]).toMatchObject({
      code: 'UNAVAILABLE',
      detail: { code: 'exchange-unreachable' },
    });
  });
});

describe('POST /auth/token', () => {
  const form = { grant_type: 'password', service: SERVICE, client_id: 'containerd-client', username: USER };

  test('takes the form that containerd sends, with all scopes in one field', async () => {
    await using server = await setUp();
    const scope = `${PULL} repository:team-a/base:pull`;

    const response = await server.post({
      ...form,
      password: await server.issuer.token(),
      scope,
      access_type: 'offline',
    });

    expect(response.status).toBe(200);
    expect(bodyOf(response)).toMatchObject({ scope, expires_in: 300, access_token: bodyOf(response).token });
    expect(bodyOf(response)).not.toHaveProperty('refresh_token');
  });

  test('with a bad password is 401', async () => {
    await using server = await setUp();

    const response = await server.post({ ...form, password: 'hunter2' });

    expect(response.status).toBe(401);
    expect(response.headers['www-authenticate']).toBe(BASIC);
  });

  test.for<[string, Record<string, string>, string]>([
    [
      'a refresh token',
      { grant_type: 'refresh_token', refresh_token: 'x', service: SERVICE },
      'unsupported_grant_type',
    ],
    ['no grant_type', { username: USER, password: 'x' }, 'invalid_request'],
    ['no password', { grant_type: 'password', username: USER }, 'invalid_request'],
    ['another service', { ...form, password: 'x', service: 'other' }, 'invalid_request'],
    ['a malformed scope', { ...form, password: 'x', scope: 'nonsense' }, 'invalid_scope'],
  ])('with %s is 400, never a 5xx', async ([, fields, error]) => {
    await using server = await setUp();

    const response = await server.post(fields);

    expect(response.status).toBe(400);
    expect(bodyOf(response).error).toBe(error);
  });

  test('with a body that is no form is 400', async () => {
    await using server = await setUp();

    expect((await server.request.post('/auth/token').send({ ...form, password: 'x' })).status).toBe(400);
    expect((await server.request.post('/auth/token')).status).toBe(400);
  });

  test('with a body that is too large or compressed is refused, and the connection closed', async () => {
    await using server = await setUp();

    const large = await server.post({ ...form, password: 'x'.repeat(60_000) });
    const packed = await server.request.post('/auth/token').set('content-encoding', 'gzip').send('x');

    expect(large.status).toBe(413);
    expect(large.headers['connection']).toBe('close');
    expect(packed.status).toBe(415);
  });
});

describe('besides', () => {
  test('GET /healthz is 200', async () => {
    await using server = await setUp();

    expect((await server.request.get('/healthz')).body).toEqual({ status: 'ok' });
  });

  test('there is nothing else', async () => {
    await using server = await setUp();

    expect((await server.request.get('/')).status).toBe(404);
    expect((await server.request.get('/auth/token/x')).status).toBe(404);
    expect((await server.request.delete('/auth/token')).status).toBe(404);
    expect((await server.request.get('/%')).status).toBeLessThan(500);
  });
});

test('who keeps failing waits for the answer, and a good token from the same address does not', async () => {
  await using server = await setUp();
  for (let time = 0; time < 5; time++) expect((await server.login('', USER, 'wrong')).status).toBe(401);

  let answered = 0;
  const sixth = server.login('', USER, 'wrong').then((response) => (answered = response.status));
  await until(() => server.lines.length === 6);
  const good = await server.login('', USER, await server.issuer.token());

  expect({ status: good.status, answered }).toEqual({ status: 200, answered: 0 });
  await server.clock.advance(250);
  expect(await sixth).toBe(401);
});

test('no password is in any log line or answer, plain or in base64, wherever it was put', async () => {
  await using server = await setUp();
  const good = await server.issuer.token({ claims: { marked: 'MARKED-CLAIM' } });
  const bad = await server.issuer.token({ claims: { marked: 'MARKED-CLAIM', aud: 'elsewhere' } });
  const secrets = [good, bad, 'MARKED-PASSWORD'];
  const answers: Response[] = [];

  for (const secret of secrets) {
    answers.push(
      await server.login(`?scope=${PULL}`, USER, secret),
      await server.login('', secret, 'x'),
      await server.login(`?service=${secret}`, USER, 'x'),
      await server.login(`?scope=${secret}`, USER, 'x'),
      await server.login(`?scope=repository:${secret}:pull&account=${secret}`, USER, secret),
      await server.post({ grant_type: 'password', username: USER, password: secret }),
      await server.post({ grant_type: secret, username: USER, password: secret }),
      await server.request.get(`/${secret}`),
      await server.request.get('/auth/token').set('authorization', `Bearer ${secret}`),
    );
    await server.clock.advance(60_001); // the brake forgets
  }

  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200, 400, 401, 404]));
  const shown = [
    ...server.lines,
    ...answers.map((answer) => JSON.stringify([answer.headers, answer.body])),
  ].join('\n');
  const forms = secrets.flatMap((secret) => [
    secret,
    secret.split('.').at(-1) ?? '',
    btoa(secret),
    btoa(`${USER}:${secret}`),
  ]);
  for (const form of [...forms, 'MARKED', btoa('MARKED-CLAIM').slice(0, 12)])
    expect(shown).not.toContain(form);
  expect(server.lines.length).toBeGreaterThan(9);
});

describe('each login is counted', () => {
  test('under its issuer, outcome and code', async () => {
    await using server = await setUp();
    const { url } = server.issuer;

    await server.login(`?scope=${PULL}`, USER, await server.issuer.token());
    await server.login('', 'team-b/other', await server.issuer.token());
    await server.login('?scope=nonsense', USER, 'x');
    await server.request.get('/auth/token');
    await server.post({});

    expect(await server.logins()).toEqual([
      [url, 'issued', '', '1'],
      [url, 'refused', 'login-refused', '1'],
      ['(other)', 'malformed', 'scope-malformed', '1'],
      ['(other)', 'anonymous', '', '1'],
      ['(other)', 'malformed', '', '1'],
    ]);
  });

  test('as failed while the keys of its issuer cannot be fetched', async () => {
    await using server = await setUp();
    server.issuer.mood = 'dropping';

    await server.login('', USER, await server.issuer.token());

    expect(await server.logins()).toEqual([[server.issuer.url, 'failed', 'exchange-unreachable', '1']]);
  });

  test('together with all others that claim an issuer which is not trusted, so that labels stay few', async () => {
    await using server = await setUp();
    for (const iss of ['https://one.example', 'https://two.example'])
      await server.login('', USER, await server.issuer.token({ claims: { iss } }));

    expect(await server.logins()).toEqual([['(other)', 'refused', 'login-refused', '2']]);
  });
});
