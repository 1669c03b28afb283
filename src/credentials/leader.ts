// Which worker works: one Lease, taken and renewed by compare-and-swap alone.
import { isProblem, Problem } from '../problem.ts';
import { LEASE_NAME } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { CallOptions, Cluster, Lease } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

/** A dead worker's pods wait this long, counted from the first look that saw its last renewal, for the next one. */
export const LEASE_SECONDS = 6;
const RENEW_MS = 2_000;
/** Who waits for the Lease counts from the look that saw it renewed: what is seen late is taken over late. */
const FOLLOW_MS = 250;
/** We stop a second before others may start: a write that is on its way must not meet theirs. */
const LEADING_MS = LEASE_SECONDS * 1000 - 1_000;
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
  /** Where we may open gates, for the Lease to say; undefined or absent: everywhere. */
  gatesIn?(): readonly string[] | undefined;
  onChange?(leading: boolean): void;
}

export function createLeader(tools: LeaderTools): Leader {
  const { cluster, clock, log, identity, onChange } = tools;
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
    const lease = await write();
    // What had run out meanwhile is told, also where nobody else has used it.
    announce();
    held = { lease, startedAt, startedAtWall };
    other = undefined;
  }

  /** Milliseconds until the other's Lease counts as abandoned, if it is not renewed; below 0 afterwards. */
  function untilFree(): number {
    if (!other) return FOLLOW_MS;
    const { lease, since } = other;
    return since + Math.max(lease.durationSeconds, LEASE_SECONDS) * 1000 - clock.monotonic();
  }

  /** Not ended by shutdown: who does not know whether its last write was done cannot release the Lease. */
  async function campaign(): Promise<void> {
    // Each call has its own: where answers are late, three in the time of one would never come to an end.
    const options = () => ({ signal: clock.deadline(CALL_MS) });
    const gatesIn = tools.gatesIn?.();
    const wish = {
      name: LEASE_NAME,
      holder: identity,
      durationSeconds: LEASE_SECONDS,
      renewedAt: clock.now(),
      ...(gatesIn && { gatesIn }),
    };
    if (held) {
      const { transitions, resourceVersion } = held.lease;
      try {
        return await take(() => cluster.updateLease({ ...wish, transitions, resourceVersion }, options()));
      } catch (error) {
        // Somebody wrote meanwhile: another worker, or we ourselves by an update whose answer never came.
        if (!isProblem(error, 'cluster-conflict', 'cluster-missing')) throw error;
      }
    }
    const found = await cluster.findLease(LEASE_NAME, options());
    // Until then the Lease is still ours: nobody who keeps the rules takes it before it has run out.
    if (found?.holder !== identity) held = undefined;
    if (!found)
      return take(() => cluster.createLease({ ...wish, transitions: 0, resourceVersion: '' }, options()));
    if (found.resourceVersion !== other?.lease.resourceVersion)
      other = { lease: found, since: clock.monotonic() };
    const isOurs = found.holder === identity;
    const isFree = isOurs || found.holder === '' || untilFree() <= 0;
    if (!isFree) return;
    const { transitions, resourceVersion } = found;
    return take(() =>
      cluster.updateLease(
        { ...wish, transitions: transitions + (isOurs ? 0 : 1), resourceVersion },
        options(),
      ),
    );
  }

  function announce(): void {
    if (announced === isLeading()) return;
    announced = !announced;
    log.info({ holder: identity }, announced ? 'leading' : 'no longer leading');
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
        const pause = held ? RENEW_MS : Math.max(0, Math.min(FOLLOW_MS, untilFree()));
        await clock.sleep(succeeded ? pause : RETRY_MS, signal).catch(() => undefined);
      }
      await release();
      announce();
    },
  };
}

/**
 * For one write of at most `ms`: refused to who does not lead, now and when its turn comes. @throws Problem lease-lost
 *
 * What was sent before the Lease was lost can still arrive after its successor's: a PUT of a Secret. Its credential was good
 * when it was made, and so still is, but it ends before the record of the successor says so: by less than an exchange (60 s)
 * and its write (60 s of attempts, the last of 30 s) take. Renewal leaves 270 s of every life of ten minutes or more, so that
 * the record is due, and the Secret written anew, before that end. A status that arrives late meets a conflict.
 */
export function whileLeading(isLeading: () => boolean, clock: Clock, ms: number): CallOptions {
  const mayStill = () => {
    if (!isLeading()) throw new Problem('lease-lost', 'another worker leads');
  };
  mayStill();
  return { signal: clock.deadline(ms), mayStill };
}
