// Whether a worker works, and where it may open gates: what the webhook reads from its Lease.
import { LEASE_NAME } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, Lease } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

/** Webhooks gate pods only while the Lease was renewed this recently: a dead worker must not stop the cluster. */
const ALIVE_MS = 10_000;
/** As often as the Lease is renewed. */
const LOOK_MS = 2_000;
const CALL_MS = 1_500;

export interface SignOfLife {
  /** True if the worker's Lease was seen to be renewed in the last 10 s; looked up in the background, never here. */
  isWorkerAlive(): boolean;
  /** True if that worker says that it may open gates there. */
  mayOpenGates(namespace: string): boolean;
  run(signal: AbortSignal): Promise<void>;
}

export interface SignOfLifeTools {
  readonly cluster: Pick<Cluster, 'findLease'>;
  readonly clock: Clock;
  readonly log: Log;
}

export function createSignOfLife({ cluster, clock, log }: SignOfLifeTools): SignOfLife {
  let seen: { lease: Lease; renewedAt: number } | undefined;
  /** Undefined: everywhere. */
  let gatesIn: ReadonlySet<string> | undefined;

  function remember(lease: Lease | undefined): void {
    gatesIn = lease?.gatesIn && new Set(lease.gatesIn);
    if (!lease) {
      seen = undefined;
    } else if (!seen) {
      // The first look has nothing to compare with but the Lease's own wall clock.
      seen = { lease, renewedAt: clock.monotonic() - Math.abs(clock.now() - lease.renewedAt) };
    } else if (seen.lease.renewedAt !== lease.renewedAt) {
      seen = { lease, renewedAt: clock.monotonic() };
    }
  }

  return {
    isWorkerAlive: () => seen !== undefined && clock.monotonic() - seen.renewedAt <= ALIVE_MS,
    mayOpenGates: (namespace) => gatesIn === undefined || gatesIn.has(namespace),
    async run(signal) {
      while (!signal.aborted) {
        try {
          remember(await cluster.findLease(LEASE_NAME, { signal: clock.deadline(CALL_MS, signal) }));
        } catch (error) {
          if (!signal.aborted) log.debug({ error }, 'lease not found out');
        }
        await clock.sleep(LOOK_MS, signal).catch(() => undefined);
      }
    },
  };
}
