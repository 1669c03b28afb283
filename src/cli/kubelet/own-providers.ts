// From the rules to the kubelet's providers: one for each audience, because an entry asks for tokens of one. All of them are
// the same executable under different names.
import { acceptedFor, annotationsFor, PROVISIONER } from '../../core/identity-parameters.ts';
import { PROVIDER_API, type Provider } from './provider-config.ts';
import type { RegistryRule } from '../../core/registry-rule.ts';

export interface ProviderWishes {
  /** Of the rules, where the node has them. */
  readonly pluginConfig: string;
  /** Kubelets before 1.34 do not know it. */
  readonly hasCacheType: boolean;
  /** Annotation keys without which the plugin shall not run at all. */
  readonly required: readonly string[];
}

/** Begins the names of the executable's links; what else begins so in an older config is an older one of ours. */
export const LINK_PREFIX = 'keyless-pull-';
/** Of the provisioner's vocabulary: no parameters, and read wherever one of its parameters is. */
const BESIDE = [`${PROVISIONER}registry`, `${PROVISIONER}audience`];

export function ownProviders(rules: readonly RegistryRule[], wishes: ProviderWishes): Provider[] {
  const served = rules.filter(({ delivery }) => delivery.includes('kubelet'));
  const audiences = new Set(served.flatMap((rule) => [rule.audience, ...(rule.acceptAudiences ?? [])]));
  return [...audiences].map((audience) => {
    const those = served.filter(
      (rule) => rule.audience === audience || rule.acceptAudiences?.includes(audience),
    );
    return providerFor(audience, those, wishes);
  });
}

function providerFor(audience: string, rules: readonly RegistryRule[], wishes: ProviderWishes): Provider {
  const keys = [...new Set(rules.flatMap(annotationKeysOf))];
  const required = keys.filter((key) => wishes.required.includes(key));
  const optional = keys.filter((key) => !wishes.required.includes(key));
  // What is the token itself, or dies with it, is this pod's alone.
  const cacheType = rules.some(({ family }) => family.keepsToken) ? 'Token' : 'ServiceAccount';
  return {
    name: nameFor(audience, rules),
    matchImages: [...new Set(rules.flatMap(({ hosts }) => hosts))],
    // Each answer says how long it is good.
    defaultCacheDuration: '0s',
    apiVersion: PROVIDER_API,
    args: ['--config', wishes.pluginConfig],
    tokenAttributes: {
      serviceAccountTokenAudience: audience,
      ...(wishes.hasCacheType && { cacheType }),
      requireServiceAccount: true,
      ...(required.length > 0 && { requiredServiceAccountAnnotationKeys: required }),
      ...(optional.length > 0 && { optionalServiceAccountAnnotationKeys: optional }),
    },
  };
}

/** After the first rule that has the audience as its own; numbered where it is one that rules accept. */
function nameFor(audience: string, rules: readonly RegistryRule[]): string {
  const owner = rules.find((rule) => rule.audience === audience);
  if (owner) return LINK_PREFIX + owner.name;
  const [first] = rules;
  const at = first?.acceptAudiences?.indexOf(audience) ?? 0;
  return `${LINK_PREFIX}${first?.name ?? ''}.${at + 1}`;
}

/** All that the exchange may read of an account under the rule, and nothing else. */
function annotationKeysOf(rule: RegistryRule): string[] {
  const keys = Object.entries(rule.parameters ?? {}).flatMap(([key, { from }]) => {
    const isRules = from === 'rule' || rule.family.parameters[key]?.isRulesAlone;
    return isRules ? [] : [...annotationsFor(rule.name, key), ...acceptedFor(rule, key)];
  });
  return keys.some((key) => key.startsWith(PROVISIONER)) ? [...keys, ...BESIDE] : keys;
}
