// A token service of the administrator's own: there is no common way to tell it whom to trust, so this says what, and tries it.
import { shellQuoted } from './quoting.ts';
import type { FamilyTrust, Trust } from './trust.ts';

export const tokenExchangeTrust: FamilyTrust = {
  forms: { commands },
  notes: () => [
    'token services are told whom to trust each in its own way: yours must take the issuer, the audience and the subject above, all three; what follows tries it',
    "the issuer's keys are found by /.well-known/openid-configuration, or with kubectl get --raw /openid/v1/jwks",
  ],
};

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** As src/registry/token-exchange.ts asks; the token comes on stdin, because others can read a command line. */
function commands(trust: Trust): string {
  const { audience, namespace, account, endpoint = '', principals } = trust;
  const tries = principals.map((parameters) => {
    const [tokenField, fixed] = formFor(parameters);
    const fields = [
      ...Object.entries(fixed),
      ...['audience', 'resource', 'scope'].map((name) => [name, parameters[name]] as const),
      ['client_id', parameters['client-id']] as const,
    ];
    const data = fields
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `    --data-urlencode ${shellQuoted(`${name}=${value}`)} \\\n`);
    return `
# 200: the account is trusted.
kubectl create token ${shellQuoted(account)} --namespace ${shellQuoted(namespace)} --audience ${shellQuoted(audience)} --duration 10m |
  tr -d '\\n' |
  curl --silent --show-error --output /dev/null --write-out '%{http_code}\\n' \\
    --data-urlencode ${shellQuoted(`${tokenField}@-`)} \\
${data.join('')}    ${shellQuoted(endpoint)}
`;
  });
  return tries.join('').trimStart();
}

function formFor(parameters: Readonly<Record<string, string>>): [string, Record<string, string | undefined>] {
  const { grant } = parameters;
  if (grant === 'jwt-bearer')
    return ['assertion', { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer' }];
  if (grant === 'client-credentials')
    return ['client_assertion', { grant_type: 'client_credentials', client_assertion_type: ASSERTION }];
  return [
    'subject_token',
    {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: parameters['subject-token-type'] ?? JWT,
      requested_token_type: parameters['requested-token-type'],
    },
  ];
}
