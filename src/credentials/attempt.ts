// How an attempt to get a credential ended, and how long a failure is left alone. Pure: what is remembered where is the
// keeper's.
import { isProblem, Problem, problemCodes, type ProblemCode, type Retry } from '../problem.ts';
import { withCure } from './missing-right.ts';

/** How the last attempt ended. Instants are epoch milliseconds. */
export type Attempt =
  | { readonly kind: 'ready'; readonly isNew: boolean; readonly freshUntil: number }
  | Failure;

export interface Failure {
  readonly kind: 'failed';
  readonly problem: Problem;
  readonly firstAt: number;
  /** In a row and of this code; 0 while a Secret that is not ours may still be the last life's. */
  readonly failures: number;
  readonly freshUntil: number;
}

/**
 * How long a failure is left alone, first and at most, in milliseconds; in between the wait doubles. `soon` is the worker's
 * own pace; trust that was just set up is known everywhere in minutes; what somebody must mend at the registry is looked
 * at every hour, when the account changes, and when somebody deletes the record.
 */
const waits: Readonly<Record<Retry, readonly [first: number, longest: number]>> = {
  soon: [1_000, 30_000],
  waiting: [30_000, 300_000],
  later: [10_000, 600_000],
  rarely: [600_000, 3_600_000],
  no: [600_000, 3_600_000],
};
/** Whoever gives the worker its right in a namespace does so now, and RBAC knows it in a second. */
const MISSING_RIGHT_MS: (typeof waits)[Retry] = [10_000, 45_000];
/** New trust that is not known by then is no new trust. */
const PROPAGATION_MS = 15 * 60_000;
/** So long a Secret of our name may be the last life's, that the garbage collector is about to take. */
const LAST_LIFE_MS = 10_000;

export interface FailureFacts {
  readonly before: Attempt | undefined;
  readonly now: number;
  /** In [0, 1). */
  readonly chance: number;
  /** The reason in the need's record, where it has one: what was final before a restart is final after it. */
  readonly recorded: string | undefined;
}

export function failureAfter(seen: Problem, { before, now, chance, recorded }: FailureFacts): Failure {
  const failed = before?.kind === 'failed' ? before : undefined;
  const since = failed && isOneStory(failed.problem.code, seen.code) ? failed.firstAt : now;
  const problem = withCure(hardened(seen, now - since, recorded));
  const again = failed?.problem.code === problem.code;
  const firstAt = again ? failed.firstAt : since;
  const isLastLife = problem.code === 'secret-not-ours' && now - firstAt < LAST_LIFE_MS;
  const failures = isLastLife ? 0 : again ? failed.failures + 1 : 1;
  const retry = isLastLife ? 'soon' : problemCodes[problem.code].retry;
  const [first, longest] = problem.details.missingRight === undefined ? waits[retry] : MISSING_RIGHT_MS;
  const grown = Math.min(longest, first * 2 ** Math.min(failures - 1, 10));
  const wait = Math.max(
    problem.details.retryAfterMs ?? 0,
    retry === 'soon' && failures <= 3 ? first : grown * (0.5 + chance / 2),
  );
  return { kind: 'failed', problem, firstAt, failures, freshUntil: now + wait };
}

/** True if trying again in a minute would be no use: somebody must mend it, and the pod should not wait for that. */
export function isFinal({ problem: { code }, firstAt }: Failure, now: number): boolean {
  return code === 'secret-not-ours' ? now - firstAt >= LAST_LIFE_MS : !mayPass(code);
}

/** Nobody would see that a registry is down, or that new trust is still on its way, if only the final were written down. */
export function isTold(failure: Failure, now: number): boolean {
  const { code } = failure.problem;
  return isFinal(failure, now) || code === 'exchange-unreachable' || problemCodes[code].retry === 'waiting';
}

export function mayPass(code: ProblemCode): boolean {
  const { retry } = problemCodes[code] ?? {};
  return retry === 'soon' || retry === 'waiting';
}

/** Waiting for trust that never comes ends as a refusal. */
function isOneStory(before: ProblemCode, now: ProblemCode): boolean {
  return before === now || (before === 'exchange-refused' && now === 'exchange-waiting');
}

/** Reported as waiting first, as refused when it has lasted. */
function hardened(problem: Problem, forMs: number, recorded: string | undefined): Problem {
  if (problem.code !== 'exchange-waiting') return problem;
  if (forMs < PROPAGATION_MS && recorded !== 'exchange-refused') return problem;
  return new Problem('exchange-refused', problem.message, { cause: problem, details: problem.details });
}

/** The endpoint itself, whatever the account was told: throttling is meant for all who come from here. */
export function isDownFor(problem: unknown): boolean {
  return isProblem(problem, 'exchange-unreachable', 'exchange-throttled');
}

/** A refusal is an answer too; what the API server stumbled over says nothing of the endpoint. */
export function hasAnswered(attempt: Attempt | undefined): boolean {
  if (attempt?.kind === 'ready') return attempt.isNew;
  if (!attempt || isDownFor(attempt.problem)) return false;
  const { code } = attempt.problem;
  return code.startsWith('exchange-') || code === 'credential-already-expired';
}
