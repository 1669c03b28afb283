// Stdin and stdout of a process that answers once: read and written as files are, because Node's streams for them cost a
// tenth of such a process's life. Where the other end is one that has to be waited for, it is a stream after all.
import { readSync, writeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

const CHUNK_BYTES = 64 * 1024;

export interface StandardStreams {
  readonly input: number;
  readonly output: number;
  /** The same as streams, made when they are needed. */
  inputStream(): Readable;
  outputStream(): Writable;
}

/** Undefined where there is more than `most` bytes. */
export async function readInput(
  { input, inputStream }: StandardStreams,
  most: number,
): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  const take = (chunk: Buffer) => {
    size += chunk.length;
    chunks.push(chunk);
    return size <= most;
  };
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const length = readSync(input, chunk);
      if (length === 0) break;
      if (!take(chunk.subarray(0, length))) return undefined;
    }
  } catch (error) {
    if (!mustWait(error)) throw error;
    const stream = inputStream();
    // No encoding is set, so no text comes.
    for await (const chunk of stream) {
      if (take(chunk as Buffer)) continue;
      stream.destroy();
      return undefined;
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function writeOutput({ output, outputStream }: StandardStreams, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(output, bytes, written);
  } catch (error) {
    if (!mustWait(error)) throw error;
    outputStream().write(bytes.subarray(written));
  }
}

/** A pipe or socket of somebody who asked for the calls that never wait. */
function mustWait(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}
