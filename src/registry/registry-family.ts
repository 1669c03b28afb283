// What one registry family is: the facts that the core plans with, and how a ServiceAccount token becomes a login there.
// A family is one file that exports one of these, and one line in families.ts.
import type * as z from 'zod';
import type { FamilyFacts, HostParts } from '../core/registry-family.ts';
import type { Need } from '../core/pull-credential.ts';
import type { SecretText } from '../secret-text.ts';
import type { Refusal } from './refusal.ts';

export interface RegistryFamily extends FamilyFacts {
  /** Longest life that an answer of this family is believed to have, in seconds. */
  readonly longestLife: number;
  exchange(call: FamilyCall): Promise<Login>;
}

export interface Login {
  readonly username: string;
  readonly password: SecretText;
  /**
   * Epoch milliseconds of every end that is known; the first one counts, with the `exp` of a password that is a JWT and
   * with the family's longest life.
   */
  readonly expiresAt: readonly number[];
  /** Epoch milliseconds; absent: when the exchange began. */
  readonly issuedAt?: number;
}

/** What an exchange has to work with. */
export interface FamilyCall {
  readonly token: SecretText;
  /** Epoch milliseconds, both. */
  readonly tokenIssuedAt: number;
  readonly tokenExpiresAt: number;
  readonly need: Need;
  /** Of the host, by the family's grammar: the only part of it that may become part of a URL. */
  readonly parts: HostParts;
  /** Validated by the family's grammar. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The rule's `exchange.username`. */
  readonly username: string | undefined;
  /** Where a service is: as the rule says, else `standard`. The path is put behind it. */
  url(service: string, standard: string, path: string): URL;
  /** Epoch milliseconds, for signatures. */
  now(): number;
  /** One request, tried again where that may help. @throws Problem of the exchange-… family */
  ask<Schema extends z.ZodType>(step: Step<Schema>): Promise<Answer<z.output<Schema>>>;
}

/** Texts of a request: a secret stays one until the bytes are written. */
export type RequestFields = Readonly<Record<string, string | SecretText | undefined>>;

export interface Step<Schema extends z.ZodType> {
  readonly url: URL;
  /** POST unless there is nothing to send. */
  readonly method?: 'GET' | 'POST';
  /** Sent as application/x-www-form-urlencoded; undefined fields are left out. */
  readonly form?: RequestFields;
  /** Sent as JSON. */
  readonly json?: Readonly<Record<string, unknown>>;
  readonly body?: string;
  readonly bearer?: SecretText;
  readonly basic?: { readonly username: string; readonly password: SecretText };
  readonly headers?: RequestFields;
  /** Headers that depend on the moment, made for every try: signatures. */
  sign?(): Promise<Readonly<Record<string, string>>>;
  /** From the text to what `answer` reads; absent: JSON. */
  read?(text: string, header: (name: string) => string | undefined): unknown;
  /** Unknown keys are the other side's business; a schema here reads those it needs. */
  readonly answer: Schema;
  /** Statuses besides 200 and 201 that carry the answer. */
  readonly alsoGood?: readonly number[];
  readonly refusal: Refusal;
}

export interface Answer<Data> {
  readonly data: Data;
  /** Epoch milliseconds at which the request that was answered began: lives count from there. */
  readonly startedAt: number;
}

/** A path with its variable parts encoded; a part that would climb or end the path is no part of one. */
export function path(parts: TemplateStringsArray, ...values: string[]): string {
  for (const value of values) {
    if (value === '' || /^\.{1,2}$/.test(value)) throw new TypeError('a path part is empty or climbs');
  }
  return String.raw({ raw: parts }, ...values.map(encodeURIComponent));
}
