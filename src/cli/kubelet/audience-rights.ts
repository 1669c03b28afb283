// What lets nodes ask for tokens of an audience where the pod's own volume does not: the verb of KEP-4412, whose resource is
// the audience itself. https://kubernetes.io/docs/reference/access-authn-authz/node/
import type { RegistryRule } from '../../core/registry-rule.ts';
import type { Subject } from '../../core/rule-subject.ts';

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

export interface AudienceRights {
  readonly manifests: readonly Manifest[];
  readonly notes: readonly string[];
}

const RBAC = 'rbac.authorization.k8s.io';
const NAME_LABEL = 'kubernetes.io/metadata.name';

export function audienceRights(rules: readonly RegistryRule[]): AudienceRights {
  const manifests: Manifest[] = [];
  const notes: string[] = [];
  for (const rule of rules.filter(({ delivery }) => delivery.includes('kubelet'))) {
    if (rule.audienceRights === 'volume') {
      notes.push(`rule ${rule.name} needs no right: the token volume of its pods names the audience`);
      continue;
    }
    for (const [at, subject] of (rule.subjects ?? [EVERYBODY]).entries()) {
      const name = `keyless-pull:audience:${rule.name}${(rule.subjects?.length ?? 1) > 1 ? `:${at + 1}` : ''}`;
      manifests.push(roleFor(name, rule, subject, notes), ...bindingsFor(name, rule, subject, notes));
    }
  }
  return { manifests, notes };
}

const EVERYBODY: Subject = { serviceAccounts: ['*'] };

function roleFor(name: string, rule: RegistryRule, { serviceAccounts }: Subject, notes: string[]): Manifest {
  const isNamed = serviceAccounts.every((account) => !account.includes('*'));
  if (!isNamed && !serviceAccounts.includes('*'))
    notes.push(
      `rule ${rule.name}: RBAC knows no patterns of names, so ${serviceAccounts.join(', ')} became every account; the plugin itself goes by the rule`,
    );
  return {
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRole',
    metadata: { name },
    rules: [
      {
        apiGroups: [''],
        resources: [rule.audience, ...(rule.acceptAudiences ?? [])],
        ...(isNamed && { resourceNames: serviceAccounts }),
        verbs: ['request-serviceaccounts-token-audience'],
      },
    ],
  };
}

function bindingsFor(name: string, rule: RegistryRule, subject: Subject, notes: string[]): Manifest[] {
  const namespaces = namespacesOf(subject);
  if (namespaces === undefined && subject.namespaceSelector)
    notes.push(
      `rule ${rule.name}: its selector names no list of namespaces, so the right holds in all of them; the plugin itself goes by the rule`,
    );
  const binding = (kind: string, metadata: Manifest['metadata']) => ({
    apiVersion: `${RBAC}/v1`,
    kind,
    metadata,
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
    subjects: [{ apiGroup: RBAC, kind: 'Group', name: 'system:nodes' }],
  });
  if (!namespaces) return [binding('ClusterRoleBinding', { name })];
  return namespaces.map((namespace) => binding('RoleBinding', { name, namespace }));
}

/** Undefined: not to be listed. */
function namespacesOf({ namespaceSelector }: Subject): readonly string[] | undefined {
  const label = namespaceSelector?.matchLabels?.[NAME_LABEL];
  const listed = (namespaceSelector?.matchExpressions ?? [])
    .filter(({ key, operator }) => key === NAME_LABEL && operator === 'In')
    .map(({ values = [] }) => values);
  const lists = [...(label === undefined ? [] : [[label]]), ...listed];
  const [first, ...others] = lists;
  return first?.filter((namespace) => others.every((list) => list.includes(namespace)));
}
