// The only file that touches time and chance, so that tests can move both by hand.
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  /** Wall clock, epoch milliseconds. */
  now(): number;
  /** Milliseconds that never go backwards; only differences mean anything. */
  monotonic(): number;
  /** Resolves after `ms` (bounded to 60,000: a suspended machine stops timers, so long waits are re-checked). Rejects when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Aborts after `ms` (at once when that is past), or when one of `signals` does. */
  deadline(ms: number, ...signals: AbortSignal[]): AbortSignal;
  /** Runs `task` when this turn of the event loop is over: once all that came in together has been read. */
  afterTurn(task: () => void): void;
  /** A number in [0, 1). */
  random(): number;
}

const LONGEST_SLEEP_MS = 60_000;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    sleep(Math.min(Math.max(ms, 0), LONGEST_SLEEP_MS), undefined, signal ? { signal } : {}),
  deadline: (ms, ...signals) =>
    AbortSignal.any([AbortSignal.timeout(Math.max(0, Math.ceil(ms))), ...signals]),
  afterTurn: (task) => void setImmediate(task),
  random: () => Math.random(),
};
