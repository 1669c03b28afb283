// The double of STS, tried with AWS's own client, and by hand where that client would not go wrong.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';
import { AssumeRoleWithWebIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { decodeJwt, generateKeyPair } from 'jose';
import { expect, test } from 'vitest';
import { createAwsStsDouble } from './aws-sts-double.ts';
import { createFakeIssuer, type TokenWishes } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';

const ROLE = 'arn:aws:iam::111122223333:role/pulls/team-a';
const CLOSED_ROLE = 'arn:aws:iam::111122223333:role/closed';
const AUDIENCE = 'sts.amazonaws.com';
const SUBJECT = 'system:serviceaccount:team-a:builder';
const VALID_FOR_S = 3600;

async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock();
  const issuer = stack.use(await createFakeIssuer({ clock, audience: AUDIENCE }));
  const trust = { issuer, audience: AUDIENCE, subjects: [SUBJECT], clock };
  const roles = { [ROLE]: { longestSeconds: 43_200 }, [CLOSED_ROLE]: { subjects: [] } };
  const aws = stack.use(await createAwsStsDouble({ clock, trust, roles }));
  const httpsAgent = new Agent({ ca: aws.certificateAuthorityPem });
  const sdk = new STSClient({
    region: 'eu-west-1',
    endpoint: aws.url,
    requestHandler: { httpsAgent },
    maxAttempts: 1,
  });
  stack.defer(() => sdk.destroy());

  const assume = async (changes: Record<string, unknown> = {}, wishes?: TokenWishes) =>
    await sdk.send(
      new AssumeRoleWithWebIdentityCommand({
        RoleArn: ROLE,
        RoleSessionName: 'team-a.builder',
        WebIdentityToken: await issuer.token(wishes),
        ...changes,
      }),
    );
  const form = async (changes: Record<string, string> = {}) =>
    new URLSearchParams({
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: ROLE,
      RoleSessionName: 'team-a.builder',
      WebIdentityToken: await issuer.token(),
      ...changes,
    }).toString();
  async function post(body: string, headers: Record<string, string> = {}, path = '/', method = 'POST') {
    const type = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
    const asked = request(`${aws.url}${path}`, {
      ca: aws.certificateAuthorityPem,
      method,
      headers: { ...type, ...headers },
    });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: answer.statusCode, type: answer.headers['content-type'], body: await text(answer) };
  }
  return { clock, issuer, aws, assume, form, post, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("AWS's client gets temporary credentials, as the double remembers them", async () => {
  await using world = await createWorld();

  const answer = await world.assume({ DurationSeconds: 900 });

  const { AccessKeyId = '', SecretAccessKey, SessionToken, Expiration } = answer.Credentials ?? {};
  expect(world.aws.sts.credentials.get(AccessKeyId)).toEqual({
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expiresAt: world.clock.now() + 900_000,
    roleArn: ROLE,
  });
  expect(Expiration?.getTime()).toBe(world.clock.now() + 900_000);
  expect(SessionToken).toContain(`&<>"'`);
  expect(answer).toMatchObject({
    SubjectFromWebIdentityToken: SUBJECT,
    Audience: AUDIENCE,
    AssumedRoleUser: { Arn: 'arn:aws:sts::111122223333:assumed-role/team-a/team-a.builder' },
  });
  expect(answer.$metadata.requestId).toMatch(/^[0-9a-f-]{36}$/);
});

test("AWS's client signs nothing here, and sends one header of the family", async () => {
  await using world = await createWorld();

  await world.assume();

  const { headers, body } = world.aws.requests[0]!; // it was just sent
  expect(Object.keys(headers).filter((name) => /^x-amz|authorization/.test(name))).toEqual([
    'x-amz-user-agent',
  ]);
  expect([...new URLSearchParams(body).keys()]).toEqual([
    'Action',
    'Version',
    'RoleArn',
    'RoleSessionName',
    'WebIdentityToken',
  ]);
});

test('what a client needs to read is there in XML, with its entities', async () => {
  await using world = await createWorld();

  const answer = await world.post(await world.form());

  expect(answer).toMatchObject({ status: 200, type: 'text/xml' });
  expect(answer.body).toMatch(/<SessionToken>[\w+/=]+&amp;&lt;&gt;&quot;&apos;<\/SessionToken>/);
  expect(answer.body).toContain('<Expiration>2026-11-21T13:00:00Z</Expiration>');
  expect(answer.body).toMatch(/<ResponseMetadata>\s*<RequestId>[0-9a-f-]{36}<\/RequestId>/);
});

const past = (seconds: number) => Math.floor(createHandClock().now() / 1000) - seconds;
test.for<[string, TokenWishes, number, string, string]>([
  [
    'another audience',
    { claims: { aud: ['sts.other.example'] } },
    400,
    'InvalidIdentityToken',
    'Incorrect token audience',
  ],
  ['an end in the past', { claims: { exp: past(1) } }, 400, 'ExpiredTokenException', 'Token expired'],
  [
    'another issuer',
    { claims: { iss: 'https://other.example' } },
    400,
    'InvalidIdentityToken',
    'No OpenIDConnect provider',
  ],
  [
    'another subject',
    { claims: { sub: 'system:serviceaccount:team-b:builder' } },
    403,
    'AccessDenied',
    'Not authorized to perform',
  ],
  ['a start in the future', { claims: { nbf: past(-60) } }, 400, 'InvalidIdentityToken', 'not-yet-valid'],
  ['a key that is not published', { header: { kid: 'other' } }, 400, 'InvalidIdentityToken', 'unknown-key'],
])('a token with %s is refused', async ([, wishes, status, name, message]) => {
  await using world = await createWorld();

  const refused = world.assume({}, wishes);

  await expect(refused).rejects.toMatchObject({
    message: expect.stringContaining(message),
    $metadata: { httpStatusCode: status },
  });
  await expect(refused).rejects.toThrow(expect.objectContaining({ Code: name }));
  expect(world.aws.sts.credentials.size).toBe(0);
});

test('a token that another key signed under the same name is refused', async () => {
  await using world = await createWorld();
  const { privateKey } = await generateKeyPair('ES256');

  const refused = world.assume({}, { signWith: privateKey });

  await expect(refused).rejects.toMatchObject({
    Code: 'InvalidIdentityToken',
    message: "the token's signature is wrong",
  });
});

test('a token is good until its end, and not a second longer', async () => {
  await using world = await createWorld();
  const token = await world.issuer.token();
  expect(Number(decodeJwt(token).exp) * 1000).toBe(world.clock.now() + VALID_FOR_S * 1000);

  world.clock.turn(VALID_FOR_S * 1000 - 1000);
  await world.assume({ WebIdentityToken: token });
  world.clock.turn(1000);

  await expect(world.assume({ WebIdentityToken: token })).rejects.toMatchObject({
    name: 'ExpiredTokenException',
  });
});

test('an unknown key can look like keys that were not retrieved', async () => {
  await using world = await createWorld();
  world.aws.sts.unknownKeyIsNotRetrieved = true;
  await world.issuer.rotate({ publish: false });

  await expect(world.assume()).rejects.toMatchObject({
    Code: 'InvalidIdentityToken',
    message: "Couldn't retrieve verification key from your identity provider",
  });
});

test.for(['arn:aws:iam::111122223333:role/absent', CLOSED_ROLE])(
  'the role %s lets nobody in, and does not say why',
  async (RoleArn) => {
    await using world = await createWorld();

    await expect(world.assume({ RoleArn })).rejects.toMatchObject({
      Code: 'AccessDenied',
      message: 'Not authorized to perform sts:AssumeRoleWithWebIdentity',
    });
  },
);

test.for<[string, Record<string, unknown>, string]>([
  ['a role that is no ARN', { RoleArn: 'role/team-a' }, 'roleArn'],
  ['an account of 11 digits', { RoleArn: 'arn:aws:iam::11112222333:role/a' }, 'roleArn'],
  ['a session name with a blank', { RoleSessionName: 'team a' }, 'roleSessionName'],
  ['a session name of one character', { RoleSessionName: 'a' }, 'roleSessionName'],
  ['a session name of 65 characters', { RoleSessionName: 'a'.repeat(65) }, 'roleSessionName'],
  ['a token of 20,001 characters', { WebIdentityToken: 'a'.repeat(20_001) }, 'webIdentityToken'],
  ['899 seconds', { DurationSeconds: 899 }, 'durationSeconds'],
  ["more seconds than the role's maximum", { DurationSeconds: 43_201 }, 'durationSeconds'],
  ['a ProviderId', { ProviderId: 'www.amazon.com' }, 'ProviderId'],
])('%s is a validation error', async ([, changes, what]) => {
  await using world = await createWorld();

  await expect(world.assume(changes)).rejects.toMatchObject({
    Code: 'ValidationError',
    message: expect.stringContaining(`'${what}'`),
    $metadata: { httpStatusCode: 400 },
  });
});

test.for<[string, Record<string, string>, string]>([
  ['a signature', { authorization: 'AWS4-HMAC-SHA256 Credential=a' }, '403 IncompleteSignature'],
  ['a bearer', { authorization: 'Bearer a' }, '403 IncompleteSignature'],
  ['a security token', { 'x-amz-security-token': 'a' }, '403 InvalidClientTokenId'],
  ['a signing date', { 'x-amz-date': '20261121T120000Z' }, '403 InvalidClientTokenId'],
  ['a cookie', { cookie: 'a=b' }, '403 InvalidClientTokenId'],
  ['a wish for JSON', { accept: 'application/json' }, '406 NotAcceptable'],
  ['another content type', { 'content-type': 'application/json' }, '400 MissingAction'],
])('a request with %s is refused', async ([, headers, expected]) => {
  await using world = await createWorld();

  const { status, body } = await world.post(await world.form(), headers);

  expect(`${status} ${/<Code>(.*)<\/Code>/.exec(body)?.[1]}`).toBe(expected);
  expect(body).toContain('<Type>Sender</Type>');
});

test.for<[string, Record<string, string>, string]>([
  ['another action', { Action: 'AssumeRole' }, 'InvalidAction'],
  ['another version', { Version: '2011-06-16' }, 'InvalidAction'],
  ['a field nobody knows', { Foo: 'bar' }, 'ValidationError'],
  ['a policy that is no document', { Policy: 'none' }, 'MalformedPolicyDocument'],
  ['a token that is none', { WebIdentityToken: 'a.b.c' }, 'InvalidIdentityToken'],
])('a form with %s is refused', async ([, changes, code]) => {
  await using world = await createWorld();

  const { status, body } = await world.post(await world.form(changes));

  expect(status).toBe(400);
  expect(body).toContain(`<Code>${code}</Code>`);
});

test('only POST / without a query and with each field once is answered', async () => {
  await using world = await createWorld();
  const form = await world.form();

  expect((await world.post(form, {}, '/sts')).status).toBe(404);
  expect((await world.post(form, {}, '/?a=b')).status).toBe(404);
  expect((await world.post(form, {}, '/', 'PUT')).status).toBe(404);
  expect((await world.post(`${form}&RoleArn=${encodeURIComponent(ROLE)}`)).status).toBe(400);
  expect((await world.post(form)).status).toBe(200);
});

test.for<[number, string]>([
  [400, 'IDPCommunicationError'],
  [403, 'IDPRejectedClaim'],
  [403, 'RegionDisabledException'],
  [400, 'PackedPolicyTooLarge'],
  [400, 'Throttling'],
  [503, 'ServiceUnavailable'],
])("AWS's client reads a forced %s %s", async ([status, code]) => {
  await using world = await createWorld();
  world.aws.sts.refuseWith = { status, code, message: `it's <${code}> & more` };

  await expect(world.assume()).rejects.toMatchObject({
    Code: code,
    message: `it's <${code}> & more`,
    $metadata: { httpStatusCode: status },
  });
});
