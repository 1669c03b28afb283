// Records under a name that their account writes down, and gives to another need by now.
import { principalsOf, PROVISIONER_REGISTRY } from './identity-parameters.ts';
import { ruleCovers, type RegistryRule } from './registry-rule.ts';
import type { AccountView } from './pod-view.ts';
import type { PullCredentialRecord } from './pull-credential-record.ts';

/** True if today's need of that name is of another rule, principal or host: a record never changes whose it is. */
export function isOutlived(
  record: PullCredentialRecord,
  account: AccountView,
  namespaceLabels: Readonly<Record<string, string>>,
  rules: readonly RegistryRule[],
): boolean {
  const host = account.annotations[PROVISIONER_REGISTRY];
  if (host === undefined) return false;
  const claims = rules
    .filter((rule) => ruleCovers(rule, { host, account: account.name }, namespaceLabels))
    .flatMap((rule) => principalsOf(rule, account, host).principals.map((principal) => ({ rule, principal })))
    .filter(({ principal }) => principal.secretName === record.secretName);
  // Where two claim it, who has it keeps it.
  const isOwn = ({ rule, principal }: (typeof claims)[number]) =>
    rule.name === record.rule && principal.name === record.principal && host === record.host;
  return claims.length > 0 && !claims.some(isOwn);
}
