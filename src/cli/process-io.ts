// The process around a command: its streams, its signals, its exit code.
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { errnoText } from '../text-file.ts';
import { runProgram } from './program.ts';

/** Runs the words as a command of this process. The first signal asks it to stop, the second ends it. */
export async function runInProcess(words: readonly string[]): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const isPlugin = process.argv[1]?.includes('kubectl-') ?? false;
  const name = isPlugin ? 'kubectl keyless-pull' : 'keyless-pull';
  let isLost = false;
  process.stdout.on('error', (error) => {
    // Whoever reads has seen enough, as `head` has.
    if ('code' in error && error.code === 'EPIPE') return;
    isLost = true;
    process.exitCode = 2;
    process.stderr.write(`${name}: cannot write the result: ${errnoText(error)}\n`);
  });
  // Nobody is left to tell.
  process.stderr.on('error', () => undefined);
  const code = await runProgram(name, words, {
    out: (line) => process.stdout.write(line),
    err: (line) => process.stderr.write(line),
    readStdin: () => text(process.stdin),
    stdinChunks: () => addAbortSignal(stop.signal, process.stdin),
    signal: stop.signal,
    isTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
  });
  process.exitCode = isLost ? 2 : code;
}
