// Rule by rule, why a registry host of a pod gets this rule and no other; with the webhook's own functions.
import { principalsOf } from '../../core/identity-parameters.ts';
import {
  hostMatches,
  ruleForHost,
  ruleSpeaksOf,
  servesHost,
  type RegistryRule,
} from '../../core/registry-rule.ts';
import type { AccountView } from '../../core/pod-view.ts';

export interface RuleVerdict {
  readonly rule: string;
  readonly isChosen: boolean;
  readonly because: string;
  /** What of account and rule is missing or malformed, where the rule is chosen. */
  readonly faults: readonly string[];
}

/** @param labels of the namespace; undefined: not known */
export function ruleVerdicts(
  rules: readonly RegistryRule[],
  host: string,
  account: Pick<AccountView, 'name' | 'annotations'>,
  labels: Readonly<Record<string, string>> | undefined,
): RuleVerdict[] {
  const speaksOf = (rule: RegistryRule) => ruleSpeaksOf(rule, account.name, labels ?? {});
  const chosen = ruleForHost(rules, host, speaksOf);
  return rules.map((rule) => {
    if (rule === chosen) {
      const pattern = rule.hosts.find((one) => hostMatches(one, host)) ?? host;
      const { faults } = principalsOf(rule, account, host);
      return {
        rule: rule.name,
        isChosen: true,
        because: `its host ${pattern} is the most exact one`,
        faults,
      };
    }
    return { rule: rule.name, isChosen: false, because: whyNot(rule, host, chosen, speaksOf), faults: [] };
  });
}

function whyNot(
  rule: RegistryRule,
  host: string,
  chosen: RegistryRule | undefined,
  speaksOf: (rule: RegistryRule) => boolean,
): string {
  if (!rule.hosts.some((pattern) => hostMatches(pattern, host)))
    return `none of its hosts is this one: ${rule.hosts.slice(0, 3).join(', ')}${rule.hosts.length > 3 ? ', …' : ''}`;
  if (!servesHost(rule, host))
    return rule.registries
      ? `its registries do not list this one: ${rule.registries.slice(0, 3).join(', ')}`
      : `${host} is no host of ${rule.exchange.kind}`;
  if (!speaksOf(rule)) return 'its subjects do not name this account and namespace';
  return `rule ${chosen?.name ?? ''} has the more exact host, or comes first`;
}
