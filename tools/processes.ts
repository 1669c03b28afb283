// Child processes of one run: started in a folder of its own, stopped by their own process ids, and ended with their
// parent whatever ends it (return, exception, Ctrl-C, SIGTERM, and on Linux also SIGKILL).
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endingWithParent } from './command-lines.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, killProcess, waitForEndSync } from './process-identity.ts';
import { createRunFolder, recordChildren, removeRunFolder, sweepRunFolders } from './run-folder.ts';

/** A child process whose output goes to `logFile`. */
export interface StartedProcess {
  readonly name: string;
  readonly identity: ProcessIdentity;
  readonly logFile: string;
  readonly isRunning: () => boolean;
  /** Null while it runs, and where a signal ended it. */
  readonly exitCode: () => number | null;
  /** SIGTERM, then SIGKILL after `deadlineMs` (1 s when absent); resolves when it has ended. */
  readonly stop: (deadlineMs?: number) => Promise<void>;
}

/** Processes that live and end together, and their folder. Disposing it is `stop`. */
export interface Run extends AsyncDisposable {
  readonly folder: string;
  /** Starts a program; throws where it cannot be started at all. `environment` adds to the parent's. */
  readonly start: (
    name: string,
    command: string,
    flags: readonly string[],
    environment?: Record<string, string>,
  ) => StartedProcess;
  /** Stops the processes, last started first, and deletes the folder. Calling it again does nothing. */
  readonly stop: () => Promise<void>;
}

// Everything a run writes is thrown away, so nothing is lost with a part that would rather drain its connections first:
// kube-apiserver waits for its watchers, which may be many seconds.
const PATIENCE_MS = 1000;

const openRuns = new Set<{ endNow(): void }>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Opens a run; first tidies up after runs whose owner was killed. `label` appears in the folder's name. */
export async function openRun(label: string): Promise<Run> {
  await sweepRunFolders();
  const folder = createRunFolder(label);
  const started: StartedProcess[] = [];
  const running = () => started.filter((each) => each.isRunning());
  const entry = {
    endNow() {
      for (const each of running()) killProcess(each.identity);
      for (const each of started) waitForEndSync(each.identity, 2000);
      removeRunFolder(folder);
    },
  };
  addOpenRun(entry);

  async function stop(): Promise<void> {
    for (const each of started.toReversed()) await each.stop();
    removeRunFolder(folder);
    removeOpenRun(entry);
  }

  return {
    folder,
    start(name, command, flags, environment = {}) {
      const child = startProcess({ name, command, flags, environment, folder });
      started.push(child);
      recordChildren(
        folder,
        running().map((each) => each.identity),
      );
      return child;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Polls `check` every 50 ms until it returns true. Throws with the ends of the logs when the deadline passes, or as
 * soon as one of `needed` ends. What `check` throws counts as "not yet". */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean>,
  {
    deadlineMs,
    everyMs = 50,
    needed = [],
  }: { deadlineMs: number; everyMs?: number; needed?: readonly StartedProcess[] },
): Promise<void> {
  const giveUpAt = performance.now() + deadlineMs;
  let last = '';
  for (;;) {
    const ended = needed.find((each) => !each.isRunning());
    if (ended) throw new Error(`${ended.name} ended before ${what}\n${tailOf(ended)}`);
    try {
      if (await check()) return;
    } catch (error) {
      last = `; last: ${String(error)}`;
    }
    if (performance.now() > giveUpAt) {
      throw new Error(
        `no sign after ${deadlineMs / 1000} s: ${what}${last}\n${needed.map(tailOf).join('\n')}`,
      );
    }
    await sleep(everyMs);
  }
}

interface Start {
  readonly name: string;
  readonly command: string;
  readonly flags: readonly string[];
  readonly environment: Record<string, string>;
  readonly folder: string;
}

function startProcess({ name, command, flags, environment, folder }: Start): StartedProcess {
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, 'a', 0o600);
  // Detached, or a Ctrl-C at the terminal would reach the children first and in no order.
  const child = spawn(...endingWithParent(command, flags), {
    cwd: folder,
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...environment },
  });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  if (child.pid === undefined) throw new Error(`${name} could not be started: ${command}`);
  // A child that has ended already has no start time any more, and nobody will need it.
  const identity = identifyProcess(child.pid) ?? { pid: child.pid, startedAt: 'ended' };
  // A parent that forgets to stop a run must still be able to end, and to end its children with it.
  child.unref();
  const isRunning = () => child.exitCode === null && child.signalCode === null;

  return {
    name,
    identity,
    logFile,
    isRunning,
    exitCode: () => child.exitCode,
    async stop(deadlineMs = PATIENCE_MS) {
      if (!isRunning()) return;
      child.ref();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function tailOf({ name, logFile }: StartedProcess): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15);
  return [`the last lines of ${name}:`, ...lines].join('\n  ');
}

function addOpenRun(entry: { endNow(): void }): void {
  if (openRuns.size === 0) {
    process.on('exit', endOpenRuns);
    for (const signal of SIGNALS) process.on(signal, endBySignal);
  }
  openRuns.add(entry);
}

function removeOpenRun(entry: { endNow(): void }): void {
  openRuns.delete(entry);
  if (openRuns.size > 0) return;
  process.off('exit', endOpenRuns);
  for (const signal of SIGNALS) process.off(signal, endBySignal);
}

function endOpenRuns(): void {
  for (const entry of openRuns) entry.endNow();
  openRuns.clear();
}

function endBySignal(signal: NodeJS.Signals): void {
  // A program with a handler of its own stops in its own way; the exit handler takes what it leaves.
  if (process.listenerCount(signal) > 1) return;
  endOpenRuns();
  for (const each of SIGNALS) process.off(each, endBySignal);
  process.kill(process.pid, signal);
}
