// What a registry's no means: four classes of failure (and throttling, which is one that says when), each with the problem
// that it becomes. How long each is left alone is the problem code's, in problem.ts.
import type { ProblemCode } from '../problem.ts';

export type FailureClass = 'transient' | 'throttled' | 'propagation' | 'stale' | 'permanent';

interface Reaction {
  readonly code: ProblemCode;
  /** Tries within one attempt. */
  readonly tries: number;
  readonly means: string;
}

// oxfmt-ignore
export const reactions: Readonly<Record<FailureClass, Reaction>> = {
  transient: { code: 'exchange-unreachable', tries: 3, means: 'is failing' },
  throttled: { code: 'exchange-throttled', tries: 3, means: 'asks us to wait' },
  propagation: { code: 'exchange-waiting', tries: 1, means: 'does not know the trust for this account (yet)' },
  stale: { code: 'exchange-stale', tries: 1, means: 'calls what it was sent expired or not valid yet' },
  permanent: { code: 'exchange-refused', tries: 1, means: 'refuses this account' },
};

/** How the no of one service is read. */
export interface Refusal {
  /** The service's own code in an answer that is no success; empty where there is none. */
  codeOf(body: unknown, header: (name: string) => string | undefined): string;
  /** By that code; what is not here goes by the status alone. */
  readonly classes?: Readonly<Record<string, FailureClass>>;
  /** True of a no that comes with a status which says yes. */
  isNo?(body: unknown): boolean;
  /** Where code and status are not enough. */
  classOf?(code: string, body: unknown): FailureClass | undefined;
  /** What to do about a code, as the end of a sentence. */
  readonly cures?: Readonly<Record<string, string>>;
}

/** Too early or too late, and the faults of servers, of those in front of them too (520 to 530); 501 stays what it is. */
function mayPass(status: number): boolean {
  return [408, 425].includes(status) || (status >= 500 && status < 600 && status !== 501);
}

export function classify(refusal: Refusal, status: number, code: string, body: unknown): FailureClass {
  const byCode = refusal.classOf?.(code, body) ?? own(refusal.classes, code);
  if (byCode) return byCode;
  if (status === 429) return 'throttled';
  return mayPass(status) ? 'transient' : 'permanent';
}

export function cureFor(refusal: Refusal, code: string): string | undefined {
  return own(refusal.cures, code);
}

/** The code is foreign text: `constructor` is no entry of the table. */
function own<Value>(table: Readonly<Record<string, Value>> | undefined, key: string): Value | undefined {
  return table && Object.hasOwn(table, key) ? table[key] : undefined;
}

/** A text member of a JSON object, found step by step; empty where there is none. */
export function member(body: unknown, ...steps: readonly (string | number)[]): string {
  let at = body;
  for (const step of steps) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return '';
    at = (at as Record<string | number, unknown>)[step]; // an object with that member of its own
  }
  return typeof at === 'string' || typeof at === 'number' ? String(at) : '';
}

/** OAuth has one code for all that is wrong with a token: that it is too old or too new stands in the sentence alone. */
export function isOutOfTime(body: unknown): boolean {
  return /expired|stale|too old|future|not yet valid|token is not active/i.test(
    member(body, 'error_description'),
  );
}

/** RFC 6749 section 5.2, and RFC 8693 section 2.2.2, which calls a token that it does not take an invalid request. */
export const oauthRefusal: Refusal = {
  codeOf: (body) => member(body, 'error'),
  isNo: (body) => member(body, 'error') !== '',
  classes: { temporarily_unavailable: 'transient', server_error: 'transient', slow_down: 'throttled' },
  classOf: (code, body) =>
    ['invalid_grant', 'invalid_request'].includes(code) && isOutOfTime(body) ? 'stale' : undefined,
};
