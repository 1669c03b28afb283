// The process around a command: its streams, its signals, its exit code.
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runProgram } from './program.ts';

/** Runs the words as a command of this process. The first signal asks it to stop, the second ends it. */
export async function runInProcess(words: readonly string[]): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const isPlugin = process.argv[1]?.includes('kubectl-') ?? false;
  process.exitCode = await runProgram(isPlugin ? 'kubectl keyless-pull' : 'keyless-pull', words, {
    out: (line) => process.stdout.write(line),
    err: (line) => process.stderr.write(line),
    readStdin: () => text(process.stdin),
    stdinChunks: () => addAbortSignal(stop.signal, process.stdin),
    signal: stop.signal,
    isTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
  });
}
