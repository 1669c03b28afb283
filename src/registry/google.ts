// Google Artifact Registry and what is left of gcr.io: workload identity federation, directly or through a service
// account. After googleapis/google-auth-library-nodejs stscredentials.ts and baseexternalclient.ts.
import * as z from 'zod';
import { fieldsOf, listOf } from '../core/fields.ts';
import { partsBy } from '../core/registry-family.ts';
import { isOutOfTime, member, type Refusal } from './refusal.ts';
import { InstantAnswer, SecretAnswer } from './secret-answer.ts';
import { path, type FamilyCall, type Login, type RegistryFamily } from './registry-family.ts';
import type { SecretText } from '../secret-text.ts';

const FULL_SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const READ_SCOPE = 'https://www.googleapis.com/auth/cloud-platform.read-only';
/** All that impersonation needs of the federated token. */
const IAM_SCOPE = 'https://www.googleapis.com/auth/iam';

const federation: Refusal = {
  codeOf: (body) => member(body, 'error'),
  // The text of invalid_grant tells signature, issuer, time and audience apart; a token made seconds ago is not stale.
  classes: { temporarily_unavailable: 'transient', server_error: 'transient', invalid_target: 'propagation' },
  classOf: (code, body) => {
    if (code !== 'invalid_grant') return undefined;
    if (isOutOfTime(body)) return 'stale';
    return /fetch|retriev|connect/i.test(member(body, 'error_description')) ? 'transient' : undefined;
  },
  cures: {
    invalid_grant:
      "the provider must have this cluster's issuer (or its uploaded keys) and allow the rule's audience; google.subject holds 127 bytes at most",
    invalid_target: 'the workload identity pool or provider does not exist, or is disabled',
    unauthorized_client: "the provider's attribute condition rejects this account",
  },
};

const SERVICE_DISABLED = 'SERVICE_DISABLED';

const impersonation: Refusal = {
  // A project without the service and an account without the grant have one status; what tells them apart is in the details.
  codeOf: (body) => {
    const details = listOf(fieldsOf(fieldsOf(body)['error'])['details']);
    const isDisabled = details.some(({ reason }) => reason === SERVICE_DISABLED);
    return isDisabled ? SERVICE_DISABLED : member(body, 'error', 'status');
  },
  classes: {
    PERMISSION_DENIED: 'propagation',
    SERVICE_DISABLED: 'propagation',
    RESOURCE_EXHAUSTED: 'throttled',
    UNAVAILABLE: 'transient',
  },
  cures: {
    SERVICE_DISABLED: 'the project must have the API iamcredentials.googleapis.com enabled',
    PERMISSION_DENIED:
      'grant roles/iam.workloadIdentityUser on the service account to the principal of this account',
    NOT_FOUND: 'there is no service account of this e-mail',
  },
};

const FederatedToken = z.object({ access_token: SecretAnswer, expires_in: z.number().positive() });
const ServiceAccountToken = z.object({ accessToken: SecretAnswer, expireTime: InstantAnswer });

const EMAIL =
  /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?@[a-z0-9](?:[a-z0-9.-]{0,120}[a-z0-9])?\.gserviceaccount\.com$/;

export const google: RegistryFamily = {
  hosts: {
    patterns: ['*.pkg.dev', 'gcr.io', '*.gcr.io', 'docker.s3nsregistry.fr'],
    partsOf: partsBy(
      /^(?:(?<location>[a-z]+(?:-[a-z]+[0-9]+)?)-docker\.pkg\.dev|(?:(?:us|eu|asia)\.)?gcr\.io|docker\.s3nsregistry\.fr)$/,
    ),
  },
  parameters: {
    'workload-identity-provider': {
      means: 'the full resource name of the provider',
      pattern:
        /^projects\/[0-9]{1,20}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/,
      looksLike: 'projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER',
      foreign: [
        'gcp.auth.fluxcd.io/workload-identity-provider',
        'imagepullsecrets.preferred.jp/googlecloud-workload-identity-provider',
      ],
    },
    'service-account-email': {
      means: 'the service account that is impersonated; without it the account pulls as itself',
      pattern: EMAIL,
      looksLike: 'NAME@PROJECT.iam.gserviceaccount.com',
      isPrincipal: true,
      foreign: [
        'iam.gke.io/gcp-service-account',
        'imagepullsecrets.preferred.jp/googlecloud-service-account-email',
      ],
    },
    'sts-audience': {
      means: 'replaces the audience at the token service, as GKE fleets and other universes need it',
      pattern: /^(?:\/\/iam\.|identitynamespace:)[\w.:/@-]{1,512}$/,
      looksLike: '//iam.… or identitynamespace:…',
    },
    'universe-domain': {
      isRulesAlone: true,
      means: 'default googleapis.com',
      pattern: /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/,
      looksLike: 'a domain',
    },
  },
  endpoints: ['sts', 'iamcredentials'],
  receiver: 'google',
  // A federated token does not outlive the one it was made from.
  tokenSeconds: 3600,
  longestLife: 12 * 3600,
  scopeOf: () => 'google',
  faultOf: (parameters) =>
    parameters['workload-identity-provider'] || parameters['sts-audience']
      ? undefined
      : 'a workload-identity-provider (or an sts-audience) is needed',
  async exchange(call) {
    const email = call.parameters['service-account-email'];
    const { data, startedAt } = await federate(call, email === undefined ? FULL_SCOPE : IAM_SCOPE);
    if (email !== undefined) return await impersonate(call, email, data.access_token);
    return loginWith(data.access_token, startedAt + data.expires_in * 1000, call.tokenExpiresAt);
  },
};

async function federate({ token, parameters, url, ask }: FamilyCall, scope: string) {
  const universe = parameters['universe-domain'] ?? 'googleapis.com';
  const provider = parameters['workload-identity-provider'] ?? '';
  return await ask({
    url: url('sts', `https://sts.${universe}`, '/v1/token'),
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: parameters['sts-audience'] ?? `//iam.googleapis.com/${provider}`,
      scope,
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: token,
    },
    answer: FederatedToken,
    refusal: federation,
  });
}

async function impersonate(
  { parameters, url, ask }: FamilyCall,
  email: string,
  bearer: SecretText,
): Promise<Login> {
  const universe = parameters['universe-domain'] ?? 'googleapis.com';
  const { data } = await ask({
    url: url(
      'iamcredentials',
      `https://iamcredentials.${universe}`,
      path`/v1/projects/-/serviceAccounts/${email}:generateAccessToken`,
    ),
    bearer,
    json: { scope: [READ_SCOPE], lifetime: '3600s' },
    answer: ServiceAccountToken,
    refusal: impersonation,
  });
  return loginWith(data.accessToken, data.expireTime);
}

function loginWith(password: SecretText, ...expiresAt: readonly number[]): Login {
  return { username: 'oauth2accesstoken', password, expiresAt };
}
