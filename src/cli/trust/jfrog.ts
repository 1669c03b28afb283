// JFrog's side: an OIDC integration for the cluster, and an identity mapping for the account.
// https://jfrog.com/help/r/jfrog-rest-apis/oidc
import {
  bearerCall,
  hclQuoted,
  hclVariable,
  shellJson,
  shellQuoted,
  shellValue,
  shellVariable,
} from './quoting.ts';
import { nameFor, type FamilyTrust, type Trust } from './trust.ts';

/** Of the tokens that the platform issues: the worker renews long before. */
const TOKEN_SECONDS = 3600;

export const jfrogTrust: FamilyTrust = {
  forms: { terraform, commands },
  fetcher: 'the JFrog platform',
  choose: {
    provider: () => ({ value: 'keyless-pull', told: 'name of the OIDC integration chosen' }),
  },
  notes: () => [
    'the user needs read permission on the repositories, and nothing else',
    'an identity mapping can say expires_in: the token that is issued cannot be revoked by us before',
  ],
};

function mappingOf(trust: Trust) {
  const { issuer, audience, subject, principals } = trust;
  const [first = {}] = principals;
  return {
    provider: first['provider'] ?? '',
    name: first['identity-mapping'] ?? nameFor(trust),
    project: first['project'],
    tokenAudience: first['token-audience'] ?? '*@*',
    claims: { iss: issuer, sub: subject, aud: audience },
  };
}

function terraform(trust: Trust): string {
  const { provider, name, project, tokenAudience, claims } = mappingOf(trust);
  const ofProject = project === undefined ? '' : `  project_key   = ${hclQuoted(project)}\n`;
  return `# Needs the provider jfrog/platform, 2.0 or later.

${hclVariable('username', 'user of the platform that the account becomes')}# One for each cluster: import it where it exists.
resource "platform_oidc_configuration" "cluster" {
  name          = ${hclQuoted(provider)}
  issuer_url    = ${hclQuoted(trust.issuer)}
  provider_type = "generic"
  audience      = ${hclQuoted(trust.audience)}
${ofProject}}

resource "platform_oidc_identity_mapping" "pull" {
  name          = ${hclQuoted(name)}
  provider_name = platform_oidc_configuration.cluster.name
  priority      = 1
${ofProject}  claims_json = jsonencode({
    iss = ${hclQuoted(claims.iss)}
    sub = ${hclQuoted(claims.sub)}
    aud = ${hclQuoted(claims.aud)}
  })
  token_spec = {
    username   = var.username
    scope      = "applied-permissions/user"
    audience   = ${hclQuoted(tokenAudience)}
    expires_in = ${TOKEN_SECONDS}
  }
}
`;
}

function commands(trust: Trust): string {
  const { provider, name, project, tokenAudience, claims } = mappingOf(trust);
  const ofProject = project === undefined ? {} : { project_key: project };
  const integration = {
    name: provider,
    issuer_url: trust.issuer,
    provider_type: 'Generic OpenID Connect',
    audience: trust.audience,
    ...ofProject,
  };
  const mapping = {
    name,
    priority: 1,
    claims,
    token_spec: {
      username: shellValue('PULL_USER'),
      scope: 'applied-permissions/user',
      audience: tokenAudience,
      expires_in: TOKEN_SECONDS,
    },
    ...ofProject,
  };
  const platform = trust.endpoint ?? `https://${trust.host}`;
  const url = (path: string) => shellQuoted(`${platform.replace(/\/$/, '')}/access/api/v1/oidc${path}`);
  return `${shellVariable('JFROG_TOKEN', 'access token of an administrator')}${shellVariable('PULL_USER', 'user of the platform that the account becomes')}
${bearerCall('JFROG_TOKEN')}
# One for each cluster: leave it away where it exists.
call --json ${shellJson(integration)} ${url('')}
call --json ${shellJson(mapping)} ${url(`/${encodeURIComponent(provider)}/identity_mappings`)}
`;
}
