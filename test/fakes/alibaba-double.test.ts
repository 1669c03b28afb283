// The double of Alibaba's STS and registry, tried by hand with both kinds of signature, and both kinds of signature
// against the examples that Alibaba has published.
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { acs3Signature, alibabaRefusal, createAlibabaDouble, rpcSignature } from './alibaba-double.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';

const ROLE = 'acs:ram::1135115445850000:role/puller';
const PROVIDER = 'acs:ram::1135115445850000:oidc-provider/team-cluster';
const INSTANCE = 'cri-abcdef0123456789';
type Fields = Record<string, string>;
const without = (fields: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock }));
  const subjects = ['system:serviceaccount:team-a:builder'];
  const trust = { issuer, audience: issuer.audience, subjects, clock };
  const options = { clock, trust, roleArn: ROLE, oidcProviderArn: PROVIDER, instanceId: INSTANCE };
  const alibaba = stack.use(await createAlibabaDouble(options));
  const now = () => new Date(clock.now()).toISOString().replace('.000', '');

  async function send(path: string, headers: Fields, body: string, method = 'POST') {
    const asked = request(`${alibaba.url}${path}`, { method, headers, ca: alibaba.certificateAuthorityPem });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const parsed = JSON.parse((await text(answer)) || '{}') as Record<string, never>;
    return { status: answer.statusCode, body: parsed, code: parsed['Code'] as string | undefined };
  }
  const post = async (fields: Fields, headers: Fields = {}) =>
    await send('/', { ...FORM, ...headers }, new URLSearchParams(fields).toString());
  const assumeFields = async (wishes?: TokenWishes): Promise<Fields> => ({
    Action: 'AssumeRoleWithOIDC',
    Version: '2015-04-01',
    Format: 'JSON',
    Timestamp: now(),
    SignatureNonce: crypto.randomUUID(),
    OIDCProviderArn: PROVIDER,
    OIDCToken: await issuer.token(wishes),
    RoleArn: ROLE,
    RoleSessionName: 'keyless-pull',
  });
  const assume = async (changes: Fields = {}, wishes?: TokenWishes) =>
    await post({ ...(await assumeFields(wishes)), ...changes });
  const credentials = async () => (await assume()).body['Credentials'] as unknown as Keys;

  /** Signs by hand, after the reference: what is changed after `sign` breaks the signature. */
  function rpcFields(keys: Keys, changes: Fields = {}): Fields {
    const fields: Fields = {
      Action: 'GetAuthorizationToken',
      Version: '2018-12-01',
      Format: 'JSON',
      Timestamp: now(),
      SignatureNonce: crypto.randomUUID(),
      SignatureMethod: 'HMAC-SHA1',
      SignatureVersion: '1.0',
      AccessKeyId: keys.AccessKeyId,
      SecurityToken: keys.SecurityToken,
      InstanceId: INSTANCE,
      ...changes,
    };
    const sorted = Object.keys(fields).sort();
    const canonical = sorted.map((name) => `${encode(name)}=${encode(fields[name] ?? '')}`).join('&');
    const hmac = createHmac('sha1', `${keys.AccessKeySecret}&`).update(`POST&%2F&${encode(canonical)}`);
    return { ...fields, Signature: hmac.digest('base64') };
  }
  function acs3Headers(
    keys: Keys,
    changes: Fields = {},
    query = `InstanceId=${INSTANCE}`,
    body = '',
  ): Fields {
    const headers: Fields = {
      host: alibaba.host,
      'x-acs-action': 'GetAuthorizationToken',
      'x-acs-version': '2018-12-01',
      'x-acs-date': now(),
      'x-acs-signature-nonce': crypto.randomUUID(),
      'x-acs-content-sha256': sha256(body),
      'x-acs-security-token': keys.SecurityToken,
      ...changes,
    };
    const names = Object.keys(headers).sort();
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
    const canonical = `POST\n/\n${query}\n${lines}\n${names.join(';')}\n${sha256(body)}`;
    const signature = createHmac('sha256', keys.AccessKeySecret)
      .update(`ACS3-HMAC-SHA256\n${sha256(canonical)}`)
      .digest('hex');
    const says = `Credential=${keys.AccessKeyId},SignedHeaders=${names.join(';')},Signature=${signature}`;
    return { ...headers, authorization: `ACS3-HMAC-SHA256 ${says}` };
  }
  const callAcs3 = async (headers: Fields, query = `InstanceId=${INSTANCE}`) =>
    await send(`/?${query}`, headers, '');
  return {
    clock,
    alibaba,
    stack,
    send,
    post,
    assume,
    assumeFields,
    credentials,
    rpcFields,
    acs3Headers,
    callAcs3,
  };
}

interface Keys {
  readonly AccessKeyId: string;
  readonly AccessKeySecret: string;
  readonly SecurityToken: string;
  readonly Expiration: string;
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const sha256 = (value: string) => createHash('sha256').update(value).digest('hex');
/** Enough for what is sent here: none of it has `!'()*`. */
const encode = encodeURIComponent;

// help.aliyun.com/zh/sdk/product-overview/rpc-mechanism
test("the old signature is that of Alibaba's example with a dedicated host", () => {
  const fields = {
    AccessKeyId: 'testid',
    Action: 'DescribeDedicatedHosts',
    Format: 'JSON',
    RegionId: 'cn-beijing',
    SignatureMethod: 'HMAC-SHA1',
    SignatureNonce: 'edb2b34af0af9a6d14deaf7c1a5315eb',
    SignatureVersion: '1.0',
    Timestamp: '2023-03-13T08:34:30Z',
    Version: '2014-05-26',
  };

  expect(rpcSignature('GET', fields, 'testsecret')).toBe('9NaGiOspFP5UPcwX8Iwt2YJXXuk=');
});

// www.alibabacloud.com/help/doc-detail/25492.htm
test("the old signature is that of Alibaba's example with regions", () => {
  const fields = {
    AccessKeyId: 'testid',
    Action: 'DescribeRegions',
    Format: 'XML',
    SignatureMethod: 'HMAC-SHA1',
    SignatureNonce: '3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf',
    SignatureVersion: '1.0',
    Timestamp: '2016-02-23T12:46:24Z',
    Version: '2014-05-26',
  };

  expect(rpcSignature('GET', fields, 'testsecret')).toBe('OLeaidS1JvxuMvnyHOwuJ+uX5qY=');
});

// www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
test("the new signature is that of Alibaba's example", () => {
  const headers = {
    host: 'ecs.cn-shanghai.aliyuncs.com',
    'x-acs-action': 'RunInstances',
    'x-acs-content-sha256': EMPTY_HASH,
    'x-acs-date': '2023-10-26T10:22:32Z',
    'x-acs-signature-nonce': '3156853299f313e23d1673dc12e1703d',
    'x-acs-version': '2014-05-26',
  };
  const query: [string, string][] = [
    ['RegionId', 'cn-shanghai'],
    ['ImageId', 'win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd'],
  ];

  const signature = acs3Signature(
    { method: 'POST', path: '/', query, headers, body: '' },
    'YourAccessKeySecret',
  );

  expect(signature).toBe('06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0');
});

test('a ServiceAccount token becomes keys, and those a login until the session ends', async () => {
  const { clock, alibaba, stack, post, credentials, rpcFields } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();

  const { status, body } = await post(rpcFields(keys));

  expect(keys.Expiration).toBe('2026-11-21T13:00:00Z');
  expect(status).toBe(200);
  expect(body).toMatchObject({
    IsSuccess: true,
    TempUsername: 'cr_temp_user',
    ExpireTime: clock.now() + 3600_000,
  });
  const password = String(body['AuthorizationToken']);
  expect(alibaba.accepts('cr_temp_user', password)).toBe(true);
  expect(alibaba.accepts('somebody', password)).toBe(false);
  expect(alibaba.accepts('cr_temp_user', 'invented')).toBe(false);
  await clock.advance(3600_000);
  expect(alibaba.accepts('cr_temp_user', password)).toBe(false);
});

test('the registry takes the new signature too', async () => {
  const { stack, credentials, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;

  expect((await callAcs3(acs3Headers(await credentials()))).status).toBe(200);
});

test('with the new signature the instance may stand in the body', async () => {
  const { stack, send, credentials, acs3Headers } = await createWorld();
  await using _stack = stack;
  const body = `InstanceId=${INSTANCE}`;
  const headers = acs3Headers(await credentials(), FORM, '', body);

  expect((await send('/', headers, 'InstanceId=cri-other')).code).toBe('IncompleteSignature');
  expect((await send('/', headers, body)).status).toBe(200);
});

test('what is asked of STS may stand in the query', async () => {
  const { stack, send, assumeFields } = await createWorld();
  await using _stack = stack;
  const query = new URLSearchParams({ ...(await assumeFields()), DurationSeconds: '900' });

  const { status, body } = await send(`/?${query.toString()}`, {}, '');

  expect(status).toBe(200);
  expect(body['Credentials']).toMatchObject({ Expiration: '2026-11-21T12:15:00Z' });
});

const wrongTokens: Record<string, [TokenWishes, string]> = {
  'of another issuer': [{ claims: { iss: 'https://elsewhere.example' } }, 'OIDCToken.Invalid'],
  'for another audience': [{ claims: { aud: ['x'] } }, 'OIDCToken.AudienceNotMatch'],
  'of another account': [{ claims: { sub: 'system:serviceaccount:team-b:builder' } }, 'NoPermission'],
  'that has expired': [{ claims: { exp: 1_000_000 } }, 'OIDCToken.Expired'],
  'signed with an unknown key': [{ header: { kid: 'unknown' } }, 'OIDCToken.InvalidSignature'],
};

test.for(Object.entries(wrongTokens))('STS refuses a token %s', async ([, [wishes, code]]) => {
  const { stack, assume } = await createWorld();
  await using _stack = stack;

  const answer = await assume({}, wishes);

  expect(answer).toMatchObject({ status: 401, code: `AuthenticationFail.${code}` });
  expect(Object.keys(answer.body)).toEqual(['Code', 'Message', 'RequestId', 'Recommend']);
});

const wrongWishes: Record<string, [Fields, number, string]> = {
  'another role': [{ RoleArn: `${ROLE}2` }, 404, 'EntityNotExist.Role'],
  'another provider': [{ OIDCProviderArn: `${PROVIDER}2` }, 401, 'AuthenticationFail.NoPermission'],
  'another version': [{ Version: '2018-12-01' }, 400, 'InvalidVersion'],
  'another action': [{ Action: 'AssumeRole' }, 404, 'InvalidAction.NotFound'],
  'another format': [{ Format: 'XML' }, 400, 'InvalidParameter.Format'],
  'a session name of one letter': [{ RoleSessionName: 'x' }, 400, 'InvalidParameter.RoleSessionName'],
  'a session name with colons': [
    { RoleSessionName: 'team-a:builder' },
    400,
    'InvalidParameter.RoleSessionName',
  ],
  'too short a session': [{ DurationSeconds: '899' }, 400, 'InvalidParameter.DurationSeconds'],
  'too long a session': [{ DurationSeconds: '3601' }, 400, 'InvalidParameter.DurationSeconds'],
  'half a second of session': [{ DurationSeconds: '900.5' }, 400, 'InvalidParameter.DurationSeconds'],
  'a signature': [{ Signature: 'x' }, 400, 'InvalidParameter'],
  'the name of a signature': [{ SignatureMethod: 'HMAC-SHA1' }, 400, 'InvalidParameter'],
  'a key': [{ AccessKeyId: 'x' }, 400, 'InvalidParameter'],
  'the token of a session': [{ SecurityToken: 'x' }, 400, 'InvalidParameter'],
  'a stale time': [{ Timestamp: '2026-11-21T11:44:59Z' }, 400, 'InvalidTimeStamp.Expired'],
  'a time to come': [{ Timestamp: '2026-11-21T12:15:01Z' }, 400, 'InvalidTimeStamp.Expired'],
  'a time with milliseconds': [{ Timestamp: '2026-11-21T12:00:00.000Z' }, 400, 'InvalidTimeStamp.Format'],
  'no nonce': [{ SignatureNonce: '' }, 400, 'MissingParameter'],
};

test.for(Object.entries(wrongWishes))('STS refuses %s', async ([, [changes, status, code]]) => {
  const { stack, assume } = await createWorld();
  await using _stack = stack;

  expect(await assume(changes)).toMatchObject({ status, code });
});

test('a nonce, an Authorization header, GET, JSON and another path do not work at STS', async () => {
  const { stack, send, post, assume, assumeFields } = await createWorld();
  await using _stack = stack;
  const fields = await assumeFields();
  const query = new URLSearchParams(fields).toString();

  expect((await assume({ SignatureNonce: 'once' })).status).toBe(200);
  expect((await assume({ SignatureNonce: 'once' })).code).toBe('SignatureNonceUsed');
  expect((await post(fields, { authorization: 'Bearer x' })).code).toBe('InvalidParameter');
  expect((await send(`/?${query}`, {}, '', 'GET')).code).toBe('UnsupportedHTTPMethod');
  expect((await send(`/?${query}`, { 'content-type': 'application/json' }, '{}')).code).toBe(
    'InvalidParameter',
  );
  expect((await send('/', FORM, `${query}&RoleArn=x`)).code).toBe('InvalidParameter');
  expect((await send(`/sts?${query}`, {}, '')).status).toBe(404);
});

test('a session token that is missing or of another session is refused, however it is signed', async () => {
  const { stack, post, credentials, rpcFields, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();
  const mixed = { ...keys, SecurityToken: (await credentials()).SecurityToken };
  const bare = without(acs3Headers(keys), 'x-acs-security-token');
  const authorization = String(bare['authorization']).replace('x-acs-security-token;', '');

  expect((await post(without(rpcFields(keys), 'SecurityToken'))).code).toBe('MissingSecurityToken');
  expect((await callAcs3({ ...bare, authorization })).code).toBe('MissingSecurityToken');
  expect((await post(rpcFields(mixed))).code).toBe('InvalidSecurityToken.MismatchWithAccessKey');
  expect((await callAcs3(acs3Headers(mixed))).code).toBe('InvalidSecurityToken.MismatchWithAccessKey');
});

test('an unknown key, a wrong secret and an ended session are refused, however it is signed', async () => {
  const { clock, stack, post, credentials, rpcFields, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();
  const unknown = { ...keys, AccessKeyId: 'STS.unknown' };
  const wrong = { ...keys, AccessKeySecret: 'wrong' };

  expect(await post(rpcFields(unknown))).toMatchObject({ status: 404, code: 'InvalidAccessKeyId.NotFound' });
  expect((await callAcs3(acs3Headers(unknown))).code).toBe('InvalidAccessKeyId.NotFound');
  expect((await post(rpcFields(wrong))).code).toBe('SignatureDoesNotMatch');
  expect((await callAcs3(acs3Headers(wrong))).code).toBe('SignatureDoesNotMatch');
  await clock.advance(3600_000);
  expect((await post(rpcFields(keys))).code).toBe('InvalidSecurityToken.Expired');
  expect((await callAcs3(acs3Headers(keys))).code).toBe('InvalidSecurityToken.Expired');
});

test('what was changed after it was signed is noticed', async () => {
  const { stack, post, credentials, rpcFields, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();
  const nonce = { 'x-acs-signature-nonce': 'another' };

  expect((await post({ ...rpcFields(keys), SignatureNonce: 'another' })).code).toBe('SignatureDoesNotMatch');
  expect((await callAcs3({ ...acs3Headers(keys), ...nonce })).code).toBe('SignatureDoesNotMatch');
  expect((await callAcs3(acs3Headers(keys), 'InstanceId=cri-other')).code).toBe('SignatureDoesNotMatch');
});

test('a signature that is not whole is refused', async () => {
  const { stack, post, send, credentials, rpcFields, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();
  const headers = acs3Headers(keys);
  const body = { ...FORM, 'content-length': '3' };
  const unsigned = String(headers['authorization']).replace('x-acs-version,', '').replace(';,', ',');
  const unsorted = String(headers['authorization']).replace(/=(host);([^,]+)/, '=$2;$1');

  expect((await post(without(rpcFields(keys), 'Signature'))).code).toBe('IncompleteSignature');
  expect((await post(rpcFields(keys, { SignatureMethod: 'HMAC-SHA256' }))).code).toBe('IncompleteSignature');
  expect((await post(rpcFields(keys), { authorization: 'Bearer x' })).code).toBe('IncompleteSignature');
  expect((await post(without(rpcFields(keys), 'AccessKeyId'))).code).toBe('IncompleteSignature');
  expect((await callAcs3({ ...headers, authorization: unsorted })).code).toBe('IncompleteSignature');
  expect((await callAcs3(without(headers, 'authorization'))).code).toBe('IncompleteSignature');
  expect((await callAcs3({ ...headers, 'x-acs-extra': 'unsigned' })).code).toBe('IncompleteSignature');
  expect((await send(`/?InstanceId=${INSTANCE}`, { ...headers, ...body }, 'a=b')).code).toBe(
    'IncompleteSignature',
  );
  expect((await callAcs3({ ...headers, authorization: unsigned })).code).toBe('IncompleteSignature');
});

test('a stale time, a used nonce, another instance, version, format or field are refused at the registry', async () => {
  const { stack, post, credentials, rpcFields, acs3Headers, callAcs3 } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();
  const stale = '2026-11-21T11:44:59Z';
  const nonce = { SignatureNonce: 'once' };

  expect((await post(rpcFields(keys, { Timestamp: stale }))).code).toBe('InvalidTimeStamp.Expired');
  expect((await callAcs3(acs3Headers(keys, { 'x-acs-date': stale }))).code).toBe('InvalidTimeStamp.Expired');
  expect((await post(rpcFields(keys, nonce))).status).toBe(200);
  expect((await post(rpcFields(keys, nonce))).code).toBe('SignatureNonceUsed');
  expect((await callAcs3(acs3Headers(keys, { 'x-acs-signature-nonce': 'once' }))).code).toBe(
    'SignatureNonceUsed',
  );
  expect((await post(rpcFields(keys, { InstanceId: 'cri-other' }))).status).toBe(404);
  expect((await post(rpcFields(keys, { Version: '2016-06-07' }))).code).toBe('InvalidVersion');
  expect((await callAcs3(acs3Headers(keys, { 'x-acs-version': '2016-06-07' }))).code).toBe('InvalidVersion');
  expect((await post(rpcFields(keys, { Format: 'XML' }))).code).toBe('InvalidParameter.Format');
  expect((await post(rpcFields(keys, { RegionId: 'cn-beijing' }))).code).toBe('InvalidParameter');
});

test.for([
  ['in the past', Date.parse('2026-11-21T11:00:00Z'), false],
  ['in 2126', Date.parse('2126-11-21T12:00:00Z'), true],
  ['missing', 'missing', true],
] as const)(
  'the expiry of a login can be %s, and its user be called anything',
  async ([, expiry, isAccepted]) => {
    const { alibaba, stack, post, credentials, rpcFields } = await createWorld();
    await using _stack = stack;
    Object.assign(alibaba, { expiry, username: 'a:b\u0007' });

    const { body } = await post(rpcFields(await credentials()));

    expect(body['ExpireTime']).toBe(expiry === 'missing' ? undefined : expiry);
    expect(body['TempUsername']).toBe('a:b\u0007');
    expect(alibaba.accepts('a:b\u0007', String(body['AuthorizationToken']))).toBe(isAccepted);
  },
);

test('any error can be forced on either half', async () => {
  const { alibaba, stack, post, assume, credentials, rpcFields } = await createWorld();
  await using _stack = stack;
  const keys = await credentials();

  alibaba.refuseWith = {
    sts: alibabaRefusal(500, 'SystemError'),
    registry: alibabaRefusal(403, 'NoPrivilege'),
  };

  expect(await assume()).toMatchObject({ status: 500, code: 'SystemError' });
  expect(await post(rpcFields(keys))).toMatchObject({ status: 403, code: 'NoPrivilege' });
});
