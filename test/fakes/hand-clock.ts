// A clock that only a test moves. It starts at a real date: lru-cache never expires what was stored at 0.
import type { Clock } from '../../src/clock.ts';

export interface HandClock extends Clock {
  /**
   * Moves the clock on, and wakes on the way, in order and each at its own time, who sleeps or waits for a deadline.
   * What wakes up runs as far as it can without the clock before the next one is woken.
   */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone and wakes nobody: a machine that was suspended, or an administrator. */
  turn(ms: number): void;
  /** What `random` answers from now on. */
  chance: number;
  /** How many sleep or wait for a deadline. */
  waiting(): number;
}

interface Waiter {
  readonly at: number;
  readonly wake: () => void;
}

export function createHandClock(start = Date.parse('2026-11-21T12:00:00Z')): HandClock {
  const waiters = new Set<Waiter>();
  let passed = 0;
  let turned = 0;
  /** Tasks that wait for the end of a turn of the event loop. */
  let afterTurns = 0;

  /** Lets promises settle, also those that go through real timers of zero, through I/O that is ready, and from turn to turn. */
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 3 || afterTurns > 0; turn++)
      await new Promise((resolve) => setImmediate(resolve));
  }

  const wait = (ms: number, wake: () => void) => {
    const waiter = { at: passed + Math.max(ms, 0), wake };
    waiters.add(waiter);
    return () => waiters.delete(waiter);
  };

  const clock: HandClock = {
    chance: 0.5,
    now: () => start + passed + turned,
    monotonic: () => passed,
    afterTurn: (task) => {
      afterTurns++;
      setImmediate(() => {
        afterTurns--;
        task();
      });
    },
    random: () => clock.chance,
    waiting: () => waiters.size,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          forget();
          reject(new DOMException('the sleep was ended', 'AbortError'));
        };
        const forget = wait(ms, () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        });
        if (signal?.aborted) abort();
        else signal?.addEventListener('abort', abort, { once: true });
      }),
    deadline: (ms, ...signals) => {
      const controller = new AbortController();
      wait(ms, () => controller.abort(new DOMException('the deadline has passed', 'TimeoutError')));
      return AbortSignal.any([controller.signal, ...signals]);
    },
    turn: (ms) => {
      turned += ms;
    },
    advance: async (ms) => {
      const end = passed + ms;
      await settle();
      for (;;) {
        const due = [...waiters]
          .filter((waiter) => waiter.at <= end)
          .sort((one, other) => one.at - other.at)[0];
        if (!due) break;
        waiters.delete(due);
        passed = Math.max(passed, due.at);
        due.wake();
        await settle();
      }
      passed = end;
    },
  };
  return clock;
}
