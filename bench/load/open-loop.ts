// A fixed rate, whatever the server does: reviews have their moment by schedule, and their latency counts from it, so that
// a server that stalls is charged for those that had to wait (no coordinated omission).
import type { Connection } from './connection.ts';
import type { LoadResult, Tally } from './tally.ts';

export function runOpenLoop(
  connections: readonly Connection[],
  tally: Tally,
  seconds: number,
  ratePerSecond: number,
): Promise<LoadResult> {
  const total = Math.max(1, Math.round(seconds * ratePerSecond));
  const startedAt = performance.now();
  const idle = [...connections];
  let begun = 0;
  let done = 0;

  return new Promise((resolve) => {
    const dueAt = (review: number) => startedAt + (review * 1000) / ratePerSecond;
    const sendDue = () => {
      while (begun < total && dueAt(begun) <= performance.now()) {
        const connection = idle.pop();
        if (!connection) return;
        const scheduledAt = dueAt(begun++);
        connection.send((exchange) => {
          const now = performance.now();
          tally.note(exchange, now - scheduledAt);
          idle.push(connection);
          if (++done === total) resolve(tally.result((now - startedAt) / 1000));
          else sendDue();
        });
      }
    };
    // Timers are a millisecond coarse, a review is faster than that: the clock is looked at in every turn of the loop.
    const watchClock = () => {
      sendDue();
      if (begun < total) setImmediate(watchClock);
    };
    watchClock();
  });
}
