// AWS Security Token Service: AssumeRoleWithWebIdentity, which is unsigned, answers XML, and makes the keys that sign the
// next call. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
import { hash } from 'node:crypto';
import * as z from 'zod';
import { SecretAnswer } from './secret-answer.ts';
import type { ParameterGrammar } from '../core/registry-family.ts';
import type { Need } from '../core/pull-credential.ts';
import type { FamilyCall } from './registry-family.ts';
import type { FailureClass, Refusal } from './refusal.ts';

export const roleArn: ParameterGrammar = {
  means: 'the IAM role that the account assumes',
  pattern: /^arn:aws(?:-[a-z]{1,8}){0,3}:iam::[0-9]{12}:role\/[\w+=,.@/-]{1,512}$/,
  looksLike: 'arn:aws:iam::111122223333:role/NAME',
  isRequired: true,
  isPrincipal: true,
  foreign: [
    'eks.amazonaws.com/ecr-role-arn',
    'eks.amazonaws.com/role-arn',
    'imagepullsecrets.preferred.jp/aws-role-arn',
  ],
};

/** What is wrong with the role for a host of that partition. */
export function partitionFault(role: string | undefined, partition: string): string | undefined {
  const own = role?.split(':')[1];
  return own === undefined || own === partition
    ? undefined
    : `the role is of partition ${own}, the registry of ${partition}: each partition has its own roles`;
}

/** What both of Amazon's protocols say of throttling, by botocore data/_retry.json. */
export const awsThrottling: Readonly<Record<string, FailureClass>> = {
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  RequestThrottled: 'throttled',
  RequestThrottledException: 'throttled',
  TooManyRequestsException: 'throttled',
  RequestLimitExceeded: 'throttled',
  RequestTimeout: 'transient',
};

const refusal: Refusal = {
  codeOf: (body) => leaf(body, 'Code') ?? '',
  classes: {
    ...awsThrottling,
    ExpiredTokenException: 'stale',
    IDPCommunicationError: 'transient',
    AccessDenied: 'propagation',
  },
  // A 400 like any other, but STS could not fetch the issuer's keys: AWS' own SDKs try again (aws-sdk-php pull request 1858).
  classOf: (code, body) =>
    code === 'InvalidIdentityToken' && /retrieve verification key/.test(leaf(body, 'Message') ?? '')
      ? 'transient'
      : undefined,
  cures: {
    AccessDenied: "the role's trust policy must allow the subject of this account and the rule's audience",
    InvalidIdentityToken:
      "the AWS account needs an IAM OIDC provider for this cluster's issuer, with the rule's audience as client id",
    IDPCommunicationError: "AWS cannot reach the cluster's issuer",
    RegionDisabledException:
      "STS is disabled in this region: activate it, or set the rule's exchange.endpoints.sts",
    IDPRejectedClaim: "the cluster's issuer calls the token invalid",
  },
};

const Keys = z.object({
  accessKeyId: z.string().regex(/^\w{16,128}$/),
  secretAccessKey: SecretAnswer,
  sessionToken: SecretAnswer,
});
export type SessionKeys = z.output<typeof Keys>;

/** `sts` is the public host of the partition and region. */
export async function assumeRole(
  { token, need, parameters, url, ask }: FamilyCall,
  sts: string,
): Promise<SessionKeys> {
  const { data } = await ask({
    url: url('sts', `https://${sts}`, '/'),
    // JSON answers exist and are undocumented.
    headers: { accept: undefined },
    form: {
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: parameters['role-arn'],
      RoleSessionName: sessionNameFor(need),
      WebIdentityToken: token,
    },
    read: (xml) => ({
      accessKeyId: leaf(xml, 'AccessKeyId'),
      secretAccessKey: leaf(xml, 'SecretAccessKey'),
      sessionToken: leaf(xml, 'SessionToken'),
    }),
    answer: Keys,
    refusal,
  });
  return data;
}

const LONGEST_SESSION_NAME = 64;

/** `<namespace>.<account>`: what CloudTrail shows of a pull. */
export function sessionNameFor({ identity: { namespace, account } }: Need): string {
  const name = `${namespace}.${account}`;
  return name.length <= LONGEST_SESSION_NAME
    ? name
    : `${name.slice(0, 55)}-${hash('sha256', name).slice(0, 8)}`;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** The text of the first element of that name: STS answers have each of ours once, without attributes or children. */
function leaf(xml: unknown, tag: string): string | undefined {
  const [, text] = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(typeof xml === 'string' ? xml : '') ?? [];
  return text?.replaceAll(/&(lt|gt|amp|quot|apos);/g, (_whole, name: string) => ENTITIES[name] ?? '');
}
