// The tokens of a pod's rules: which lie in its projected volumes, and which its own containers see. Whether pods may have
// a rule's token is the administrator's to say, which of their containers want it the pod's.
import { mountableContainers, notGiven } from './in-pod-request.ts';
import { MOUNT_ANNOTATION } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';
import type { LeftOut, LeftOutReason } from './pull-plan.ts';
import type { RegistryRule } from './registry-rule.ts';

/** One source of a projected token volume. */
export interface TokenSource {
  readonly rule: string;
  readonly audience: string;
  readonly expirationSeconds: number;
}

/** Neither list is empty. */
export interface MountedTokens {
  readonly rules: readonly string[];
  readonly containers: readonly string[];
}

/** The kubelet renews a volume's token at 80 % of its life: an hour is its own default. */
const VOLUME_TOKEN_SECONDS = 3600;

/**
 * Every token that the pod has in a volume, mounted or not: an unmounted one still lets the node ask for its audience.
 * @param rules with the audience that the account's token has under each
 */
export function tokenSources(
  rules: Iterable<readonly [rule: RegistryRule, audience: string]>,
  mounted: MountedTokens | undefined,
): TokenSource[] {
  return [...rules]
    .filter(([rule]) => wantsVolume(rule) || mounted?.rules.includes(rule.name))
    .map(([{ name, token }, audience]) => ({
      rule: name,
      audience,
      expirationSeconds: token.expirationSeconds ?? VOLUME_TOKEN_SECONDS,
    }));
}

/**
 * One volume is mounted, so a container that sees one rule's token sees those of the pod's other rules that let pods have
 * theirs, and of no other rule.
 * @param rules those that the pod needs
 * @param asked containers, from the annotation
 */
export function mountedTokens(
  pod: PodView,
  account: AccountView,
  rules: Iterable<RegistryRule>,
  asked: readonly string[] | undefined,
  leftOut: LeftOut[],
): MountedTokens | undefined {
  const refuse = (reason: LeftOutReason, why: string) =>
    leftOut.push(notGiven(reason, MOUNT_ANNOTATION, why));
  // The pod's own word goes before its account's, as it does for the API server's token.
  const isDeclined = (pod.automountsToken ?? account.automountsToken) === false;
  const given: string[] = [];
  let isAnyNeeded = false;
  let goesEverywhere = false;
  for (const { name, token, inPod } of rules) {
    isAnyNeeded = true;
    if (token.inject === 'mount' && !isDeclined) goesEverywhere = true;
    if (token.inject === 'mount' && (!isDeclined || asked)) given.push(name);
    else if (token.inject === 'mount')
      refuse(
        'token-declined',
        `automountServiceAccountToken is false, so the token of rule ${name} is mounted only where this annotation asks`,
      );
    else if (!asked) continue;
    else if (token.inject === 'none')
      refuse('not-in-pod', `rule ${name} puts no token into pods (token.inject: none)`);
    else if (!inPod.includes('token'))
      refuse('not-in-pod', `rule ${name} lets no pod have its token (inPod does not list token)`);
    else given.push(name);
  }
  if (asked && !isAnyNeeded)
    refuse('not-in-pod', 'this pod pulls from no registry that a rule covers: there is no token to mount');
  const containers = goesEverywhere ? mountableContainers(pod) : (asked ?? []);
  return given.length > 0 && containers.length > 0 ? { rules: given, containers } : undefined;
}

function wantsVolume(rule: RegistryRule): boolean {
  switch (rule.token.inject) {
    case 'none':
      return false;
    case 'volume':
    case 'mount':
      return true;
    case 'auto':
      return rule.delivery.includes('kubelet');
  }
}
