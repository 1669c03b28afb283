// Azure Container Registry: a federated credential at Entra ID, then the registry's own exchange. After Azure/acr
// docs/AAD-OAuth.md and kubernetes-sigs/cloud-provider-azure pkg/credentialprovider.
import * as z from 'zod';
import { partsBy } from '../core/registry-family.ts';
import { member, type FailureClass, type Refusal } from './refusal.ts';
import { SecretAnswer } from './secret-answer.ts';
import { path, type RegistryFamily } from './registry-family.ts';

const GUID = {
  pattern: /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i,
  looksLike: 'a GUID',
  isRequired: true,
};

const AUTHORITIES: Readonly<Record<string, string>> = {
  io: 'https://login.microsoftonline.com',
  us: 'https://login.microsoftonline.us',
  cn: 'https://login.chinacloudapi.cn',
  de: 'https://login.microsoftonline.de',
};

/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes: the status moved once, the codes did not. */
const codes: Readonly<Record<string, FailureClass>> = {
  ...all('propagation', 70021, 700211, 700212, 700213, 7002138, 70025),
  ...all('stale', 700024),
  ...all('transient', 50196, 90033),
};

const NO_CREDENTIAL =
  "the identity needs a federated credential with this cluster's issuer, this account's subject and the rule's audience, letter by letter (20 at most per identity)";

const entra: Refusal = {
  codeOf: (body) => {
    const number = member(body, 'error_codes', 0);
    return number ? `AADSTS${number}` : member(body, 'error');
  },
  classes: { ...codes, temporarily_unavailable: 'transient' },
  cures: {
    AADSTS70021: NO_CREDENTIAL,
    AADSTS700211: NO_CREDENTIAL,
    AADSTS700212: NO_CREDENTIAL,
    AADSTS700213: NO_CREDENTIAL,
    AADSTS7002138: NO_CREDENTIAL,
    AADSTS70025: NO_CREDENTIAL,
    AADSTS700016: 'the tenant has no application or managed identity with this client-id',
    AADSTS90002: 'there is no such tenant',
    AADSTS500011: 'the tenant does not know the scope: set the parameter scope of the rule',
  },
};

const registry: Refusal = {
  codeOf: (body) => member(body, 'errors', 0, 'code'),
  classes: { UNAUTHORIZED: 'propagation' },
  cures: {
    UNAUTHORIZED:
      'the identity needs the role AcrPull (or Container Registry Repository Reader) on this registry',
    DENIED: "the registry's network rules do not let us in",
  },
};

export const acr: RegistryFamily = {
  hosts: {
    patterns: ['*.azurecr.io', '*.azurecr.cn', '*.azurecr.us', '*.azurecr.de'],
    // Longer than the 50 characters of a name: those made with a domain label end in "-" and a hash.
    partsOf: partsBy(/^(?<registry>[a-z0-9](?:[a-z0-9-]{3,61}[a-z0-9]))\.azurecr\.(?<cloud>io|cn|us|de)$/),
    registries: 'registry names',
    registryPattern: /^[a-z0-9][a-z0-9-]{3,61}[a-z0-9]$/,
  },
  parameters: {
    'client-id': {
      ...GUID,
      means: 'the application or managed identity',
      isPrincipal: true,
      foreign: ['azure.workload.identity/client-id', 'kubernetes.azure.com/acr-client-id'],
    },
    'tenant-id': {
      ...GUID,
      means: 'its tenant',
      foreign: ['azure.workload.identity/tenant-id', 'kubernetes.azure.com/acr-tenant-id'],
    },
    scope: {
      // A token for all of Azure's management is worth more than a registry's.
      isRulesAlone: true,
      means: 'default `https://containerregistry.azure.net/.default`; sovereign clouds may want their own',
      pattern: /^https:\/\/[a-z0-9.-]+\/\.default$/,
      looksLike: 'https://…/.default',
    },
  },
  endpoints: ['login', 'registry'],
  receiver: 'azure',
  tokenSeconds: 600,
  longestLife: 6 * 3600,
  async exchange({ token, need, parts, parameters, url, ask }) {
    const { 'client-id': client, 'tenant-id': tenant = '' } = parameters;
    const { data: identity } = await ask({
      url: url('login', AUTHORITIES[parts['cloud'] ?? ''] ?? '', path`/${tenant}/oauth2/v2.0/token`),
      form: {
        client_id: client,
        scope: parameters['scope'] ?? 'https://containerregistry.azure.net/.default',
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: token,
      },
      answer: z.object({ access_token: SecretAnswer }),
      refusal: entra,
    });
    const { data } = await ask({
      url: url('registry', `https://${need.host}`, '/oauth2/exchange'),
      form: { grant_type: 'access_token', service: need.host, tenant, access_token: identity.access_token },
      answer: z.object({ refresh_token: SecretAnswer }),
      refusal: registry,
    });
    // No lifetime but the token's own `exp`, which the engine reads; without it the answer is refused.
    return { username: '00000000-0000-0000-0000-000000000000', password: data.refresh_token, expiresAt: [] };
  },
};

function all(failure: FailureClass, ...numbers: readonly number[]): Record<string, FailureClass> {
  return Object.fromEntries(numbers.map((number) => [`AADSTS${number}`, failure]));
}
