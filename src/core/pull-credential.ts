// Need and credential: who must pull from where, what came of it, how long it is good, when it is renewed.
import { hash } from 'node:crypto';
import type { SecretText } from '../secret-text.ts';
import type { RegistryRule } from './registry-rule.ts';

/** Who pulls. A recreated account has another uid and is another identity. */
export interface Identity {
  readonly namespace: string;
  readonly account: string;
  readonly uid: string;
}

/** One identity (and principal) that must pull from one registry host under one rule: one record, one Secret, one cache key. */
export interface Need {
  readonly identity: Identity;
  readonly rule: string;
  /** Whom the identity becomes at the registry's cloud; empty where the family knows none. */
  readonly principal: string;
  /** Registry host as images name it, port included. */
  readonly host: string;
  /** Name of the Secret and of the record. */
  readonly secretName: string;
  /** Of everything in the rule that changes what an exchange answers; see `digestOf`. */
  readonly digest: string;
}

/** A registry login with a life. The password never leaves its SecretText but into the Secret. */
export interface Credential {
  /** Keys of the docker config: `host` or `host:port`. */
  readonly hosts: readonly string[];
  readonly username: string;
  readonly password: SecretText;
  /** Epoch milliseconds: when the request that made it was started. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** Nothing is used in its last minute: a pull that begins with it would outlive it. */
export const LAST_MINUTE_MS = 60_000;

/** Below this life there is no room for a retry ladder behind 0.6 of it; half leaves more. */
const SHORT_LIFE_MS = 15 * 60_000;

/** Everything that changes the answer, so that no two identities or rules ever share an entry. */
export function keyOf(need: Need): string {
  const { namespace, account, uid } = need.identity;
  return JSON.stringify([namespace, account, uid, need.rule, need.digest, need.principal, need.host]);
}

export function isUsable(expiresAt: number, now: number): boolean {
  return expiresAt - LAST_MINUTE_MS > now;
}

/**
 * When to renew: at 0.6 to 0.7 of the real life, at half of a life under 15 minutes, spread by `chance` in [0, 1).
 * Both leave at least 0.3 of the life for retries.
 */
export function refreshAt(issuedAt: number, expiresAt: number, chance: number): number {
  const life = Math.max(0, expiresAt - issuedAt);
  const share = life < SHORT_LIFE_MS ? 0.5 - 0.05 * chance : 0.6 + 0.1 * chance;
  return Math.floor(issuedAt + life * share);
}

/**
 * The same as a record has it. At once for what was made by a clock that is ahead of ours: registries that say how long and not
 * until when have an end there that is as wrong.
 */
export function renewalAt(
  recorded: { readonly issuedAt: number; readonly refreshAt: number } | undefined,
  now: number,
): number {
  return recorded && recorded.issuedAt <= now + LAST_MINUTE_MS ? recorded.refreshAt : 0;
}

/**
 * SHA-256 over what an exchange reads of rule and account: 32 hexadecimal digits. A record with another digest is not
 * trusted by the gate and is issued again.
 */
export function digestOf(
  rule: RegistryRule,
  parameters: Readonly<Record<string, string>> = {},
  audience: string = rule.audience,
): string {
  const read = { audience, exchange: rule.exchange, expirationSeconds: tokenSecondsOf(rule), parameters };
  return hash('sha256', canonicalJson(read)).slice(0, 32);
}

/** How long a ServiceAccount token is asked for when it is exchanged: as the rule says, or as its family needs. */
export function tokenSecondsOf({ token, family }: RegistryRule): number {
  return token.expirationSeconds ?? family.tokenSeconds;
}

/** JSON with sorted keys: the same content gives the same text, whatever order a file has. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
