// Whether our own fences stand, asked at the start and every hour; readiness hangs on the answer.
import type { Clock } from '../clock.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

export interface FenceProbe {
  /** What is not as it should be, in a sentence; undefined when no fence is missing. */
  trouble(): string | undefined;
  /** Probes until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** As `tryFences` names them. */
const FENCES = ['secrets', 'tokens'] as const;
const HOUR_MS = 3_600_000;
/** While something is amiss somebody is mending it, and wants to see when it is mended. */
const AMISS_MS = 10_000;
/** A right that we have nowhere is given in some namespace sooner or later, and its fence is tried there. */
const NOWHERE_MS = 60_000;
/** Who has a right in few namespaces, or in none, asks in all of them. */
const TRY_MS = 60_000;
const SYNC_LOOK_MS = 100;

export function createFenceProbe(
  tools: {
    readonly cluster: Pick<Cluster, 'tryFences'> & { readonly view: Pick<Cluster['view'], 'unsynced'> };
    readonly clock: Clock;
    readonly log: Log;
  },
  onResult: (all: readonly string[], missing: readonly string[]) => void = () => undefined,
): FenceProbe {
  const { cluster, clock, log } = tools;
  let trouble: string | undefined = 'the fences have not been tried yet';
  let nowhere: readonly string[] = [];

  async function probe(signal: AbortSignal): Promise<void> {
    try {
      const untried: string[] = [];
      const missing = await cluster.tryFences({
        signal: clock.deadline(TRY_MS, signal),
        onNowhere: (fence) => untried.push(fence),
      });
      const before = trouble;
      trouble =
        missing.length > 0
          ? `fence-missing: nothing refused what the ${missing.join(' and ')} policies must forbid`
          : undefined;
      if (trouble && trouble !== before) log.error({ missing }, 'fence missing');
      if (untried.length > 0 && untried.join() !== nowhere.join())
        log.warn({ untried }, 'the worker has the rights that these fences guard in no namespace');
      nowhere = untried;
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
      // Before the namespaces are known, a right that we have in one of them would seem to be nowhere.
      while (cluster.view.unsynced().includes('namespaces') && !signal.aborted)
        await clock.sleep(SYNC_LOOK_MS, signal).catch(() => undefined);
      while (!signal.aborted) {
        await probe(signal);
        const pause = trouble ? AMISS_MS : nowhere.length > 0 ? NOWHERE_MS : HOUR_MS;
        const [from, fromWall] = [clock.monotonic(), clock.now()];
        // Over by either clock: a suspend stops the one, and the other may be turned back by a day.
        const left = () => pause - Math.max(clock.monotonic() - from, clock.now() - fromWall);
        while (left() > 0 && !signal.aborted) await clock.sleep(left(), signal).catch(() => undefined);
      }
    },
  };
}
