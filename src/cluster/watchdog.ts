// Barks when nothing has been heard for too long.
import type { Clock } from '../clock.ts';

/** @param bark called once, `ms` after the last time that it was fed; never after it was disposed */
export function createWatchdog(clock: Clock, ms: number, bark: () => void): Disposable & { feed(): void } {
  const stop = new AbortController();
  let fedAt = clock.monotonic();
  const wait = async () => {
    while (!stop.signal.aborted) {
      const left = fedAt + ms - clock.monotonic();
      if (left <= 0) return bark();
      await clock.sleep(left, stop.signal);
    }
  };
  wait().catch(() => undefined);
  return {
    feed: () => {
      fedAt = clock.monotonic();
    },
    [Symbol.dispose]: () => stop.abort(),
  };
}
