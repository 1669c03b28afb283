// The double of ECR, and of STS and ECR together, tried with AWS's own clients; with aws4fetch where AWS's client for
// the public service is not at hand; and with requests of theirs that were changed on the way.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { json } from 'node:stream/consumers';
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { AssumeRoleWithWebIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { AwsV4Signer } from 'aws4fetch';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createAwsDouble, createEcrDouble } from './ecr-double.ts';
import { createFakeIssuer } from './fake-issuer.ts';
import { createHandClock } from './hand-clock.ts';
import { makeTemporaryCredential, writeDateTime, type TemporaryCredential } from './sigv4.ts';

const ROLE = 'arn:aws:iam::111122223333:role/team-a';
const AUDIENCE = 'sts.amazonaws.com';
const HOUR_MS = 3600_000;
const MINUTE_MS = 60_000;
const PUBLIC_TARGET = 'SpencerFrontendService.GetAuthorizationToken';

/** The clients go by the machine's clock: the double's starts there, and is moved by hand. */
async function createWorld() {
  const stack = new AsyncDisposableStack();
  const clock = createHandClock(systemClock.now());
  const issuer = stack.use(await createFakeIssuer({ clock, audience: AUDIENCE }));
  const trust = { issuer, audience: AUDIENCE, subjects: ['system:serviceaccount:team-a:builder'], clock };
  const aws = stack.use(await createAwsDouble({ clock, trust, roles: { [ROLE]: {} } }));
  const ca = aws.certificateAuthorityPem;
  const common = {
    region: 'eu-west-1',
    endpoint: aws.url,
    requestHandler: { httpsAgent: new Agent({ ca }) },
    maxAttempts: 1,
  };

  async function assume(): Promise<TemporaryCredential> {
    const WebIdentityToken = await issuer.token();
    const { Credentials } = await new STSClient(common).send(
      new AssumeRoleWithWebIdentityCommand({ RoleArn: ROLE, RoleSessionName: 'team-a', WebIdentityToken }),
    );
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '', Expiration } = Credentials ?? {};
    return {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      expiresAt: Expiration?.getTime() ?? 0,
      roleArn: ROLE,
    };
  }
  const ask = async (credentials: TemporaryCredential, more = {}) =>
    await new ECRClient({ ...common, credentials, ...more }).send(new GetAuthorizationTokenCommand({}));
  async function post(headers: Record<string, unknown>, body = '{}', path = '/') {
    const asked = request(`${aws.url}${path}`, { ca, method: 'POST', headers: headers as never });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const told = (await json(answer)) as Record<string, never>;
    return { status: answer.statusCode, body: told, type: answer.headers['x-amzn-errortype'] };
  }
  /** Headers that aws4fetch signs, which leaves content-type out. */
  async function sign(credential: TemporaryCredential, service = 'ecr-public', region = 'us-east-1') {
    const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': PUBLIC_TARGET };
    const { accessKeyId, secretAccessKey, sessionToken } = credential;
    const keys = { accessKeyId, secretAccessKey, sessionToken, service, region };
    const datetime = writeDateTime(clock.now());
    const signer = new AwsV4Signer({
      ...keys,
      url: `${aws.url}/`,
      method: 'POST',
      headers,
      body: '{}',
      datetime,
    });
    return Object.fromEntries((await signer.sign()).headers);
  }
  return { clock, aws, assume, ask, post, sign, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
type World = Awaited<ReturnType<typeof createWorld>>;

/** What AWS's client last sent, without what belongs to the connection. */
function lastHeaders({ aws }: World): Record<string, unknown> {
  const { connection: _, ...headers } = aws.requests.at(-1)?.headers ?? {};
  return headers;
}

test("AWS's clients go all the way, from a token of the cluster to a password", async () => {
  await using world = await createWorld();

  const answer = await world.ask(await world.assume());

  const [data, ...others] = answer.authorizationData ?? [];
  const login = Buffer.from(data?.authorizationToken ?? '', 'base64').toString('utf8');
  expect(others).toEqual([]);
  expect(login).toMatch(/^AWS:/);
  expect(world.aws.ecr.passwords.get(login.slice('AWS:'.length))).toBe(ROLE);
  expect(data?.expiresAt?.getTime()).toBe(world.clock.now() + 12 * HOUR_MS);
  expect(data?.proxyEndpoint).toBe('https://111122223333.dkr.ecr.eu-west-1.amazonaws.com');
});

test("AWS's client signs every x-amz header that it sends, and {} is its body", async () => {
  await using world = await createWorld();

  await world.ask(await world.assume());

  const { headers, body } = world.aws.requests.at(-1)!; // it was just sent
  const signed = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? [];
  expect(body).toBe('{}');
  expect(headers['content-type']).toBe('application/x-amz-json-1.1');
  expect(Object.keys(headers).filter((name) => name.startsWith('x-amz-'))).toEqual(
    expect.arrayContaining(signed.filter((name) => name.startsWith('x-amz-'))),
  );
  expect(signed).toEqual(
    expect.arrayContaining(['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target']),
  );
});

test('the public service answers an object, to a signature that leaves content-type out', async () => {
  await using world = await createWorld();
  const headers = await world.sign(await world.assume());

  const answer = await world.post(headers);

  expect(headers['authorization']).toContain(
    'SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target,',
  );
  expect(answer.status).toBe(200);
  expect(Object.keys(answer.body['authorizationData'] ?? {})).toEqual(['authorizationToken', 'expiresAt']);
});

test.for([
  ['ecr', 'us-east-1'],
  ['ecr-public', 'eu-west-1'],
])('the public service refuses a signature for %s in %s', async ([service, region]) => {
  await using world = await createWorld();
  const headers = await world.sign(await world.assume(), service, region);

  const answer = await world.post(headers);

  expect(answer).toMatchObject({ status: 400, type: 'InvalidSignatureException' });
});

test('the private service refuses a signature for another region', async () => {
  await using world = await createWorld();

  const refused = world.ask(await world.assume(), { region: 'eu-west-2' });

  await expect(refused).rejects.toMatchObject({
    name: 'InvalidSignatureException',
    message: expect.stringContaining('eu-west-1/ecr'),
  });
});

test.for([
  [-6, 'Signature expired'],
  [6, 'Signature not yet current'],
] as const)('a client whose clock is %s minutes off is told so', async ([minutes, message]) => {
  await using world = await createWorld();

  const refused = world.ask(await world.assume(), { systemClockOffset: minutes * MINUTE_MS });

  await expect(refused).rejects.toMatchObject({
    name: 'InvalidSignatureException',
    message: expect.stringContaining(message),
  });
});

test('four minutes off are borne', async () => {
  await using world = await createWorld();
  const credential = await world.assume();

  await world.ask(credential, { systemClockOffset: -4 * MINUTE_MS });
  await world.ask(credential, { systemClockOffset: 4 * MINUTE_MS });

  expect(world.aws.ecr.passwords.size).toBe(2);
});

test('credentials end when STS said that they do', async () => {
  await using world = await createWorld();
  const credential = await world.assume();
  world.clock.turn(HOUR_MS);

  const refused = world.ask(credential, { systemClockOffset: HOUR_MS });

  await expect(refused).rejects.toMatchObject({ name: 'ExpiredTokenException' });
});

test.for<[string, Partial<TemporaryCredential>, string]>([
  ['an unknown access key', { accessKeyId: 'ASIAUNKNOWN' }, 'UnrecognizedClientException'],
  ['another security token', { sessionToken: 'other' }, 'UnrecognizedClientException'],
  ['no security token', { sessionToken: undefined as never }, 'UnrecognizedClientException'],
  ['another secret', { secretAccessKey: 'other' }, 'InvalidSignatureException'],
])('%s is refused', async ([, changes, name]) => {
  await using world = await createWorld();

  const refused = world.ask({ ...(await world.assume()), ...changes });

  await expect(refused).rejects.toMatchObject({ name, $metadata: { httpStatusCode: 400 } });
});

test.for<[string, Record<string, string>, string]>([
  ['another signature', { authorization: 'Signature=' }, 'InvalidSignatureException'],
  ['another date', { 'x-amz-date': '20200102T030405Z' }, 'InvalidSignatureException'],
  ['an unsigned x-amz header', { 'x-amz-more': 'a' }, 'InvalidSignatureException'],
  ['another signed header', { 'x-amz-user-agent': 'a' }, 'InvalidSignatureException'],
  ['no date', { 'x-amz-date': '' }, 'IncompleteSignatureException'],
  ['a bearer', { authorization: 'Bearer a' }, 'IncompleteSignatureException'],
  ['no authorization', { authorization: '' }, 'MissingAuthenticationTokenException'],
  ['another operation', { 'x-amz-target': 'ECR.GetAuthorizationToken' }, 'UnknownOperationException'],
  ['the other service', { 'x-amz-target': PUBLIC_TARGET }, 'InvalidSignatureException'],
  ['another content type', { 'content-type': 'application/json' }, 'SerializationException'],
])("a request of AWS's client with %s is refused", async ([, changes, type]) => {
  await using world = await createWorld();
  await world.ask(await world.assume());
  const sent = lastHeaders(world);
  const tampered = String(sent['authorization']).replace(/Signature=.{64}$/, `Signature=${'0'.repeat(64)}`);
  const isTampered = changes['authorization'] === 'Signature=';

  const answer = await world.post({ ...sent, ...changes, ...(isTampered && { authorization: tampered }) });

  expect(answer).toMatchObject({ status: 400, type, body: { __type: type } });
  expect(world.aws.ecr.passwords.size).toBe(1);
});

test("a request of AWS's client is good again as it was, and not with another body or path", async () => {
  await using world = await createWorld();
  await world.ask(await world.assume());
  const sent = lastHeaders(world);

  expect((await world.post(sent)).status).toBe(200);
  const otherBody = await world.post({ ...sent, 'content-length': '3' }, '{ }');
  expect(otherBody.type).toBe('SerializationException');
  expect((await world.post(sent, '{}', '/v2')).type).toBe('UnknownOperationException');
  expect((await world.post(sent, '{}', '/?a=b')).type).toBe('UnknownOperationException');
});

test.for([
  ['fraction', /"expiresAt":\d{10}\.\d{3}[,}]/],
  ['whole', /"expiresAt":\d{10}[,}]/],
  ['exponent', /"expiresAt":\d\.\d+E9[,}]/],
] as const)("AWS's client reads an expiry that is written as %s", async ([notation]) => {
  await using world = await createWorld();
  const expiresAt = Date.parse('2126-01-02T03:04:05Z');
  world.aws.ecr.reply = { expiresAt, notation };

  const { authorizationData } = await world.ask(await world.assume());

  expect(authorizationData?.[0]?.expiresAt?.getTime()).toBe(expiresAt);
});

test('an answer can be wrong in the ways that are wished', async () => {
  await using world = await createWorld();
  const credential = await world.assume();
  const tokenFor = async () =>
    (await world.ask(credential)).authorizationData?.[0]?.authorizationToken ?? 'none';

  world.aws.ecr.reply = { login: 'OTHER:pass\nword' };
  const encoded = await tokenFor();
  world.aws.ecr.reply = { authorizationToken: 'not base64!' };

  expect(Buffer.from(encoded, 'base64').toString()).toBe('OTHER:pass\nword');
  expect(await tokenFor()).toBe('not base64!');
});

test.for([
  [{ status: 400, type: 'AccessDeniedException', message: 'no' }, 'AccessDeniedException'],
  [{ status: 400, type: 'com.amazon.coral#ThrottlingException', message: 'no' }, 'ThrottlingException'],
  [{ status: 500, type: 'ServerException', message: 'no', headerOnly: true }, 'ServerException'],
  [
    { status: 400, type: 'InvalidParameterException', message: 'no', messageField: 'Message' as const },
    'InvalidParameterException',
  ],
] as const)("AWS's client reads a forced refusal as %j", async ([refusal, name]) => {
  await using world = await createWorld();
  const credential = await world.assume();
  world.aws.ecr.refuseWith = refusal;

  await expect(world.ask(credential)).rejects.toMatchObject({
    name,
    $metadata: { httpStatusCode: refusal.status },
  });
});

test('ECR alone takes the credentials that a test puts there', async () => {
  const clock = createHandClock(systemClock.now());
  const credential = makeTemporaryCredential(ROLE, clock.now() + HOUR_MS);
  const credentials = new Map([[credential.accessKeyId, credential]]);
  await using ecr = await createEcrDouble({ clock, credentials, region: 'eu-central-1' });
  const httpsAgent = new Agent({ ca: ecr.certificateAuthorityPem });

  const client = new ECRClient({
    region: 'eu-central-1',
    endpoint: ecr.url,
    requestHandler: { httpsAgent },
    credentials: credential,
  });
  await client.send(new GetAuthorizationTokenCommand({}));

  expect(ecr.ecr.passwords.size).toBe(1);
});
