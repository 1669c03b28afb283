// Who may do what with which repositories. Pure; what no rule allows is denied.
import type { ClaimConditions } from './claim-condition.ts';
import { meetsConditions } from './claim-condition.ts';
import type { AccountNames } from './repository-pattern.ts';
import { matchesName, matchesRepository } from './repository-pattern.ts';
import type { RegistryScope } from './registry-scope.ts';

/** What a rule can allow. `*` is not among them: to a registry it means everything. */
export const grantableActions = ['pull', 'push'] as const;
export type GrantableAction = (typeof grantableActions)[number];

export interface AccessRule {
  /** The rule speaks of accounts of this issuer only; absent: of every trusted issuer's. */
  readonly issuer?: string | undefined;
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  /** The rule speaks of tokens that carry these only; absent: of all. */
  readonly claims?: ClaimConditions | undefined;
  readonly repositories: readonly string[];
  readonly actions: readonly GrantableAction[];
}

/** An account whose token was verified, and for which issuer. */
export interface AccessSubject extends AccountNames {
  readonly issuer: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * The intersection of what is asked and what the rules allow this account, in the order asked. A scope of which
 * nothing is left is left out, and so is every type but `repository`. The result can be empty: a token without access
 * proves a login and opens nothing.
 */
export function grantAccess(
  rules: readonly AccessRule[],
  subject: AccessSubject,
  asked: readonly RegistryScope[],
): RegistryScope[] {
  const applicable = rules.filter((rule) => speaksOf(rule, subject));
  return asked
    .filter((scope) => scope.type === 'repository')
    .map((scope) => ({ ...scope, actions: allowedActions(applicable, subject, scope) }))
    .filter((scope) => scope.actions.length > 0);
}

function speaksOf(rule: AccessRule, subject: AccessSubject): boolean {
  return (
    (rule.issuer === undefined || rule.issuer === subject.issuer) &&
    rule.namespaces.some((pattern) => matchesName(pattern, subject.namespace)) &&
    rule.serviceAccounts.some((pattern) => matchesName(pattern, subject.serviceAccount)) &&
    meetsConditions(rule.claims ?? {}, subject.claims)
  );
}

function allowedActions(
  rules: readonly AccessRule[],
  subject: AccessSubject,
  scope: RegistryScope,
): GrantableAction[] {
  const covering = rules.filter((rule) =>
    rule.repositories.some((pattern) => matchesRepository(pattern, scope.name, subject)),
  );
  return grantableActions.filter(
    (action) => scope.actions.includes(action) && covering.some((rule) => rule.actions.includes(action)),
  );
}

/** What was asked and not granted, for the log: an empty answer is no error to the client, who only learns it later. */
export function withheldFrom(
  asked: readonly RegistryScope[],
  granted: readonly RegistryScope[],
): RegistryScope[] {
  return asked
    .map((scope) => {
      const same = granted.filter(
        (other) => other.type === scope.type && other.class === scope.class && other.name === scope.name,
      );
      const actions = new Set(same.flatMap((other) => other.actions));
      return { ...scope, actions: scope.actions.filter((action) => !actions.has(action)) };
    })
    .filter((scope) => scope.actions.length > 0);
}
