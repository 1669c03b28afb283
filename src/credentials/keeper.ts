// The one memory of credentials in the process: what is ready, what failed and until when it is left alone, and never
// two attempts for one need at a time. The records are its only disk.
import { LRUCache } from 'lru-cache';
import { isProblem, Problem, problemCodes, type ProblemCode } from '../problem.ts';
import { isReadyFor, isRecordOf } from '../core/pull-credential-record.ts';
import { keyOf, type Need } from '../core/pull-credential.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { Issuer } from './issuer.ts';

/** What is known of a need, without asking anybody. */
export type Standing =
  | { readonly kind: 'ready'; readonly expiresAt: number }
  /** `problem`: how the last attempt failed, if it has; trying again may help, and is under way. */
  | { readonly kind: 'pending'; readonly problem?: Problem }
  | { readonly kind: 'refused'; readonly code: ProblemCode; readonly message: string };

export interface Keeper {
  /** Answers from memory and from the records that the watch has seen; never waits. */
  standingOf(need: Need): Standing;
  /** Issues or renews, unless the credential is fresh or the last failure too young. Rejects with what is no Problem alone: a bug. */
  obtain(planned: PlannedNeed): Promise<Attempt>;
  /** When `obtain` would do something again; epoch milliseconds, 0 for now. */
  dueAt(need: Need): number;
  /** When the first of the attempts that have not succeeded yet began, epoch milliseconds; undefined while it is only queued. */
  begunAt(need: Need): number | undefined;
  forget(need: Need): void;
}

/** How the last attempt ended. */
export type Attempt =
  | { readonly kind: 'ready'; readonly isNew: boolean; readonly freshUntil: number }
  | {
      readonly kind: 'failed';
      readonly problem: Problem;
      readonly firstAt: number;
      /** In a row and of this code; 0 while a Secret that is not ours may still be the last life's. */
      readonly failures: number;
      readonly freshUntil: number;
    };

export interface KeeperTools {
  readonly view: ClusterView;
  readonly clock: Clock;
  /** Absent where nothing is issued: a webhook without a worker. */
  readonly issuer?: Issuer;
}

/** 50,000 attempts of about 300 bytes are 15 MB: five times the accounts of the largest clusters. */
const MOST_NEEDS = 50_000;
/** For faults that pass: the API server away, a conflict. The worker's own second is the pace. */
const SOON_MS = 1_000;
const LONGEST_SOON_MS = 30_000;
/** For what somebody must mend first: the registry says no, a right is missing. */
const LATER_MS = 10_000;
const LONGEST_LATER_MS = 600_000;
/** So long a Secret of our name may be the last life's, that the garbage collector is about to take. */
const LAST_LIFE_MS = 10_000;

export function createKeeper({ view, clock, issuer }: KeeperTools): Keeper {
  /** When the first of the attempts that have not succeeded yet began. */
  const begun = new Map<string, number>();
  const attempts = new LRUCache<string, Attempt, PlannedNeed>({
    max: MOST_NEEDS,
    // Else `begun` would grow without bound: needs that never succeed are as many as tenants like.
    dispose: (_attempt, key, reason) => void (reason === 'evict' && begun.delete(key)),
    // A need that is forgotten while it is under way still answers whoever waits for it.
    ignoreFetchAbort: true,
    fetchMethod: (_key, before, { context }) => attempt(context, before),
  });

  async function attempt(planned: PlannedNeed, before: Attempt | undefined): Promise<Attempt> {
    const { need } = planned;
    const record = view.record(need.identity.namespace, need.secretName);
    const refreshAt = record?.status?.refreshAt ?? 0;
    if (isReadyFor(record, need, clock.now()) && clock.now() < refreshAt) {
      return { kind: 'ready', isNew: false, freshUntil: refreshAt };
    }
    if (!issuer) throw new TypeError('this process issues nothing');
    try {
      const issued = await issuer.issue(planned);
      return { kind: 'ready', isNew: true, freshUntil: issued.status?.refreshAt ?? 0 };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const failure = failureAfter(before, error);
      if (isFinal(failure)) await report(issuer, need, error);
      return failure;
    }
  }

  /** What could not be written is written with the next failure. */
  async function report({ report: write }: Issuer, need: Need, problem: Problem): Promise<void> {
    await write(need, problem).catch((error: unknown) => {
      if (!isProblem(error)) throw error;
    });
  }

  function failureAfter(before: Attempt | undefined, problem: Problem): Attempt & { kind: 'failed' } {
    const now = clock.now();
    const again = before?.kind === 'failed' && before.problem.code === problem.code;
    const firstAt = again ? before.firstAt : now;
    const isLastLife = problem.code === 'secret-not-ours' && now - firstAt < LAST_LIFE_MS;
    const failures = isLastLife ? 0 : again ? before.failures + 1 : 1;
    const soon = isLastLife || problemCodes[problem.code].retry === 'soon';
    const [step, longest] = soon ? [SOON_MS, LONGEST_SOON_MS] : [LATER_MS, LONGEST_LATER_MS];
    const grown = Math.min(longest, step * 2 ** Math.min(failures - 1, 10));
    const wait = Math.max(
      problem.details.retryAfterMs ?? 0,
      soon && failures <= 3 ? step : grown * (0.5 + clock.random() / 2),
    );
    return { kind: 'failed', problem, firstAt, failures, freshUntil: now + wait };
  }

  const isPassing = (code: ProblemCode) => problemCodes[code]?.retry === 'soon';

  /** True if trying again in a second would be no use: somebody must mend it, and the pod should not wait for that. */
  function isFinal(failure: Attempt & { kind: 'failed' }): boolean {
    const { code } = failure.problem;
    if (code === 'secret-not-ours') return clock.now() - failure.firstAt >= LAST_LIFE_MS;
    return problemCodes[code].retry !== 'soon' || code === 'exchange-unreachable';
  }

  function isFresh(known: Attempt | undefined, need: Need): boolean {
    if (!known || clock.now() >= known.freshUntil) return false;
    return (
      known.kind === 'failed' ||
      isReadyFor(view.record(need.identity.namespace, need.secretName), need, clock.now())
    );
  }

  return {
    standingOf(need) {
      const record = view.record(need.identity.namespace, need.secretName);
      const now = clock.now();
      if (record?.status && isReadyFor(record, need, now))
        return { kind: 'ready', expiresAt: record.status.expiresAt };
      const known = attempts.peek(keyOf(need));
      const failure = known?.kind === 'failed' ? known : undefined;
      if (failure && isFinal(failure) && failure.problem.code !== 'exchange-unreachable')
        return { kind: 'refused', code: failure.problem.code, message: failure.problem.message };
      // A fault that passes does not undo a refusal before it: no Secret became ours because the API server stumbled.
      const status = record && isRecordOf(record, need) ? record.status : undefined;
      if (!status || status.isReady || status.reason === 'issued' || isPassing(status.reason))
        return { kind: 'pending', ...(failure && { problem: failure.problem }) };
      return { kind: 'refused', code: status.reason, message: status.message };
    },

    async obtain(planned) {
      const key = keyOf(planned.need);
      const known = attempts.peek(key);
      if (known && isFresh(known, planned.need)) return known;
      if (!begun.has(key)) begun.set(key, clock.now());
      // No caller's signal goes in: the first one's would abort the flight for all.
      const result = await attempts.fetch(key, { context: planned, forceRefresh: true });
      if (!result) throw new TypeError('the keeper lost a need that was under way');
      if (result.kind === 'ready') begun.delete(key);
      return result;
    },

    dueAt(need) {
      const known = attempts.peek(keyOf(need));
      return known && isFresh(known, need) ? known.freshUntil : 0;
    },

    begunAt: (need) => begun.get(keyOf(need)),

    forget(need) {
      attempts.delete(keyOf(need));
      begun.delete(keyOf(need));
    },
  };
}
