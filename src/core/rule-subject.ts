// Whom a rule is for: accounts by name patterns, in namespaces by labels.
import * as z from 'zod';

const MatchExpression = z
  .strictObject({
    key: z.string().min(1).meta({ description: 'label of the namespace' }),
    operator: z
      .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
      .meta({ description: 'as in any Kubernetes label selector' }),
    values: z.array(z.string()).optional().meta({ description: 'for In and NotIn alone' }),
  })
  .refine(
    ({ operator, values = [] }) => operator.endsWith('In') === values.length > 0,
    'In and NotIn want values, Exists and DoesNotExist want none',
  );

const LabelSelector = z.strictObject({
  matchLabels: z
    .record(z.string(), z.string())
    .optional()
    .meta({ description: 'labels and their values, all of which must be there' }),
  matchExpressions: z
    .array(MatchExpression)
    .optional()
    .meta({ description: 'conditions, all of which must hold' }),
});

export const Subject = z.strictObject({
  namespaceSelector: LabelSelector.optional().meta({
    description: 'labels of the namespace; absent: every opted-in namespace',
  }),
  serviceAccounts: z
    .array(z.string().min(1))
    .min(1)
    .default(['*'])
    .meta({ description: 'names, "*" stands for any run of characters' }),
});
export type Subject = z.output<typeof Subject>;

/** Set by the API server on every namespace, and the one label of it that a pod's ServiceAccount token tells. */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** What is known of a namespace's labels where only its name is. */
export function namespaceNameLabels(namespace: string): Readonly<Record<string, string>> {
  return { [NAMESPACE_NAME_LABEL]: namespace };
}

/** True if the name of a namespace is not enough to say whether the subject means it. */
export function readsNamespaceLabels({ namespaceSelector }: Subject): boolean {
  const { matchLabels = {}, matchExpressions = [] } = namespaceSelector ?? {};
  const keys = [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
  return keys.some((key) => key !== NAMESPACE_NAME_LABEL);
}

/** True if the account's name fits one pattern and the namespace's labels fit the selector. */
export function subjectMatches(
  subject: Subject,
  account: string,
  namespaceLabels: Readonly<Record<string, string>>,
): boolean {
  return (
    subject.serviceAccounts.some((pattern) => globMatches(pattern, account)) &&
    selectorMatches(subject.namespaceSelector, namespaceLabels)
  );
}

/** `*` stands for any run of characters, also none; everything else is literal. Linear in the text: no regular expression. */
export function globMatches(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  const first = parts[0] ?? '';
  if (parts.length === 1) return pattern === text;
  const last = parts.at(-1) ?? '';
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length)
    return false;
  let from = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, from);
    if (found === -1 || found + part.length > text.length - last.length) return false;
    from = found + part.length;
  }
  return true;
}

function selectorMatches(
  selector: Subject['namespaceSelector'],
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector?.matchLabels ?? {});
  if (!wanted.every(([key, value]) => labels[key] === value)) return false;
  return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  });
}
