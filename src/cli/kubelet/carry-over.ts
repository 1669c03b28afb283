// An older CredentialProviderConfig, carried over: others' providers stay, ours are made anew, and what the kubelet of the
// day asks for is added. Everything that changed is said.
import { whySurprising, whyNeverMatches } from './image-pattern.ts';
import { LINK_PREFIX } from './own-providers.ts';
import type { Provider, ProviderConfig } from './provider-config.ts';

export interface CarriedOver {
  /** Others' first, in their order: which of two providers is asked first may matter to them. */
  readonly providers: readonly Provider[];
  readonly changes: readonly string[];
  /** Others' patterns that the kubelet never matches. */
  readonly faults: readonly string[];
}

export function carryOver(
  older: ProviderConfig,
  own: readonly Provider[],
  hasCacheType: boolean,
): CarriedOver {
  const changes: string[] = [];
  const faults: string[] = [];
  if (!older.apiVersion.endsWith('/v1')) changes.push(`apiVersion ${older.apiVersion} became v1`);
  const kept = older.providers.flatMap((provider) => {
    const { name } = provider;
    const successor = own.find((one) => one.name === name);
    if (successor) {
      if (!isSame(provider, successor)) changes.push(`provider ${name} was made anew from the rules`);
      return [];
    }
    if (name.startsWith(LINK_PREFIX)) {
      changes.push(`provider ${name} was left out: no rule with delivery kubelet has its audience`);
      return [];
    }
    for (const pattern of provider.matchImages) {
      const never = whyNeverMatches(pattern);
      if (never !== undefined) faults.push(`provider ${name}: ${pattern} never matches an image: ${never}`);
      const broad = never === undefined ? whySurprising(pattern) : undefined;
      if (broad !== undefined) changes.push(`provider ${name} was kept; of ${pattern}: ${broad}`);
    }
    return [withCacheType(provider, hasCacheType, changes)];
  });
  return { providers: [...kept, ...own], changes, faults };
}

function withCacheType(provider: Provider, hasCacheType: boolean, changes: string[]): Provider {
  const { name, tokenAttributes } = provider;
  if (!tokenAttributes || (tokenAttributes.cacheType !== undefined) === hasCacheType) return provider;
  const { cacheType: _, ...others } = tokenAttributes;
  if (!hasCacheType) {
    changes.push(`provider ${name}: cacheType was left out, which a kubelet of 1.33 does not know`);
    return { ...provider, tokenAttributes: others };
  }
  changes.push(
    `provider ${name}: cacheType Token was added, the careful one; ServiceAccount fits where its credentials hang on the account alone`,
  );
  return { ...provider, tokenAttributes: { ...others, cacheType: 'Token' } };
}

function isSame(one: Provider, other: Provider): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
