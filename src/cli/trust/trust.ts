// What a registry's side must trust: one account of one cluster at one host, and what a family makes of it as text.
import { hash } from 'node:crypto';
import type { HostParts } from '../../core/registry-family.ts';

/** The first form of a family is its default. */
export const trustForms = ['terraform', 'commands', 'token-server', 'zot'] as const;
export type TrustForm = (typeof trustForms)[number];

export interface Trust {
  readonly rule: string;
  readonly kind: string;
  readonly host: string;
  /** Of the host, by the family's grammar. */
  readonly parts: HostParts;
  /** Byte for byte as the cluster writes it. */
  readonly issuer: string;
  readonly audience: string;
  readonly namespace: string;
  readonly account: string;
  /** The `sub` of its tokens. */
  readonly subject: string;
  /** Parameters that fit the family's grammar, one set for each principal of the account. */
  readonly principals: readonly Readonly<Record<string, string>>[];
  /** Parameters that nobody has set. */
  readonly chosen: readonly Chosen[];
  /** The rule's `exchange.endpoint`, or that of its first named one. */
  readonly endpoint: string | undefined;
}

/** A value for a parameter that nobody has set: a name of our choice, or a stand-in for what is known later. */
export interface Choice {
  readonly value: string;
  /** For the list in front of the text. */
  readonly told: string;
}

export interface Chosen extends Choice {
  readonly parameter: string;
}

export type Whom = Pick<Trust, 'namespace' | 'account' | 'host' | 'parts'>;

/** What a family needs at the other side. */
export interface FamilyTrust {
  readonly forms: Readonly<Partial<Record<TrustForm, (trust: Trust) => string>>>;
  /** Values that fit the grammar, for parameters that nobody has set. */
  readonly choose?: Readonly<Record<string, (whom: Whom) => Choice>>;
  /** Who must fetch the issuer's keys from the internet; absent: they can be handed over, or are fetched from nearby. */
  readonly fetcher?: string;
  /** What one should know, a sentence each. */
  notes(trust: Trust): readonly string[];
  /** What will not work, a sentence each. */
  faults?(trust: Trust): readonly string[];
  /** Why there is nothing to generate, as a sentence. */
  refusal?(trust: Trust): string | undefined;
}

/** Of the account, for a role, an identity or a pool at the other side; cut to the length with a hash of the whole. */
export function nameFor({ namespace, account }: Pick<Trust, 'namespace' | 'account'>, longest = 64): string {
  const name = `keyless-pull-${namespace}-${account}`;
  if (name.length <= longest) return name;
  const digest = hash('sha256', `${namespace}/${account}`, 'hex').slice(0, 8);
  return `${name.slice(0, longest - 9).replace(/[.-]+$/, '')}-${digest}`;
}

/** For the second principal and those after it: `_2`, `_3`. */
export function numbered(at: number): string {
  return at === 0 ? '' : `_${at + 1}`;
}

export function isChosen({ chosen }: Pick<Trust, 'chosen'>, parameter: string): boolean {
  return chosen.some((one) => one.parameter === parameter);
}
