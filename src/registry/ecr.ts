// Amazon ECR, private and public: a role assumed with the ServiceAccount token, then a login for the whole region, signed
// with the role's keys. After kubernetes/cloud-provider-aws and botocore's service models.
import { AwsV4Signer } from 'aws4fetch';
import * as z from 'zod';
import { SecretText } from '../secret-text.ts';
import { partsBy } from '../core/registry-family.ts';
import { ecrParts, ecrPatterns } from './aws-partition.ts';
import { assumeRole, awsThrottling, partitionFault, roleArn, type SessionKeys } from './aws-sts.ts';
import { member, type Refusal } from './refusal.ts';
import { SecretAnswer } from './secret-answer.ts';
import type { FamilyCall, Login, RegistryFamily } from './registry-family.ts';

/** `prefix#Code:more` in either place; prefix and more may be missing. */
const refusal: Refusal = {
  codeOf: (body, header) => {
    const type = member(body, '__type') || (header('x-amzn-errortype') ?? '');
    return type.split(':')[0]?.split('#').at(-1) ?? '';
  },
  classes: {
    ...awsThrottling,
    ServerException: 'transient',
    AccessDeniedException: 'propagation',
    ExpiredTokenException: 'stale',
    UnrecognizedClientException: 'stale',
    InvalidSignatureException: 'stale',
  },
  cures: {
    AccessDeniedException:
      'the role needs ecr:GetAuthorizationToken (for ECR Public also sts:GetServiceBearerToken)',
    UnrecognizedClientException: "the region may be disabled for the role's account",
    InvalidSignatureException: 'clocks that differ by five minutes do this',
  },
};

const AuthorizationData = z.object({ authorizationToken: SecretAnswer, expiresAt: z.number() });
const PrivateAnswer = z.object({ authorizationData: z.array(AuthorizationData).min(1) });
const PublicAnswer = z.object({ authorizationData: AuthorizationData });

const shared = {
  parameters: { 'role-arn': roleArn },
  endpoints: ['sts', 'api'],
  receiver: 'aws',
  tokenSeconds: 600,
  longestLife: 12 * 3600,
} satisfies Partial<RegistryFamily>;

export const ecr: RegistryFamily = {
  ...shared,
  hosts: {
    patterns: ecrPatterns,
    partsOf: ecrParts,
    registries: 'account ids',
    registryPattern: /^[0-9]{12}$/,
  },
  scopeOf: ({ region = '' }) => region,
  faultOf: (parameters, { partition = '' }) => partitionFault(parameters['role-arn'], partition),
  async exchange(call) {
    const { sts = '', api = '', region = '' } = call.parts;
    const keys = await assumeRole(call, sts);
    const target = 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken';
    const { data } = await call.ask({
      ...signedStep(call, keys, { host: api, service: 'ecr', region, target }),
      answer: PrivateAnswer,
    });
    const [first] = data.authorizationData;
    if (!first) throw new TypeError('the schema lets no empty list pass');
    return loginFrom(first);
  },
};

export const ecrPublic: RegistryFamily = {
  ...shared,
  hosts: {
    patterns: ['public.ecr.aws', 'ecr-public.aws.com'],
    partsOf: partsBy(/^(?:public\.ecr\.aws|ecr-public\.aws\.com)$/),
  },
  scopeOf: () => 'public',
  faultOf: (parameters) => partitionFault(parameters['role-arn'], 'aws'),
  async exchange(call) {
    // One region serves the world, and signs as itself.
    const region = 'us-east-1';
    const keys = await assumeRole(call, `sts.${region}.amazonaws.com`);
    const target = 'SpencerFrontendService.GetAuthorizationToken';
    const host = `api.ecr-public.${region}.amazonaws.com`;
    const { data } = await call.ask({
      ...signedStep(call, keys, { host, service: 'ecr-public', region, target }),
      answer: PublicAnswer,
    });
    return loginFrom(data.authorizationData);
  },
};

interface Action {
  readonly host: string;
  readonly service: string;
  readonly region: string;
  readonly target: string;
}

function signedStep({ url: urlFor, now }: FamilyCall, keys: SessionKeys, action: Action) {
  const url = urlFor('api', `https://${action.host}`, '/');
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': action.target };
  return { url, body: '{}', headers, sign: () => sign({ url, headers, keys, action, now: now() }), refusal };
}

/** Signature Version 4 over every header that is sent; exported for Amazon's own vectors. */
export async function sign({
  url,
  headers,
  keys,
  action,
  now,
}: {
  url: URL;
  headers: Readonly<Record<string, string>>;
  keys: SessionKeys;
  action: Pick<Action, 'service' | 'region'>;
  now: number;
}): Promise<Record<string, string>> {
  const signer = new AwsV4Signer({
    method: 'POST',
    url: url.href,
    headers,
    body: '{}',
    accessKeyId: keys.accessKeyId,
    secretAccessKey: keys.secretAccessKey.reveal(),
    sessionToken: keys.sessionToken.reveal(),
    service: action.service,
    region: action.region,
    datetime: new Date(now).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
    // It leaves Content-Type out by itself, which browsers may change.
    allHeaders: true,
  });
  const signed = await signer.sign();
  return Object.fromEntries([...signed.headers].filter(([name]) => name !== 'host'));
}

/** base64 of `AWS:<password>`; what is no such thing has no user, and is refused by the engine. */
function loginFrom({ authorizationToken, expiresAt }: z.output<typeof AuthorizationData>): Login {
  const text = Buffer.from(authorizationToken.reveal(), 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return {
    username: text.slice(0, Math.max(colon, 0)),
    password: new SecretText(text.slice(colon + 1)),
    expiresAt: [expiresAt * 1000],
  };
}
