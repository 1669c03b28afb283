// OAuth token exchange with a service of the administrator's own: what is sent by each of three grants, and what a no means.
import { describe, expect, test } from 'vitest';
import { oauthRefusal, type TokenExchangeOptions } from '../fakes/token-exchange-double.ts';
import { exchangeAt, HOUR_MS, problemAt } from './set-up.ts';
import { HOST, JWT, openService } from './token-exchange-stage.ts';
import { wrongTokens, type WrongToken } from './wrong-tokens.ts';

describe('a login', () => {
  test('is the token that is issued, under the name of the account', async () => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    service.username = 'team-a/builder';

    const credential = await exchangeAt(world, service, wish());

    expect(credential).toMatchObject({
      hosts: [HOST],
      username: 'team-a/builder',
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(service.accepts(credential.username, credential.password.reveal())).toBe(true);
    expect(service.requests.length).toBe(1);
  });

  const everything = {
    audience: 'registry',
    resource: 'https://registry.team.example/',
    scope: 'pull read:all',
    'client-id': 'cluster-one',
  };
  const onTheWire = {
    audience: 'registry',
    resource: 'https://registry.team.example/',
    scope: 'pull read:all',
    client_id: 'cluster-one',
  };

  test.for([
    ['token-exchange', {}, { subject_token_type: JWT }],
    [
      'token-exchange',
      {
        ...everything,
        'subject-token-type': 'urn:ietf:params:oauth:token-type:id_token',
        'requested-token-type': 'urn:x:y',
      },
      {
        ...onTheWire,
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        requested_token_type: 'urn:x:y',
      },
    ],
    ['jwt-bearer', {}, {}],
    ['jwt-bearer', everything, onTheWire],
    [
      'client-credentials',
      everything,
      { ...onTheWire, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' },
    ],
  ] as const)('by %s with %j has exactly these fields: %j', async ([grant, parameters, fields]) => {
    await using stage = await openService({ grant, fields });
    const { world, service, wish } = stage;

    const credential = await exchangeAt(world, service, wish({ grant, ...parameters }));

    expect(service.accepts('builder', credential.password.reveal())).toBe(true);
  });

  test.for([
    [{ 'username-claim': 'sub' }, undefined, 'from-the-token'],
    [{ 'username-claim': 'sub' }, 'fixed', 'from-the-token'],
    [{ 'username-claim': 'nobody' }, 'fixed', 'fixed'],
    [{ 'username-claim': 'exp' }, undefined, 'team-a/builder'],
    [{ 'username-claim': 'constructor' }, undefined, 'team-a/builder'],
    [{}, 'fixed', 'fixed'],
    [{}, undefined, 'team-a/builder'],
  ] as const)('with %j and the username %s is that of %s', async ([parameters, username, expected]) => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    service.username = 'from-the-token';

    const credential = await exchangeAt(world, service, wish(parameters, { exchange: { username } }));

    expect(credential.username).toBe(expected);
  });

  test.for(['two:parts', 'line\nbreak', 'nul\0', 'x'.repeat(256)])(
    'whose token names the user %j is not used: no docker config can carry it',
    async (username) => {
      await using stage = await openService();
      const { world, service, wish } = stage;
      service.username = username;

      expect(await problemAt(world, service, wish({ 'username-claim': 'sub' }))).toMatchObject({
        code: 'exchange-malformed',
        message: `${HOST} gave a user name that no docker config can carry`,
      });
    },
  );

  test('may be no access token at all (token_type N_A), and a refresh token beside it is forgotten', async () => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    Object.assign(service, { token: 'opaque', tokenType: 'N_A', extra: { refresh_token: 'marked-secret' } });
    world.secrets.push('marked-secret');

    const credential = await exchangeAt(world, service, wish());

    expect(service.accepts('builder', credential.password.reveal())).toBe(true);
  });
});

describe('a no', () => {
  test.for<[NonNullable<TokenExchangeOptions['grant']>, string, string]>([
    ['token-exchange', '400 invalid_request', 'exchange-stale'],
    ['jwt-bearer', '400 invalid_grant', 'exchange-stale'],
    ['client-credentials', '401 invalid_client', 'exchange-refused'],
  ])(
    'to a wrong token by %s is %s, whatever is wrong with it, and of an old one %s',
    async ([grant, upstream, ofAnOldOne]) => {
      await using stage = await openService({ grant });
      const { world, service, wish } = stage;
      for (const wrong of Object.keys(wrongTokens) as WrongToken[]) {
        const problem = await problemAt(world, service, wish({ grant }, { token: wrongTokens[wrong] }));

        const code = wrong === 'that has expired' ? ofAnOldOne : 'exchange-refused';
        expect(problem).toMatchObject({ code, details: { upstream } });
      }
      expect(service.requests.length).toBe(Object.keys(wrongTokens).length);
    },
  );

  test.for([
    ['invalid_target', 'exchange-refused', 1],
    ['temporarily_unavailable', 'exchange-unreachable', 3],
  ] as const)('called %s may come with 200, and is %s after %i tries', async ([error, code, tries]) => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    service.refuseWith = { status: 200, body: { error, error_description: 'a marked-secret' } };

    const problem = await problemAt(world, service, wish());

    expect(problem).toMatchObject({ code, details: { upstream: `200 ${error}` } });
    expect(problem.message).not.toContain('marked-secret');
    expect(service.requests.length).toBe(tries);
  });

  test.for([
    [{ audience: 'other' }, '400 invalid_target'],
    [{ audience: 'registry', scope: 'push' }, '400 invalid_scope'],
    [{ audience: 'registry', grant: 'jwt-bearer' }, '400 unsupported_grant_type'],
  ] as const)('to %j is %s', async ([parameters, upstream]) => {
    await using stage = await openService({ fields: { audience: 'registry', subject_token_type: JWT } });
    const { world, service, wish } = stage;

    expect(await problemAt(world, service, wish(parameters))).toMatchObject({
      code: 'exchange-refused',
      details: { upstream },
    });
  });

  test.for([
    ['invalid_request', 'exchange-refused', 1],
    ['invalid_client', 'exchange-refused', 1],
    ['invalid_grant', 'exchange-refused', 1],
    ['unauthorized_client', 'exchange-refused', 1],
    ['unsupported_grant_type', 'exchange-refused', 1],
    ['invalid_scope', 'exchange-refused', 1],
    ['invalid_target', 'exchange-refused', 1],
    ['temporarily_unavailable', 'exchange-unreachable', 3],
    ['server_error', 'exchange-unreachable', 3],
    ['slow_down', 'exchange-throttled', 3],
    ['constructor', 'exchange-refused', 1],
  ] as const)('called %s is %s after %i tries, without its description', async ([error, code, tries]) => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    service.refuseWith = oauthRefusal(error, 'a marked-secret');

    const problem = await problemAt(world, service, wish());

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(error);
    expect(problem.message).not.toContain('marked-secret');
    expect(service.requests.length).toBe(tries);
  });
});
