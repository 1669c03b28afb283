// Slows down who keeps failing to log in. It is asked after a failure only, so a good token never waits.
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';

/** A mistyped Secret is seen by a few nodes at once; a kubelet backs off by itself. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

/** Without a failure for so long, a source is forgotten. */
const FORGET_MS = 60_000;

/** About 1 MB when full. */
const MOST_SOURCES = 4096;

/** Answers held back at once; each is an open connection and little more. */
const MOST_WAITING = 256;

export interface FailureBrake {
  /**
   * Counts a failure of the address and holds it back: not at all for the first five, then 250 ms, doubling up to
   * 4 s. False when too many are held back already; the caller then answers "too many requests" at once.
   * Rejects when `signal` aborts.
   */
  hold(address: string, signal: AbortSignal): Promise<boolean>;
}

export function createFailureBrake(clock: Clock): FailureBrake {
  const failures = new LRUCache<string, number>({
    max: MOST_SOURCES,
    ttl: FORGET_MS,
    ttlResolution: 0,
    perf: { now: () => clock.now() },
  });
  let waiting = 0;

  async function hold(address: string, signal: AbortSignal): Promise<boolean> {
    const source = sourceOf(address);
    const count = (failures.get(source) ?? 0) + 1;
    failures.set(source, count);
    if (count <= FREE_FAILURES) return true;
    if (waiting >= MOST_WAITING) return false;
    waiting++;
    try {
      await clock.sleep(Math.min(FIRST_WAIT_MS * 2 ** (count - FREE_FAILURES - 1), LONGEST_WAIT_MS), signal);
      return true;
    } finally {
      waiting--;
    }
  }

  return { hold };
}

/** One source is one IPv4 address, or one IPv6 /64: whoever has one address of that has all of them. */
function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const groups = head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length;
    groups.push(...Array<string>(Math.max(8 - groups.length - after, 0)).fill('0'));
  }
  return groups.slice(0, 4).join(':');
}
