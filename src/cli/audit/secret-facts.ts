// What an audit keeps of a pull Secret: its type, its age, and the registry hosts that it has logins for. The logins
// themselves are dropped where they are read.
import { hostMatches } from '../../core/registry-rule.ts';
import { fieldsOf, instantOf, textOf } from '../../core/fields.ts';

export interface SecretFacts {
  readonly type: string;
  /** Epoch milliseconds; 0 for one that no API server has stored. */
  readonly createdAt: number;
  /** As images name them, sorted; undefined: its content is none that a kubelet reads. */
  readonly hosts: readonly string[] | undefined;
}

/** The types that a kubelet reads, with the key that holds the logins and where they are in it. */
export const PULL_SECRET_TYPES: Readonly<Record<string, { key: string; isLegacy: boolean }>> = {
  'kubernetes.io/dockerconfigjson': { key: '.dockerconfigjson', isLegacy: false },
  'kubernetes.io/dockercfg': { key: '.dockercfg', isLegacy: true },
};

/** A host with its port, or a pattern of hosts; anything else is somebody's text in the wrong place. */
const HOST = /^[a-z0-9*[\]](?:[a-z0-9.:*[\]-]{0,253}[a-z0-9*\]])?$/i;

/** Undefined for a Secret of another type. */
export function secretFacts(raw: unknown): SecretFacts | undefined {
  const { type, data, stringData, metadata } = fieldsOf(raw);
  const format = typeof type === 'string' ? PULL_SECRET_TYPES[type] : undefined;
  if (typeof type !== 'string' || !format) return undefined;
  const plain = fieldsOf(stringData)[format.key];
  const encoded = fieldsOf(data)[format.key];
  const text = typeof plain === 'string' ? plain : Buffer.from(textOf(encoded), 'base64').toString('utf8');
  const createdAt = instantOf(fieldsOf(metadata)['creationTimestamp']);
  return { type, createdAt, hosts: hostsIn(text, format.isLegacy) };
}

/** True if the kubelet tries this Secret for images at the host, as far as it is known. */
export function hasLoginFor(facts: SecretFacts | undefined, host: string): boolean {
  return !facts?.hosts || facts.hosts.some((pattern) => hostMatches(pattern, host));
}

function hostsIn(text: string, isLegacy: boolean): string[] | undefined {
  try {
    const content: unknown = JSON.parse(text);
    const auths = isLegacy ? content : fieldsOf(content)['auths'];
    if (typeof auths !== 'object' || auths === null) return undefined;
    return [...new Set(Object.keys(auths).flatMap((key) => loginHost(key) ?? []))].toSorted();
  } catch {
    return undefined;
  }
}

/**
 * Keys of a docker config are hosts, or URLs for history's sake, and some people's have a password in them. Undefined for
 * what is no host, and so of no use to a kubelet.
 */
export function loginHost(key: string): string | undefined {
  const authority = key.replace(/^https?:\/\//i, '').split('/')[0] ?? '';
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (!HOST.test(host)) return undefined;
  return host === 'index.docker.io' ? 'docker.io' : host;
}
