// Chainguard's side: an assumable identity for the account, with the role registry.pull.
// https://edu.chainguard.dev/chainguard/chainctl/chainctl-docs/chainctl_iam_identities_create
import { shellQuoted, shellVariable } from './quoting.ts';
import { isChosen, nameFor, type FamilyTrust, type Trust } from './trust.ts';

export const chainguardTrust: FamilyTrust = {
  forms: { commands },
  choose: {
    identity: () => ({
      value: `${'0'.repeat(40)}/${'0'.repeat(16)}`,
      told: "the identity's id, which the command prints",
    }),
  },
  notes: () => ['the role registry.pull is for all images of the organization'],
};

function commands(trust: Trust): string {
  const { issuer, audience, subject, principals } = trust;
  const claims = `--identity-issuer=${shellQuoted(issuer)} \\
  --subject=${shellQuoted(subject)} \\
  --audience=${shellQuoted(audience)}`;
  // chainctl gives ids itself: an identity whose id is known exists, and is changed.
  const steps = isChosen(trust, 'identity')
    ? `${shellVariable('ORGANIZATION', 'name or id of the organization')}
chainctl iam identities create ${shellQuoted(nameFor(trust).replaceAll('.', '-'))} --parent="$ORGANIZATION" \\
  ${claims} \\
  --role=registry.pull --output=id
`
    : principals
        .map(
          ({ identity = '' }) => `
chainctl iam identities update ${shellQuoted(identity)} --yes \\
  ${claims}
chainctl iam role-bindings create --identity=${shellQuoted(identity)} --role=registry.pull \\
  --parent=${shellQuoted(identity.split('/')[0] ?? '')} --yes
`,
        )
        .join('');
  return `${steps.trimStart()}
# An issuer that Chainguard cannot reach: create the identity with its keys instead of an audience, anew every 30 days.
#   kubectl get --raw /openid/v1/jwks > jwks.json
#   --issuer-keys="$(cat jwks.json)" --expiration=YYYY-MM-DD
`;
}
