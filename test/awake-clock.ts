// A clock for bounds in seconds on a machine that others use too: what it stands still, nobody can use, and it does not count.
import { Worker } from 'node:worker_threads';

const TICK_MS = 50;
/** A machine that has much to do wakes a thread later than asked for, but not by so much. */
const STILL_MS = 500;

// Instants of hrtime are the same in all threads, those of performance.now() are not.
const WATCH = `
const { workerData: { times, tickMs, stillMs } } = require('node:worker_threads');
setInterval(() => {
  const now = process.hrtime.bigint() / 1_000_000n;
  const gap = now - Atomics.load(times, 0);
  if (gap > stillMs) Atomics.add(times, 1, gap - tickMs);
  Atomics.store(times, 0, now);
}, Number(tickMs));
`;

const now = () => process.hrtime.bigint() / 1_000_000n;
/** The last tick, and all that was stood still before it: milliseconds. */
const times = new BigInt64Array(new SharedArrayBuffer(16));
let watching = false;

/** A thread of its own: what keeps the test's own loop busy is no standstill. */
function watch(): void {
  if (watching) return;
  watching = true;
  Atomics.store(times, 0, now());
  const workerData = { times, tickMs: BigInt(TICK_MS), stillMs: BigInt(STILL_MS) };
  new Worker(WATCH, { eval: true, execArgv: [], workerData }).unref();
}

/** For how long the machine has stood still so far, in milliseconds. Counts from its first call or that of `awakeNow`. */
export function stoodStill(): number {
  watch();
  const gap = now() - Atomics.load(times, 0);
  // Who wakes up before the watching thread does knows it as well.
  return Number(Atomics.load(times, 1) + (gap > STILL_MS ? gap - BigInt(TICK_MS) : 0n));
}

/** As `performance.now()`, without what the machine stood still. */
export function awakeNow(): number {
  const still = stoodStill();
  return performance.now() - still;
}

/**
 * Does it again where it failed and the machine has stood still meanwhile: an API server waits 5 s for a webhook, and who makes pods
 * in earnest tries again.
 */
export async function whileAwake<T>(attempt: () => Promise<T>): Promise<T> {
  const before = stoodStill();
  try {
    return await attempt();
  } catch (error) {
    if (stoodStill() === before) throw error;
    return whileAwake(attempt);
  }
}
