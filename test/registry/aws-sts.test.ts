// AssumeRoleWithWebIdentity: what STS is sent, what of its XML is read, and what each of its refusals becomes.
import { describe, expect, test } from 'vitest';
import { sessionNameFor } from '../../src/registry/aws-sts.ts';
import type { Need } from '../../src/core/pull-credential.ts';
import { createStrictServer } from '../fakes/strict-server.ts';
import { openAws, PRIVATE, ROLE } from './aws-world.ts';
import { exchangeAt, expectNothingShown, openWorld, problemAt } from './set-up.ts';

test('STS is sent an unsigned form with the token, the role and a session named after the account', async () => {
  await using stack = await openAws();
  const { world, aws } = stack;

  await exchangeAt(world, aws, PRIVATE);

  const [sent] = aws.requests;
  expect(sent).toMatchObject({ method: 'POST', path: '/' });
  expect(Object.fromEntries(new URLSearchParams(sent?.body))).toEqual({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: ROLE,
    RoleSessionName: 'team-a.builder',
    WebIdentityToken: world.secrets[0],
  });
  expect(Object.keys(sent?.headers ?? {})).not.toContain('authorization');
  expect(Object.keys(sent?.headers ?? {})).not.toContain('accept');
});

test('endpoints may be named one by one, as private links are', async () => {
  await using stack = await openAws();
  const { world, aws } = stack;

  await exchangeAt(world, aws, {
    ...PRIVATE,
    exchange: { endpoint: undefined, endpoints: { sts: aws.url, api: aws.url } },
  });

  expect(aws.requests).toHaveLength(2);
});

describe('a session name', () => {
  const nameFor = (namespace: string, account: string) =>
    sessionNameFor({ identity: { namespace, account, uid: '' } } as Need); // nothing else is read

  test.for([
    ['a', 'b', 'a.b'],
    ['team-a', 'my.account.with-dots', 'team-a.my.account.with-dots'],
    ['n'.repeat(31), 'a'.repeat(32), `${'n'.repeat(31)}.${'a'.repeat(32)}`],
  ])('of %s and %s is both of them', ([namespace, account, name]) => {
    expect(nameFor(namespace!, account!)).toBe(name);
  });

  test('is cut to 64 characters, and two that are cut alike differ', () => {
    const names = ['x', 'y'].map((end) => nameFor('n'.repeat(63), `${'a'.repeat(252)}${end}`));

    for (const name of names) expect(name).toMatch(/^n{55}-[0-9a-f]{8}$/);
    expect(new Set(names).size).toBe(2);
    expect(nameFor('n'.repeat(32), 'a'.repeat(32))).toMatch(/^[\w+=,.@-]{64}$/);
  });

  test('that was cut is one that STS takes', async () => {
    await using stack = await openAws();
    const name = 'a'.repeat(200);
    const subjects = [`system:serviceaccount:team-a:${name}`];
    Object.assign(stack.world.trust.subjects, subjects);

    const credential = await exchangeAt(stack.world, stack.aws, { ...PRIVATE, account: { name } });

    expect(credential.username).toBe('AWS');
  });
});

describe('what STS refuses', () => {
  test.for([
    [400, 'ExpiredTokenException', '', 'exchange-stale', 'expired or not valid yet'],
    [400, 'IDPCommunicationError', '', 'exchange-unreachable', "AWS cannot reach the cluster's issuer"],
    [
      400,
      'InvalidIdentityToken',
      "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity",
      'exchange-unreachable',
      'InvalidIdentityToken',
    ],
    [
      400,
      'InvalidIdentityToken',
      'No OpenIDConnect provider found in your account for https://marked.example',
      'exchange-refused',
      "the AWS account needs an IAM OIDC provider for this cluster's issuer",
    ],
    [400, 'InvalidIdentityToken', 'Incorrect token audience', 'exchange-refused', 'as client id'],
    [403, 'IDPRejectedClaim', '', 'exchange-refused', "the cluster's issuer calls the token invalid"],
    [
      403,
      'AccessDenied',
      'Not authorized',
      'exchange-waiting',
      "the role's trust policy must allow the subject",
    ],
    [403, 'RegionDisabledException', '', 'exchange-refused', "set the rule's exchange.endpoints.sts"],
    [400, 'MalformedPolicyDocument', '', 'exchange-refused', '(400 MalformedPolicyDocument'],
    [400, 'PackedPolicyTooLarge', '', 'exchange-refused', '(400 PackedPolicyTooLarge'],
    [400, 'ValidationError', '', 'exchange-refused', '(400 ValidationError'],
    [400, 'Throttling', '', 'exchange-throttled', 'asks us to wait (400 Throttling'],
    [400, 'ThrottlingException', '', 'exchange-throttled', ''],
    [400, 'RequestThrottled', '', 'exchange-throttled', ''],
    [400, 'RequestThrottledException', '', 'exchange-throttled', ''],
    [400, 'RequestLimitExceeded', '', 'exchange-throttled', ''],
    [503, 'TooManyRequestsException', '', 'exchange-throttled', ''],
    [400, 'RequestTimeout', '', 'exchange-unreachable', 'is failing (400 RequestTimeout'],
    [429, 'Other', '', 'exchange-throttled', ''],
    [500, 'InternalFailure', '', 'exchange-unreachable', ''],
    [509, 'Other', '', 'exchange-unreachable', ''],
  ] as const)('%d %s "%s" is %s', async ([status, code, message, wanted, told]) => {
    await using stack = await openAws();
    const { world, aws } = stack;
    aws.sts.refuseWith = { status, code, message: `${message} <&>` };

    const problem = await problemAt(world, aws, PRIVATE);

    expect(problem.code).toBe(wanted);
    expect(problem.message).toContain(told);
    expect(problem.message).toMatch(/, request [0-9a-f-]{36}\)/);
    expect(problem.message).not.toContain('marked');
    expect(aws.requests).toHaveLength(/unreachable|throttled/.test(wanted) ? 3 : 1);
  });

  test('as it judges a real token: of a stranger, for another audience, expired, with keys it has not seen', async () => {
    await using stack = await openAws();
    const { world, aws } = stack;
    const codeFor = async (claims: object) =>
      (await problemAt(world, aws, { ...PRIVATE, token: { claims: { ...claims } } })).details.upstream;

    expect(await codeFor({ sub: 'system:serviceaccount:team-b:builder' })).toBe('403 AccessDenied');
    expect(await codeFor({ aud: ['https://elsewhere.example'] })).toBe('400 InvalidIdentityToken');
    expect(await codeFor({ exp: world.clock.now() / 1000 - 10 })).toBe('400 ExpiredTokenException');
    await world.issuer.rotate({ publish: false });
    aws.sts.unknownKeyIsNotRetrieved = true;
    expect((await problemAt(world, aws, PRIVATE)).code).toBe('exchange-unreachable');
  });
});

describe('keys', () => {
  const xml = (keys: Readonly<Record<string, string>>) =>
    `<R><C>${Object.entries(keys)
      .map(([name, text]) => `<${name}>${text}</${name}>`)
      .join('\n')}</C></R>`;
  const good = {
    AccessKeyId: 'ASIAEXAMPLEEXAMPLE00',
    SecretAccessKey: 'marked-secret-key&amp;&lt;&gt;&quot;&apos;',
    SessionToken: 'marked-session',
  };

  test.for([
    ['no access key', xml({ ...good, AccessKeyId: '' })],
    ['an access key that would end a header', xml({ ...good, AccessKeyId: 'ASIAEXAMPLEEXAMPLE00\r\nx: 1' })],
    ['an empty secret', xml({ ...good, SecretAccessKey: '' })],
    ['a session that would end a header', xml({ ...good, SessionToken: 'marked-session\r\nx: 1' })],
    ['a session beyond ASCII', xml({ ...good, SessionToken: 'marked-session-ü' })],
    ['elements within one', xml({ ...good, SessionToken: '<b>marked-session</b>' })],
    ['JSON', '{"AccessKeyId":"marked"}'],
    ['an open end', '<AccessKeyId>ASIAEXAMPLEEXAMPLE00'],
    ['many beginnings', '<SessionToken>'.repeat(15_000)],
  ])('that come as %s are malformed, and nothing of them is shown or sent on', async ([, body]) => {
    await using world = await openWorld();
    const server = await world.use(createStrictServer({ clock: world.clock, answer: () => ({ body }) }));

    const problem = await problemAt(world, server, PRIVATE);

    expect(problem).toMatchObject({ code: 'exchange-malformed' });
    expectNothingShown(problem, 'marked-session', 'marked-secret-key', 'marked');
    expect(server.requests).toHaveLength(1);
  });

  test('have their entities undone once, before they sign', async () => {
    await using stack = await openAws();
    const { world, aws } = stack;
    const server = await world.use(
      createStrictServer({
        clock: world.clock,
        answer: (request) => {
          if (!('x-amz-target' in request.headers)) return { body: xml(good) };
          const known = {
            accessKeyId: good.AccessKeyId,
            secretAccessKey: `marked-secret-key&<>"'`,
            sessionToken: good.SessionToken,
            expiresAt: world.clock.now() + 3600_000,
            roleArn: ROLE,
          };
          aws.sts.credentials.set(known.accessKeyId, known);
          return aws.ecr.answer(request);
        },
      }),
    );

    expect((await exchangeAt(world, server, PRIVATE)).username).toBe('AWS');
  });
});
