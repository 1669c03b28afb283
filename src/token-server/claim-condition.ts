// Conditions on further claims of a token: which claim, by a path, and which values will do. Pure.
import { matchesName } from './repository-pattern.ts';

/** Path to patterns; every path must lead to a value that one of its patterns fits. */
export type ClaimConditions = Readonly<Record<string, readonly string[]>>;

/**
 * What is wrong with a path, as a sentence; undefined when nothing is. A path is a JSON Pointer (RFC 6901) without its
 * first slash: `kubernetes.io/pod/name`. Dots mean nothing, because `kubernetes.io` is one name; a slash inside of a
 * name is written `~1`, a tilde `~0`.
 */
export function claimPathFault(path: string): string | undefined {
  if (path.split('/').includes('')) return 'a claim is names joined by "/", such as kubernetes.io/node/name';
  return /~(?![01])/.test(path)
    ? 'in the name of a claim, "~" is written ~0 and "/" is written ~1'
    : undefined;
}

/** Whether the claims meet every condition. What is not there, or is a map or null, meets none. */
export function meetsConditions(
  conditions: ClaimConditions,
  claims: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(conditions).every(([path, patterns]) =>
    textsOf(valueAt(path, claims)).some((text) => patterns.some((pattern) => matchesName(pattern, text))),
  );
}

function valueAt(path: string, claims: unknown): unknown {
  let value = claims;
  for (const step of path.split('/')) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    // Own members alone: a claim called "constructor" must not be found in every token.
    if (!isMap(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A list offers each of its members, as `aud` and group claims mean it. */
function textsOf(value: unknown): string[] {
  const members: unknown[] = Array.isArray(value) ? value : [value];
  return members
    .filter((member) => ['string', 'number', 'boolean'].includes(typeof member))
    .map((member) => String(member));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
