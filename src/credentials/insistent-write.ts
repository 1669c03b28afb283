// A write that is not given up because the API server stumbled: what has been exchanged is not thrown away for that.
import { isProblem, type ProblemCode } from '../problem.ts';
import type { Clock } from '../clock.ts';

/** As long as a whole issue may take; after that the need is begun anew, with back-off. */
const INSIST_MS = 60_000;

/** Repeats a write that is safe to repeat. `write` itself refuses once it may not be made any more. */
export async function writeInsistently<T>(
  clock: Clock,
  write: () => Promise<T>,
  ...alsoAfter: ProblemCode[]
): Promise<T> {
  const until = clock.monotonic() + INSIST_MS;
  for (let wait = 100; ; wait = Math.min(2 * wait, 2_000)) {
    try {
      return await write();
    } catch (error) {
      const passes = isProblem(error, 'cluster-unreachable', 'cluster-throttled', 'deadline', ...alsoAfter);
      if (!passes || clock.monotonic() + wait > until) throw error;
      await clock.sleep(wait);
    }
  }
}
