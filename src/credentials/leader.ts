// Which worker works: one Lease, taken and renewed by compare-and-swap alone. And the sign of life that the webhook reads.
import { isProblem } from '../problem.ts';
import { LEASE_NAME } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, Lease } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

/** A dead worker's pods wait this long, and up to one look more, for the next one. */
export const LEASE_SECONDS = 6;
const RENEW_MS = 2_000;
/** Who waits for the Lease looks more often than its holder renews it. */
const FOLLOW_MS = 500;
/** We stop a second before others may start: a write that is on its way must not meet theirs. */
const LEADING_MS = LEASE_SECONDS * 1000 - 1_000;
/** Webhooks gate pods only while the Lease was renewed this recently: a dead worker must not stop the cluster. */
const ALIVE_MS = 10_000;
/** Two attempts must fit between the first renewal that fails and the end of leading. */
const CALL_MS = 1_500;
const RETRY_MS = 200;

export interface Leader {
  /** True while nobody else may believe to lead; asked again before every write. */
  isLeading(): boolean;
  /** Campaigns until the signal aborts, then releases the Lease. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface LeaderTools {
  readonly cluster: Pick<Cluster, 'findLease' | 'createLease' | 'updateLease'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Unique among replicas and restarts. */
  readonly identity: string;
  onChange?(leading: boolean): void;
}

export function createLeader({ cluster, clock, log, identity, onChange }: LeaderTools): Leader {
  /** Our Lease as the last answer gave it, and when the request behind that answer was started, on both clocks. */
  let held: { lease: Lease; startedAt: number; startedAtWall: number } | undefined;
  /** What another's Lease last looked like, and since when it has not changed, by our own clock: theirs may be wrong. */
  let other: { lease: Lease; since: number } | undefined;
  let announced = false;

  const isLeading = () =>
    held !== undefined &&
    clock.monotonic() - held.startedAt < LEADING_MS &&
    // A suspended machine stops the monotonic clock, and the others do not wait for it.
    clock.now() - held.startedAtWall < LEADING_MS;

  async function take(write: () => Promise<Lease>): Promise<void> {
    const startedAt = clock.monotonic();
    const startedAtWall = clock.now();
    try {
      held = { lease: await write(), startedAt, startedAtWall };
      other = undefined;
    } catch (error) {
      if (isProblem(error, 'cluster-conflict', 'cluster-missing')) held = undefined;
      throw error;
    }
  }

  /** Not ended by shutdown: who does not know whether its last write was done cannot release the Lease. */
  async function campaign(): Promise<void> {
    const options = { signal: clock.deadline(CALL_MS) };
    const wish = {
      name: LEASE_NAME,
      holder: identity,
      durationSeconds: LEASE_SECONDS,
      renewedAt: clock.now(),
    };
    if (held) {
      const { transitions, resourceVersion } = held.lease;
      try {
        return await take(() => cluster.updateLease({ ...wish, transitions, resourceVersion }, options));
      } catch (error) {
        // Somebody wrote meanwhile: another worker, or we ourselves by an update whose answer never came.
        if (!isProblem(error, 'cluster-conflict', 'cluster-missing')) throw error;
      }
    }
    const found = await cluster.findLease(LEASE_NAME, options);
    if (!found)
      return take(() => cluster.createLease({ ...wish, transitions: 0, resourceVersion: '' }, options));
    if (found.resourceVersion !== other?.lease.resourceVersion)
      other = { lease: found, since: clock.monotonic() };
    const isOurs = found.holder === identity;
    const age = clock.monotonic() - other.since;
    const isFree =
      isOurs || found.holder === '' || age >= Math.max(found.durationSeconds, LEASE_SECONDS) * 1000;
    if (!isFree) return;
    const { transitions, resourceVersion } = found;
    return take(() =>
      cluster.updateLease({ ...wish, transitions: transitions + (isOurs ? 0 : 1), resourceVersion }, options),
    );
  }

  function announce(): void {
    if (announced === isLeading()) return;
    announced = !announced;
    log.info({ identity }, announced ? 'leading' : 'no longer leading');
    onChange?.(announced);
  }

  async function release(): Promise<void> {
    if (!held) return;
    const options = { signal: clock.deadline(CALL_MS) };
    const { lease } = held;
    held = undefined;
    await cluster
      .updateLease({ ...lease, holder: '' }, options)
      .catch((error: unknown) => log.debug({ error }, 'lease not released'));
  }

  return {
    isLeading,
    async run(signal) {
      while (!signal.aborted) {
        const succeeded = await campaign().then(
          () => true,
          (error: unknown) => {
            log.debug({ error }, 'lease not renewed');
            return false;
          },
        );
        announce();
        await clock.sleep(!succeeded ? RETRY_MS : held ? RENEW_MS : FOLLOW_MS, signal).catch(() => undefined);
      }
      await release();
      announce();
    },
  };
}

export interface SignOfLife {
  /** True if the worker's Lease was seen to be renewed in the last 10 s; looked up in the background, never here. */
  isWorkerAlive(): boolean;
  run(signal: AbortSignal): Promise<void>;
}

export function createSignOfLife({
  cluster,
  clock,
  log,
}: Pick<LeaderTools, 'cluster' | 'clock' | 'log'>): SignOfLife {
  let seen: { lease: Lease; renewedAt: number } | undefined;

  function remember(lease: Lease | undefined): void {
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
    async run(signal) {
      while (!signal.aborted) {
        try {
          remember(await cluster.findLease(LEASE_NAME, { signal: clock.deadline(CALL_MS, signal) }));
        } catch (error) {
          if (!signal.aborted) log.debug({ error }, 'lease not found out');
        }
        await clock.sleep(RENEW_MS, signal).catch(() => undefined);
      }
    },
  };
}
