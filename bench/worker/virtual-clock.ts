// A day in minutes: time that jumps to whoever wakes next, by a heap, for there are thousands of deadlines at any moment.
import type { Clock } from '../../src/clock.ts';

export interface VirtualClock extends Clock {
  /** Lets so much time pass; whoever wakes up on the way runs as far as it can before the next one is woken. */
  pass(ms: number): Promise<void>;
}

interface Waiter {
  readonly at: number;
  /** Undefined once nobody waits any more. */
  wake: (() => void) | undefined;
}

/** One for all, because a stack costs more than all the rest of a sleep. */
const ENDED = new DOMException('the sleep was ended', 'AbortError');
const START = Date.parse('2026-11-21T12:00:00Z');

export function createVirtualClock(): VirtualClock {
  const heap: Waiter[] = [];
  let passed = 0;
  let seed = 1;

  function wait(ms: number, wake: () => void): Waiter {
    const waiter: Waiter = { at: passed + Math.max(0, ms), wake };
    let place = heap.push(waiter) - 1;
    for (let above = (place - 1) >> 1; place > 0 && at(above) > waiter.at; above = (place - 1) >> 1) {
      swap(place, above);
      place = above;
    }
    return waiter;
  }

  const at = (place: number) => heap[place]?.at ?? Infinity;

  function swap(one: number, other: number): void {
    const [first, second] = [heap[one], heap[other]];
    if (!first || !second) throw new RangeError('there is nothing at this place of the heap');
    heap[one] = second;
    heap[other] = first;
  }

  function takeFirst(): Waiter | undefined {
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    heap[0] = last;
    for (let place = 0; ;) {
      const left = 2 * place + 1;
      const least = at(left + 1) < at(left) ? left + 1 : left;
      if (at(least) >= last.at) return first;
      swap(place, least);
      place = least;
    }
  }

  /** Tasks that wait for the end of a turn of the event loop. */
  let afterTurns = 0;

  /** Promises settle, and what goes on from turn to turn. */
  const settle = async () => {
    for (let turn = 0; turn < 2 || afterTurns > 0; turn++)
      await new Promise((resolve) => setImmediate(resolve));
  };

  return {
    now: () => START + passed,
    monotonic: () => passed,
    afterTurn: (task) => {
      afterTurns++;
      setImmediate(() => {
        afterTurns--;
        task();
      });
    },
    random: () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          waiter.wake = undefined;
          reject(ENDED);
        };
        const waiter = wait(ms, () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        });
        if (signal?.aborted) abort();
        else signal?.addEventListener('abort', abort, { once: true });
      }),
    deadline: (ms, ...signals) => {
      const controller = new AbortController();
      wait(ms, () => controller.abort(new DOMException('the deadline has passed', 'TimeoutError')));
      return signals.length === 0 ? controller.signal : AbortSignal.any([controller.signal, ...signals]);
    },
    async pass(ms) {
      const end = passed + ms;
      await settle();
      while (at(0) <= end) {
        const next = takeFirst();
        if (!next?.wake) continue;
        passed = Math.max(passed, next.at);
        next.wake();
        // Who wakes at the same moment runs in the same turn, as with real timers.
        while (at(0) <= passed) takeFirst()?.wake?.();
        await settle();
      }
      passed = end;
    },
  };
}
