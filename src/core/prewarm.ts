// Credentials before any pod asks for them: which needs an account has under a rule that prewarms, by its annotations.
import { principalsOf, PROVISIONER_REGISTRY } from './identity-parameters.ts';
import { needFor, type PlannedNeed } from './pull-plan.ts';
import { servesHost, type RegistryRule } from './registry-rule.ts';
import { PREWARM_ANNOTATION } from './vocabulary.ts';
import type { AccountView } from './pod-view.ts';

/**
 * Needs for the hosts that the rule names whole, and for the one that the account's own image-pull-secrets-provisioner
 * annotation selects among those that the rule matches.
 */
export function prewarmedNeeds(rule: RegistryRule, account: AccountView): PlannedNeed[] {
  if (!rule.prewarm || !rule.delivery.includes('secret')) return [];
  const identity = { namespace: account.namespace, account: account.name, uid: account.uid };
  const asksOutright = [PREWARM_ANNOTATION, `${rule.name}.${PREWARM_ANNOTATION}`].some(
    (key) => account.annotations[key] === 'true',
  );
  const selected = account.annotations[PROVISIONER_REGISTRY];
  const hosts = new Set(rule.hosts.filter((host) => !host.includes('*')));
  if (selected !== undefined && servesHost(rule, selected)) hosts.add(selected);
  return [...hosts].flatMap((host) => {
    const { principals, isAnnotated } = principalsOf(rule, account, host);
    if (!isAnnotated && !asksOutright) return [];
    return principals.map((principal) => ({
      need: needFor(identity, rule, host, principal),
      rule,
      principal,
    }));
  });
}
