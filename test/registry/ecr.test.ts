// Amazon ECR: Amazon's own signature vectors, and the whole way from a ServiceAccount token to a login through STS and ECR.
import { describe, expect, test } from 'vitest';
import { sign } from '../../src/registry/ecr.ts';
import { SecretText } from '../../src/secret-text.ts';
import type { EcrReply } from '../fakes/ecr-double.ts';
import { openAws, PRIVATE, PUBLIC, ROLE } from './aws-world.ts';
import { exchangeAt, HOUR_MS, inputFor, problemAt } from './set-up.ts';

describe('a signature', () => {
  // Made with botocore's signer, and again with node:crypto alone.
  test.for([
    {
      service: 'ecr',
      region: 'eu-west-1',
      host: 'api.ecr.eu-west-1.amazonaws.com',
      target: 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
      signature: 'b7f65e1b03bd4df25652a9c7805b1145653e4543c9631139ba75a06aad4c766c',
    },
    {
      service: 'ecr-public',
      region: 'us-east-1',
      host: 'api.ecr-public.us-east-1.amazonaws.com',
      target: 'SpencerFrontendService.GetAuthorizationToken',
      signature: 'fd08c969335b86ebcc0f2a5ad63a0eed7509bcb88def085291c771053dab6eba',
    },
  ])('for $service is the one that botocore makes, over every header that counts', async (vector) => {
    const { service, region, host, target, signature } = vector;

    const signed = await sign({
      url: new URL(`https://${host}/`),
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target },
      keys: {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey: new SecretText('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'),
        sessionToken: new SecretText('EXAMPLESESSIONTOKEN'),
      },
      action: { service, region },
      now: Date.parse('2026-01-02T03:04:05Z'),
    });

    expect(signed['authorization']).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/${region}/${service}/aws4_request, ` +
        `SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=${signature}`,
    );
    expect(Object.keys(signed)).not.toContain('host');
  });
});

describe('a login', () => {
  test.for([PRIVATE, PUBLIC])('of $kind is the user AWS for twelve hours', async (wish) => {
    await using stack = await openAws();
    const { world, aws } = stack;

    const credential = await exchangeAt(world, aws, wish);

    expect(credential).toMatchObject({ hosts: [wish.host], username: 'AWS', issuedAt: world.clock.now() });
    expect(credential.expiresAt).toBe(world.clock.now() + 12 * HOUR_MS);
    expect(aws.ecr.passwords.get(credential.password.reveal())).toBe(ROLE);
    expect(aws.requests).toHaveLength(2);
  });

  test('for a host of another account is kept under that host, whatever the answer names as its own', async () => {
    await using stack = await openAws();
    const { world, aws } = stack;

    const { hosts } = await exchangeAt(world, aws, PRIVATE);

    expect(ROLE).toContain('111122223333');
    expect(hosts).toEqual(['444455556666.dkr.ecr.eu-west-1.amazonaws.com']);
  });

  test('is signed for the region of the host', async () => {
    await using stack = await openAws('us-gov-west-1');
    const { world, aws } = stack;
    const role = 'arn:aws-us-gov:iam::111122223333:role/team-a-pull';
    const host = '444455556666.dkr.ecr-fips.us-gov-west-1.amazonaws.com';

    const credential = await exchangeAt(world, aws, { kind: 'ecr', host, parameters: { 'role-arn': role } });

    expect(aws.ecr.passwords.get(credential.password.reveal())).toBe(role);
  });

  test.for<[string, EcrReply, number]>([
    ['a fraction', { notation: 'fraction' }, 0],
    ['a whole number', { notation: 'whole' }, 0],
    ['an exponent', { notation: 'exponent' }, 0],
    ['milliseconds, so some time in the year 58000', { expiresAt: 1_795_305_600_000_000 }, 0],
    ['an hour from now', { expiresAt: Date.parse('2026-11-21T13:00:00Z') }, -11 * HOUR_MS],
  ])('may say its end as %s, and never lives longer than twelve hours', async ([, reply, more]) => {
    await using stack = await openAws();
    const { world, aws } = stack;
    aws.ecr.reply = reply;

    const { expiresAt } = await exchangeAt(world, aws, PRIVATE);

    expect(expiresAt).toBe(world.clock.now() + 12 * HOUR_MS + more);
  });

  test('has whatever follows the first colon as its password', async () => {
    await using stack = await openAws();
    stack.aws.ecr.reply = { login: 'AWS:one:two:' };

    const credential = await exchangeAt(stack.world, stack.aws, PRIVATE);

    expect(credential.username).toBe('AWS');
    expect(credential.password.reveal()).toBe('one:two:');
  });

  test.for<[string, EcrReply]>([
    ['without a colon', { login: 'AWSpassword' }],
    ['without a user', { login: ':password' }],
    ['without a password', { login: 'AWS:' }],
    ['with a line feed in it', { login: 'AWS:pass\nword' }],
    ['that is not base64', { authorizationToken: '%%%%' }],
    ['that is empty', { authorizationToken: '' }],
    ['beyond ASCII', { authorizationToken: 'QVdTOnh4ü' }],
  ])('%s is refused as malformed', async ([, reply]) => {
    await using stack = await openAws();
    stack.aws.ecr.reply = reply;

    expect((await problemAt(stack.world, stack.aws, PRIVATE)).code).toBe('exchange-malformed');
  });

  test('that has expired already is none', async () => {
    await using stack = await openAws();
    const { world, aws } = stack;
    aws.ecr.reply = { expiresAt: world.clock.now() - 1000 };

    expect((await problemAt(world, aws, PRIVATE)).code).toBe('credential-already-expired');
  });
});

describe('what ECR refuses', () => {
  test.for([
    [403, 'AccessDeniedException', 'exchange-waiting', 'the role needs ecr:GetAuthorizationToken'],
    [400, 'com.amazonaws.ecr#AccessDeniedException', 'exchange-waiting', 'AccessDeniedException'],
    [403, 'a.b#AccessDeniedException:http://a.example/b#c', 'exchange-waiting', 'AccessDeniedException'],
    [400, 'ExpiredTokenException', 'exchange-stale', 'expired or not valid yet'],
    [
      400,
      'UnrecognizedClientException',
      'exchange-stale',
      "the region may be disabled for the role's account",
    ],
    [403, 'InvalidSignatureException', 'exchange-stale', 'clocks that differ by five minutes do this'],
    [400, 'InvalidParameterException', 'exchange-refused', '(400 InvalidParameterException'],
    [400, 'UnsupportedCommandException', 'exchange-refused', '(400 UnsupportedCommandException'],
    [500, 'ServerException', 'exchange-unreachable', 'is failing (500 ServerException'],
    [400, 'ServerException', 'exchange-unreachable', 'is failing (400 ServerException'],
    [400, 'ThrottlingException', 'exchange-throttled', 'asks us to wait'],
    [400, 'TooManyRequestsException', 'exchange-throttled', 'asks us to wait'],
    [429, 'SomethingNew', 'exchange-throttled', '(429 SomethingNew'],
    [503, '', 'exchange-unreachable', '(503, request '],
    [509, '', 'exchange-unreachable', '(509, request '],
  ] as const)('%d %s is %s', async ([status, type, code, told]) => {
    await using stack = await openAws();
    const { world, aws } = stack;
    const mostTries = /unreachable|throttled/.test(code) ? 3 : 1;
    for (const [wish, more] of [
      [PRIVATE, {}],
      [PUBLIC, { headerOnly: true }],
      [PUBLIC, { messageField: 'Message' }],
    ] as const) {
      aws.requests.length = 0;
      aws.ecr.refuseWith = { status, type, message: 'a text with arn:aws:iam::1:role/marked-text', ...more };

      const problem = await problemAt(world, aws, wish);

      expect(problem.code).toBe(code);
      expect(problem.message).toContain(told);
      expect(problem.message).toMatch(/request [0-9a-f-]{36}/);
      expect(problem.message).not.toContain('marked-text');
      // One to STS, and then ECR alone is asked again.
      expect(aws.requests).toHaveLength(1 + mostTries);
    }
  });

  test('for the time of a signature says how far the clocks are apart', async () => {
    await using stack = await openAws();
    const { world, aws } = stack;
    aws.dateSkewMs = 400_000;
    aws.ecr.refuseWith = { status: 403, type: 'InvalidSignatureException', message: 'Signature expired' };

    const problem = await problemAt(world, aws, PRIVATE);

    expect(problem.code).toBe('exchange-stale');
    expect(problem.message).toContain('our clock is 400 s behind that of the token service');
  });
});

test('each try is signed anew: a signature of the first would be too old for the last', async () => {
  await using stack = await openAws();
  const { world, aws } = stack;
  aws.nextMoods.push('well', 'failing', 'failing');

  await exchangeAt(world, aws, PRIVATE);

  const dates = aws.requests.slice(1).map(({ headers }) => headers['x-amz-date']);
  expect(dates).toHaveLength(3);
  expect(new Set(dates).size).toBeGreaterThan(1);
});

test('a role of another partition is no plan at all, and no token is sent', async () => {
  await using stack = await openAws();
  const planned = (kind: string, host: string, role: string) =>
    inputFor(stack.world, stack.aws, { kind, host, parameters: { 'role-arn': role } });
  const china = '444455556666.dkr.ecr.cn-north-1.amazonaws.com.cn';

  await expect(planned('ecr', china, ROLE)).rejects.toThrow(
    'the role is of partition aws, the registry of aws-cn: each partition has its own roles',
  );
  await expect(planned('ecr-public', 'public.ecr.aws', ROLE.replace('aws:', 'aws-cn:'))).rejects.toThrow(
    'the role is of partition aws-cn, the registry of aws',
  );
  await expect(planned('ecr', china, ROLE.replace('aws:', 'aws-cn:'))).resolves.toBeDefined();
});
