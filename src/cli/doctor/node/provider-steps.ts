// Whether the kubelet would run a provider for an image and an account: pattern, account, annotations, and the right to ask
// for the token.
import { patternMatches, whySurprising, whyNeverMatches } from '../../kubelet/image-pattern.ts';
import { fieldsOf, listOf, textOf, type Fields } from '../../../core/fields.ts';
import { failed, ok, skipped, warning, type Finding } from '../step.ts';
import type { Provider } from '../../kubelet/provider-config.ts';
import type { NodeFacts } from './step.ts';

export function matchingProviders({ providers, image }: NodeFacts): Provider[] {
  if (image === undefined) return [];
  return providers.filter(({ matchImages }) => matchImages.some((one) => patternMatches(one, image)));
}

/** Patterns that can never match are told whatever image is asked about. */
export function judgePatterns(facts: NodeFacts, matching: readonly Provider[]): Finding {
  const never = facts.providers.flatMap(({ name, matchImages }) =>
    matchImages.flatMap((one) => {
      const why = whyNeverMatches(one);
      return why === undefined ? [] : [`${name}: ${one} never matches an image: ${why}`];
    }),
  );
  if (facts.image === undefined)
    return never.length > 0 ? failed(never.join('; ')) : skipped('no image is asked about (--image)');
  if (matching.length === 0) {
    const found = [`no provider speaks of ${facts.image}: it is pulled without them`, ...never].join('; ');
    return failed(found, 'the number of labels and the port must be the same; "*" stands for one label');
  }
  const found = `${facts.image}: ${matching.map(({ name }) => name).join(', ')}`;
  const broad = matching.flatMap(({ matchImages }) => matchImages.flatMap((one) => whySurprising(one) ?? []));
  if (never.length > 0) return warning([found, ...never].join('; '));
  return broad.length > 0 ? warning([found, ...broad].join('; ')) : ok(found);
}

export function judgeAccount({ name, tokenAttributes }: Provider, { account }: NodeFacts): Finding {
  if (!tokenAttributes) return ok(`${name} is run without a token: as the node, for every pod`);
  if (!account) return skipped('no account is asked about (--account, or --namespace and --service-account)');
  const required = tokenAttributes.requiredServiceAccountAnnotationKeys ?? [];
  const missing = required.filter((key) => !Object.hasOwn(account.annotations, key));
  const who = `${account.namespace}/${account.name}`;
  if (missing.length > 0)
    return failed(
      `${name} is not run for ${who}: the account has no annotation ${missing.join(', ')}`,
      `kubectl annotate -n ${account.namespace} serviceaccount ${account.name} ${missing.map((key) => `${key}=…`).join(' ')}`,
    );
  const optional = tokenAttributes.optionalServiceAccountAnnotationKeys ?? [];
  const passed = Object.keys(passedAnnotations(tokenAttributes, account.annotations));
  const told = passed.length > 0 ? `is told ${passed.join(', ')}` : 'is told no annotation';
  const kept = Object.keys(account.annotations).filter(
    (key) => key.includes('keyless-pull.dev/') && ![...required, ...optional].includes(key),
  );
  const found = `${name} ${told} of ${who}`;
  if (kept.length === 0) return ok(found);
  return warning(
    `${found}, and not ${kept.join(', ')}, which its entry does not list`,
    'write the kubelet config anew: keyless-pull generate kubelet-config',
  );
}

export function passedAnnotations(
  attributes: NonNullable<Provider['tokenAttributes']>,
  annotations: Readonly<Record<string, string>>,
): Record<string, string> {
  const { requiredServiceAccountAnnotationKeys: one = [], optionalServiceAccountAnnotationKeys: two = [] } =
    attributes;
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => [...one, ...two].includes(key)));
}

/** The pod's own volumes, or a role; what was not given cannot be seen. */
export function judgeAudience({ tokenAttributes }: Provider, { objects, account }: NodeFacts): Finding {
  if (!tokenAttributes) return skipped('the provider asks for no token');
  const { serviceAccountTokenAudience: audience } = tokenAttributes;
  const pods = objects.filter(({ kind }) => kind === 'Pod');
  const with_ = pods.filter((pod) => audiencesOf(pod).includes(audience));
  if (with_.length > 0) return ok(`a token volume of the pod names ${audience}`);
  const roles = objects.filter((object) => grants(object, audience, account?.name)).map(nameOf);
  if (roles.length > 0) return ok(`${roles.join(', ')} lets nodes ask for ${audience}`);
  const cure = 'a token volume of the pod with that audience, or keyless-pull generate rbac';
  if (pods.length > 0)
    return failed(
      `the pod has no token volume for ${audience}, and no role was given: the node may not ask for the token`,
      cure,
    );
  return warning(`whether nodes may ask for ${audience} cannot be seen without the pod or the roles`, cure);
}

function audiencesOf(pod: Fields): string[] {
  return listOf(fieldsOf(pod['spec'])['volumes'])
    .flatMap((volume) => listOf(fieldsOf(volume['projected'])['sources']))
    .map((source) => textOf(fieldsOf(source['serviceAccountToken'])['audience']))
    .filter((audience) => audience !== '');
}

function grants(object: Fields, audience: string, account: string | undefined): boolean {
  if (!['ClusterRole', 'Role'].includes(textOf(object['kind']))) return false;
  return listOf(object['rules']).some((rule) => {
    const has = (field: string, ...wanted: string[]) =>
      Array.isArray(rule[field]) && rule[field].some((one) => wanted.includes(String(one)));
    const isNamed = !Array.isArray(rule['resourceNames']) || has('resourceNames', account ?? '');
    return (
      has('verbs', 'request-serviceaccounts-token-audience', '*') &&
      has('apiGroups', '', '*') &&
      has('resources', audience, '*') &&
      isNamed
    );
  });
}

function nameOf(object: Fields): string {
  return `${textOf(object['kind'])} ${textOf(fieldsOf(object['metadata'])['name'])}`;
}
