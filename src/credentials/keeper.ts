// The one memory of credentials in the process: what is ready, what failed and until when it is left alone, and never
// two attempts for one need at a time. The records are its only disk.
import { LRUCache } from 'lru-cache';
import { isProblem, Problem, type ProblemCode } from '../problem.ts';
import { isReadyFor, isRecordOf } from '../core/pull-credential-record.ts';
import { keyOf, renewalAt, type Need } from '../core/pull-credential.ts';
import { failureAfter, isFinal, isTold, mayPass, type Attempt } from './attempt.ts';
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

export interface KeeperTools {
  readonly view: ClusterView;
  readonly clock: Clock;
  /** Absent where nothing is issued: a webhook without a worker. */
  readonly issuer?: Issuer;
}

/** 50,000 attempts of about 300 bytes are 15 MB: five times the accounts of the largest clusters. */
const MOST_NEEDS = 50_000;
export function createKeeper({ view, clock, issuer }: KeeperTools): Keeper {
  /** When the first of the attempts that have not succeeded yet began. */
  const begun = new Map<string, number>();
  /** Needs are planned once and asked for many times a second. */
  const keys = new WeakMap<Need, string>();
  /** By the monotonic clock, until when a failure is left alone: a clock that was ahead must not make that a day. */
  const leftAlone = new WeakMap<Attempt, number>();
  const attempts = new LRUCache<string, Attempt, PlannedNeed>({
    max: MOST_NEEDS,
    // Else `begun` would grow without bound: needs that never succeed are as many as tenants like.
    dispose: (_attempt, key, reason) => void (reason === 'evict' && begun.delete(key)),
    // A need that is forgotten while it is under way still answers whoever waits for it.
    ignoreFetchAbort: true,
    fetchMethod: (_key, before, { context }) => attempt(context, before),
  });

  function keyFor(need: Need): string {
    const known = keys.get(need);
    if (known !== undefined) return known;
    const key = keyOf(need);
    keys.set(need, key);
    return key;
  }

  async function attempt(planned: PlannedNeed, before: Attempt | undefined): Promise<Attempt> {
    const { need } = planned;
    const record = view.record(need.identity.namespace, need.secretName);
    const refreshAt = renewalAt(record?.status, clock.now());
    if (isReadyFor(record, need, clock.now()) && clock.now() < refreshAt) {
      return { kind: 'ready', isNew: false, freshUntil: refreshAt };
    }
    if (!issuer) throw new TypeError('this process issues nothing');
    try {
      const issued = await issuer.issue(planned);
      return { kind: 'ready', isNew: true, freshUntil: issued.status?.refreshAt ?? 0 };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const [now, chance] = [clock.now(), clock.random()];
      const failure = failureAfter(error, { before, now, chance, recorded: record?.status?.reason });
      leftAlone.set(failure, clock.monotonic() + failure.freshUntil - now);
      if (isTold(failure, now)) await report(issuer, need, failure.problem);
      return failure;
    }
  }

  /** What could not be written is written with the next failure. */
  async function report({ report: write }: Issuer, need: Need, problem: Problem): Promise<void> {
    await write(need, problem).catch((error: unknown) => {
      if (!isProblem(error)) throw error;
    });
  }

  function isFresh(known: Attempt | undefined, need: Need): boolean {
    const now = clock.now();
    if (!known || now >= known.freshUntil) return false;
    if (known.kind === 'failed') return clock.monotonic() < (leftAlone.get(known) ?? Infinity);
    const record = view.record(need.identity.namespace, need.secretName);
    return isReadyFor(record, need, now) && now < renewalAt(record?.status, now);
  }

  return {
    standingOf(need) {
      const record = view.record(need.identity.namespace, need.secretName);
      const now = clock.now();
      if (record?.status && isReadyFor(record, need, now))
        return { kind: 'ready', expiresAt: record.status.expiresAt };
      const known = attempts.peek(keyFor(need));
      const failure = known?.kind === 'failed' ? known : undefined;
      if (failure && isFinal(failure, now))
        return { kind: 'refused', code: failure.problem.code, message: failure.problem.message };
      // A fault that passes does not undo a refusal before it: no Secret became ours because the API server stumbled.
      const status = record && isRecordOf(record, need) ? record.status : undefined;
      if (!status || status.isReady || status.reason === 'issued' || mayPass(status.reason))
        return { kind: 'pending', ...(failure && { problem: failure.problem }) };
      return { kind: 'refused', code: status.reason, message: status.message };
    },

    async obtain(planned) {
      const key = keyFor(planned.need);
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
      const known = attempts.peek(keyFor(need));
      return known && isFresh(known, need) ? known.freshUntil : 0;
    },

    begunAt: (need) => begun.get(keyFor(need)),

    forget(need) {
      attempts.delete(keyFor(need));
      begun.delete(keyFor(need));
    },
  };
}
