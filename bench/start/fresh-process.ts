// One fresh process of Node over a cache of compiled code, and how long it took until it was ready.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Start {
  readonly words: readonly string[];
  readonly cacheFolder: string;
  /** Looked at every few milliseconds; may throw while nobody listens yet. */
  isReady(printed: string): Promise<boolean> | boolean;
}

export interface Started {
  readonly milliseconds: number;
  /** Of the process at its largest, until then. */
  readonly peakBytes: number;
}

const LOOK_MS = 5;
const LONGEST_MS = 60_000;

/** From before it exists until it is ready. Ends it, and lets it write what it has compiled. */
export async function timeStart({ words, cacheFolder, isReady }: Start): Promise<Started> {
  const from = performance.now();
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: cacheFolder },
  });
  const ended = once(child, 'exit');
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  try {
    while (!(await Promise.resolve(isReady(printed)).catch(() => false))) {
      if (child.exitCode !== null || performance.now() - from > LONGEST_MS)
        throw new Error(`not ready: ${printed.slice(-2_000)}`);
      await sleep(LOOK_MS);
    }
    const milliseconds = performance.now() - from;
    return { milliseconds, peakBytes: peakOf(child.pid ?? 0) };
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

/** 0 where the process is gone already, or the system tells nobody. */
function peakOf(pid: number): number {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
