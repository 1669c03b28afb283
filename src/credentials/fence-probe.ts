// Whether our own fences stand, asked at the start and every hour; readiness hangs on the answer.
import type { Clock } from '../clock.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

export interface FenceProbe {
  /** What is not as it should be, in a sentence; undefined when all fences stand. */
  trouble(): string | undefined;
  /** Probes until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** As `tryFences` names them. */
const FENCES = ['secrets', 'tokens'] as const;
const HOUR_MS = 3_600_000;
/** While something is amiss somebody is mending it, and wants to see when it is mended. */
const AMISS_MS = 10_000;
const CALL_MS = 10_000;

export function createFenceProbe(
  tools: { readonly cluster: Pick<Cluster, 'tryFences'>; readonly clock: Clock; readonly log: Log },
  onResult: (all: readonly string[], missing: readonly string[]) => void = () => undefined,
): FenceProbe {
  const { cluster, clock, log } = tools;
  let trouble: string | undefined = 'the fences have not been tried yet';

  async function probe(signal: AbortSignal): Promise<void> {
    try {
      const missing = await cluster.tryFences({ signal: clock.deadline(CALL_MS, signal) });
      const before = trouble;
      trouble =
        missing.length > 0
          ? `fence-missing: nothing refused what the ${missing.join(' and ')} policies must forbid`
          : undefined;
      if (trouble && trouble !== before) log.error({ missing }, 'fence missing');
      onResult(FENCES, missing);
    } catch (error) {
      if (signal.aborted) return;
      if (trouble) trouble = 'the fences could not be tried';
      log.warn({ error }, 'fences not tried');
    }
  }

  return {
    trouble: () => trouble,
    async run(signal) {
      while (!signal.aborted) {
        await probe(signal);
        const until = clock.now() + (trouble ? AMISS_MS : HOUR_MS);
        while (clock.now() < until && !signal.aborted)
          await clock.sleep(until - clock.now(), signal).catch(() => undefined);
      }
    },
  };
}
