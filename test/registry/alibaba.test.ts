// Alibaba's container registry: the whole way from a ServiceAccount token through STS to the login of one instance.
import { describe, expect, test } from 'vitest';
import { alibabaRefusal, createAlibabaDouble, type AlibabaDouble } from '../fakes/alibaba-double.ts';
import { createRecorder } from './recorder.ts';
import { exchangeAt, HOUR_MS, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';
import { wrongTokens, YEAR_2126, type WrongToken } from './wrong-tokens.ts';

const ROLE = 'acs:ram::1135115445850000:role/puller';
const PROVIDER = 'acs:ram::1135115445850000:oidc-provider/team-cluster';
const INSTANCE = 'cri-abcdef0123456789';
const HOST = 'shop-registry.eu-central-1.cr.aliyuncs.com';
const WISH: ExchangeWish = {
  kind: 'alibaba',
  host: HOST,
  parameters: { 'role-arn': ROLE, 'oidc-provider-arn': PROVIDER, 'instance-id': INSTANCE },
};

async function openAlibaba(): Promise<{ world: World; alibaba: AlibabaDouble } & AsyncDisposable> {
  const world = await openWorld();
  const { clock, trust } = world;
  const options = { clock, trust, roleArn: ROLE, oidcProviderArn: PROVIDER, instanceId: INSTANCE };
  const alibaba = await world.use(createAlibabaDouble(options));
  return { world, alibaba, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('a login', () => {
  test('is that of the instance, signed for with the keys of the role, until their session ends', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;

    const credential = await exchangeAt(world, alibaba, WISH);

    expect(credential).toMatchObject({
      hosts: [HOST],
      username: 'cr_temp_user',
      issuedAt: world.clock.now(),
      expiresAt: world.clock.now() + HOUR_MS,
    });
    expect(alibaba.accepts(credential.username, credential.password.reveal())).toBe(true);
  });

  test('sends the ServiceAccount token to STS alone, unsigned, in the name of the account', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;

    await exchangeAt(world, alibaba, WISH);

    const [sts, api] = alibaba.requests;
    const form = new URLSearchParams(sts?.body);
    expect(form.get('OIDCToken')).toBe(world.secrets[0]);
    expect(form.get('RoleSessionName')).toBe('team-a.builder');
    expect(JSON.stringify(api)).not.toContain(world.secrets[0]);
    expect(api?.query.get('InstanceId')).toBe(INSTANCE);
  });

  test.for([
    ['shop-registry.cn-hangzhou.cr.aliyuncs.com', 'cn-hangzhou'],
    ['shop-registry-vpc.ap-southeast-1.cr.aliyuncs.com', 'ap-southeast-1'],
  ] as const)('for %s is made in its region', async ([host, region]) => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    const { http, requests } = createRecorder(({ url }) => ({
      body: url.host.startsWith('sts.')
        ? { Credentials: { AccessKeyId: 'STS.abcdefgh', AccessKeySecret: 'x', SecurityToken: 'y' } }
        : {
            TempUsername: 'u',
            AuthorizationToken: 'made up and long',
            ExpireTime: world.clock.now() + HOUR_MS,
          },
    }));

    await exchangeAt(world, alibaba, { ...WISH, host, http, exchange: { endpoint: undefined } });

    expect(requests.map(({ url }) => url.href)).toEqual([
      `https://sts.${region}.aliyuncs.com/`,
      `https://cr.${region}.aliyuncs.com/?InstanceId=${INSTANCE}`,
    ]);
  });

  test('is signed anew for every try', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.nextMoods.push('well', 'truncating', 'failing');

    const credential = await exchangeAt(world, alibaba, WISH);

    expect(alibaba.accepts(credential.username, credential.password.reveal())).toBe(true);
    const nonces = alibaba.requests.slice(1).map(({ headers }) => headers['x-acs-signature-nonce']);
    expect(new Set(nonces).size).toBe(3);
  });

  test('whose first answer was lost comes with the next attempt', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.nextMoods.push('truncating');

    const problem = await problemAt(world, alibaba, WISH);

    expect(problem).toMatchObject({
      code: 'exchange-unreachable',
      details: { upstream: '400 SignatureNonceUsed' },
    });
    expect((await exchangeAt(world, alibaba, WISH)).username).toBe('cr_temp_user');
  });

  test.for(['', 'two:parts', 'a\nb'])(
    'of a user that no docker config can carry is not used: %j',
    async (username) => {
      await using stack = await openAlibaba();
      const { world, alibaba } = stack;
      alibaba.username = username;

      expect((await problemAt(world, alibaba, WISH)).code).toBe('exchange-malformed');
    },
  );
});

describe('a token', () => {
  test.for<[WrongToken, string, string]>([
    ['for another audience', 'exchange-refused', 'OIDCToken.AudienceNotMatch'],
    ['of another account', 'exchange-waiting', 'NoPermission'],
    ['of another issuer', 'exchange-refused', 'OIDCToken.Invalid'],
    ['that has expired', 'exchange-stale', 'OIDCToken.Expired'],
    ['of a key that nobody knows', 'exchange-refused', 'OIDCToken.InvalidSignature'],
  ])('%s ends as %s (%s)', async ([wrong, code, upstream]) => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;

    const problem = await problemAt(world, alibaba, { ...WISH, token: wrongTokens[wrong] });

    expect(problem).toMatchObject({ code, details: { upstream: `401 AuthenticationFail.${upstream}` } });
    expect(alibaba.requests.length).toBe(1);
  });
});

describe('a no', () => {
  test.for([
    ['role-arn', `${ROLE}2`, 'exchange-refused', '404 EntityNotExist.Role'],
    ['oidc-provider-arn', `${PROVIDER}2`, 'exchange-waiting', '401 AuthenticationFail.NoPermission'],
    ['instance-id', 'cri-00000000', 'exchange-refused', '404 INSTANCE_NOT_EXIST'],
  ] as const)('meets another %s (%s): %s, %s', async ([key, value, code, upstream]) => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;

    const problem = await problemAt(world, alibaba, {
      ...WISH,
      parameters: { ...WISH.parameters, [key]: value },
    });

    expect(problem).toMatchObject({ code, details: { upstream } });
  });

  test.for([
    ['sts', 400, 'Throttling.User', 'exchange-throttled', 3],
    ['sts', 503, 'ServiceUnavailable', 'exchange-unreachable', 3],
    ['sts', 400, 'InvalidParameter', 'exchange-refused', 1],
    ['registry', 403, 'NoPrivilege', 'exchange-refused', 1],
    ['registry', 500, 'SystemError', 'exchange-unreachable', 3],
    ['registry', 400, 'InvalidTimeStamp.Expired', 'exchange-stale', 1],
    ['registry', 400, 'InvalidSecurityToken.Expired', 'exchange-stale', 1],
    ['registry', 400, 'SignatureDoesNotMatch', 'exchange-refused', 1],
  ] as const)('of %s with %i %s is %s after %i tries', async ([half, status, name, code, tries]) => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.refuseWith = { [half]: alibabaRefusal(status, name, 'a marked-secret') };

    const problem = await problemAt(world, alibaba, WISH);

    expect(problem).toMatchObject({ code, details: { upstream: `${status} ${name}` } });
    expect(problem.message).not.toContain('marked-secret');
    expect(alibaba.requests.length).toBe(half === 'sts' ? tries : tries + 1);
  });

  test.for([
    ['NoPrivilege', 'exchange-refused', 1],
    ['INSTANCE_NOT_EXIST', 'exchange-refused', 1],
    ['SOMETHING', 'exchange-refused', 1],
    ['SystemError', 'exchange-unreachable', 3],
    ['Throttling.User', 'exchange-throttled', 3],
  ] as const)(
    'of the registry may come with 200, as IsSuccess false: %s is %s',
    async ([name, code, tries]) => {
      await using stack = await openAlibaba();
      const { world, alibaba } = stack;
      const body = { IsSuccess: false, Code: name, RequestId: 'A1B2' };
      alibaba.refuseWith = { registry: { status: 200, body } };

      const problem = await problemAt(world, alibaba, WISH);

      expect(problem).toMatchObject({ code, details: { upstream: `200 ${name}` } });
      expect(alibaba.requests.length).toBe(1 + tries);
    },
  );

  test('for want of a right says which one', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.refuseWith = { registry: alibabaRefusal(403, 'NoPrivilege') };

    expect((await problemAt(world, alibaba, WISH)).message).toContain(
      '(403 NoPrivilege): the role needs cr:GetAuthorizationToken on the instance',
    );
  });

  test('for a clock that is off says by how much', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    const http: typeof world.http = async (request) => {
      const answer = await world.http(request);
      return {
        ...answer,
        header: (name) => (name === 'date' ? 'Sat, 21 Nov 2026 12:30:00 GMT' : answer.header(name)),
      };
    };
    alibaba.refuseWith = { sts: alibabaRefusal(400, 'InvalidTimeStamp.Expired') };

    expect((await problemAt(world, alibaba, { ...WISH, http })).message).toContain(
      'our clock is 1800 s behind that of the token service',
    );
  });
});

describe('the end of a login', () => {
  test('is in milliseconds, and never further away than that of the session', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.expiry = YEAR_2126;

    expect((await exchangeAt(world, alibaba, WISH)).expiresAt).toBe(world.clock.now() + HOUR_MS);
  });

  test('is never further than twelve hours away, where the session does not say its own', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    const keys = { AccessKeyId: 'STS.abcdefgh', AccessKeySecret: 'x', SecurityToken: 'y' };
    const login = { TempUsername: 'u', AuthorizationToken: 'made up and long', ExpireTime: YEAR_2126 };
    const at = async (Credentials: object) => {
      Object.assign(alibaba, { refuseWith: { sts: { body: { Credentials } }, registry: { body: login } } });
      return (await exchangeAt(world, alibaba, WISH)).expiresAt - world.clock.now();
    };

    expect(await at(keys)).toBe(12 * HOUR_MS);
    expect(await at({ ...keys, Expiration: '2126-01-01T00:00:00Z' })).toBe(12 * HOUR_MS);
  });

  test.for([
    ['missing', 'exchange-malformed'],
    [1_700_000_000_000, 'credential-already-expired'],
  ] as const)('that is %s ends as %s', async ([expiry, code]) => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    alibaba.expiry = expiry;

    expect((await problemAt(world, alibaba, WISH)).code).toBe(code);
  });

  test('is that of an answer with keys, and one with a login: any other is told as malformed', async () => {
    await using stack = await openAlibaba();
    const { world, alibaba } = stack;
    const keys = { AccessKeyId: 'STS.abcdefgh', AccessKeySecret: 'x', SecurityToken: 'y' };
    const answers = [
      { sts: { body: {} } },
      { sts: { body: { Credentials: { ...keys, AccessKeyId: 'x\r\ny: z' } } } },
      { sts: { body: { Credentials: { ...keys, SecurityToken: '' } } } },
      { registry: { body: { IsSuccess: true, Code: 'success' } } },
      { registry: { body: { TempUsername: 'u', AuthorizationToken: 'p', ExpireTime: 'soon' } } },
      { registry: { body: { TempUsername: 'u', AuthorizationToken: '', ExpireTime: YEAR_2126 } } },
    ];
    for (const refuseWith of answers) {
      Object.assign(alibaba, { refuseWith });

      expect((await problemAt(world, alibaba, WISH)).code).toBe('exchange-malformed');
    }
  });
});
