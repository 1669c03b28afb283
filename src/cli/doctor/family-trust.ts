// By family: who checks a ServiceAccount token, how they learn the cluster's keys, and what else their side limits. The
// facts are those of each provider's documentation and, where it is open, of its source.
import { sessionNameFor } from '../../registry/aws-sts.ts';
import type { Need } from '../../core/pull-credential.ts';
import { failed, ok, warning, type Finding } from './step.ts';

/**
 * How the keys get there: `internet`, fetched from the issuer's own address and no other way; `upload`, fetched or
 * uploaded; `yours`, fetched by a server of the administrator's own, from wherever that stands.
 */
export type KeysReach = 'internet' | 'upload' | 'yours';

export interface FamilyTrust {
  readonly who: string;
  readonly reach: KeysReach;
}

const TOKEN_SERVER: FamilyTrust = { who: 'the token server', reach: 'yours' };
const AWS: FamilyTrust = { who: 'AWS', reach: 'internet' };

const trusts: Readonly<Record<string, FamilyTrust>> = {
  'pass-through': TOKEN_SERVER,
  'token-realm': TOKEN_SERVER,
  'token-exchange': { who: 'the token service', reach: 'yours' },
  ecr: AWS,
  'ecr-public': AWS,
  google: { who: 'Google', reach: 'upload' },
  acr: { who: 'Entra', reach: 'internet' },
  quay: { who: 'Quay', reach: 'yours' },
  jfrog: { who: 'JFrog', reach: 'yours' },
  cloudsmith: { who: 'Cloudsmith', reach: 'internet' },
  chainguard: { who: 'Chainguard', reach: 'upload' },
  alibaba: { who: 'Alibaba Cloud', reach: 'internet' },
};

/** Quay and Artifactory are also run by their users; as a service they fetch like a cloud. */
const SERVICES = /^(?:quay\.io|(?:.+\.)?jfrog\.io)$/;

export function trustOf(kind: string, host: string): FamilyTrust {
  const trust = trusts[kind] ?? { who: 'the registry', reach: 'internet' };
  return SERVICES.test(host) ? { ...trust, reach: 'internet' } : trust;
}

/** Google's `google.subject`, and every field of an Entra federated credential. */
const GOOGLE_SUBJECT_BYTES = 127;
const ENTRA_CHARACTERS = 600;

export interface LimitsInput {
  readonly kind: string;
  readonly need: Need;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  /** Of the token's signature. */
  readonly algorithm: string;
}

export function limitsOf(input: LimitsInput): Finding {
  const { issuer, subject, audience } = input;
  switch (input.kind) {
    case 'ecr':
    case 'ecr-public': {
      const name = issuer.replace(/^https:\/\//, '');
      const session = sessionNameFor(input.need);
      return ok(
        `the role's trust policy must have ${name}:sub = ${subject} and ${name}:aud = ${audience}; CloudTrail will show the session ${session}`,
      );
    }
    case 'acr':
      return entraLimits(input);
    case 'google':
      return googleLimits(subject);
    case 'quay':
      return quayLimits(input.algorithm);
    default:
      return ok(`nothing but iss, sub and aud counts for ${input.kind}`);
  }
}

function entraLimits({ issuer, subject, audience }: LimitsInput): Finding {
  const long = Object.entries({ issuer, subject, audience }).find(
    ([, text]) => text.length > ENTRA_CHARACTERS,
  );
  if (long)
    return failed(
      `the ${long[0]} has ${long[1].length} characters, and a federated credential takes ${ENTRA_CHARACTERS}`,
      'use shorter names',
    );
  return ok(
    `an Entra identity holds 20 federated credentials at most, and this account needs one of them, with the subject ${subject} letter by letter: share an identity among 20 accounts, then take another`,
  );
}

function googleLimits(subject: string): Finding {
  const bytes = Buffer.byteLength(subject);
  if (bytes <= GOOGLE_SUBJECT_BYTES)
    return ok(`the subject has ${bytes} of the ${GOOGLE_SUBJECT_BYTES} bytes that google.subject holds`);
  return failed(
    `the subject has ${bytes} bytes, and google.subject holds ${GOOGLE_SUBJECT_BYTES}`,
    `map another claim: google.subject=assertion["kubernetes.io"].serviceaccount.uid, or use shorter names`,
  );
}

function quayLimits(algorithm: string): Finding {
  if (algorithm !== 'RS256' && algorithm !== 'RS384') {
    return failed(
      `the cluster signs with ${algorithm || 'no known algorithm'}, and Quay takes RS256 and RS384 alone`,
      'sign with an RSA key: --service-account-signing-key-file of the API server',
    );
  }
  return warning(
    'a Quay older than the middle of 2026 does not check the audience: any token of this account that another registry was handed opens it too',
    'use this account for Quay alone',
  );
}
