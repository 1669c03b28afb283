// Cloudsmith's side: OpenID Connect provider settings for the cluster, with a service account that may read.
// https://docs.cloudsmith.com/authentication/openid-connect
import { bearerCall, shellJson, shellQuoted, shellVariable } from './quoting.ts';
import { nameFor, type FamilyTrust, type Trust } from './trust.ts';

export const cloudsmithTrust: FamilyTrust = {
  forms: { commands },
  fetcher: 'Cloudsmith',
  choose: {
    organization: () => ({ value: 'organization', told: "stands for your organization's slug" }),
    service: (whom) => ({
      value: nameFor(whom).replaceAll('.', '-'),
      told: 'slug of the service account chosen; Cloudsmith may put something behind it',
    }),
  },
  notes: () => [
    'give the service account the privilege Read on the repositories that this account should pull, and no other',
  ],
};

function commands(trust: Trust): string {
  const { issuer, audience, subject, principals } = trust;
  const settings = principals.map(({ organization = '', service = '' }) => {
    const api = `https://api.cloudsmith.io/orgs/${encodeURIComponent(organization)}`;
    return `
# Leave this away where the service account exists.
call --json ${shellJson({ name: service, role: 'Member' })} --output /dev/null ${shellQuoted(`${api}/services/`)}
call --json ${shellJson({
      name: nameFor(trust),
      enabled: true,
      provider_url: issuer,
      claims: { sub: subject, aud: audience },
      service_accounts: [service],
    })} ${shellQuoted(`${api}/openid-connect/`)}
`;
  });
  return `${shellVariable('CLOUDSMITH_API_KEY', 'API key of an owner of the organization')}
${bearerCall('CLOUDSMITH_API_KEY', 'X-Api-Key:')}${settings.join('')}`;
}
