// Which process a number means: a process id alone may name a stranger later, so it is kept beside its start time.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** One process, never its successor under the same number. `startedAt` is opaque: compare it, nothing else. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** The process with this number, or undefined where none runs. A zombie has ended, so it counts as none. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const startedAt = existsSync('/proc/self/stat') ? startFromProc(pid) : startFromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** A child of the process with this number, or undefined where it has none. Linux only. */
export function childOf(pid: number): ProcessIdentity | undefined {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return first ? identifyProcess(Number(first)) : undefined;
}

/** True while that very process runs; false when it ended, also if its number went to another one. */
export function isStillRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startedAt === identity.startedAt;
}

/** SIGKILL for that very process; does nothing when it is gone, and gives up where it belongs to another user. */
export function killProcess(identity: ProcessIdentity): void {
  if (!isStillRunning(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch {
    // It ended between the look and the signal.
  }
}

/** Resolves true when the process is gone, false when it still runs after `deadlineMs`. */
export async function waitForEnd(identity: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + deadlineMs;
  while (isStillRunning(identity)) {
    if (performance.now() > giveUpAt) return false;
    await sleep(20);
  }
  return true;
}

/** The same for exit handlers, where no promise can be awaited. */
export function waitForEndSync(identity: ProcessIdentity, deadlineMs: number): boolean {
  const giveUpAt = performance.now() + deadlineMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (isStillRunning(identity)) {
    if (performance.now() > giveUpAt) return false;
    Atomics.wait(pause, 0, 0, 10);
  }
  return true;
}

function startFromProc(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may hold spaces and parentheses itself; proc(5) counts the state as field 3, the start as 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, ticks] = [fields[0], fields[19]];
  if (state === 'Z' || state === 'X' || ticks === undefined) return undefined;
  return `${bootId()}/${ticks}`;
}

// Ticks count from the machine's start, so they repeat after the next one.
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

function startFromPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=', '-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    }).trim();
    const [state = 'Z', ...start] = line.split(/\s+/);
    return state.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}
