// Stdin and stdout as files, and as streams where the other end does not let anybody wait.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { readInput, writeOutput } from '../../src/plugin/standard-streams.ts';

const folder = mkdtempSync(join(tmpdir(), 'standard-streams-'));
afterAll(() => rmSync(folder, { recursive: true }));

function streamsOver(content: string) {
  writeFileSync(join(folder, 'in'), content);
  const input = openSync(join(folder, 'in'), 'r');
  const output = openSync(join(folder, 'out'), 'w');
  const never = () => {
    throw new Error('a file has no need of a stream');
  };
  const close = () => {
    closeSync(input);
    closeSync(output);
  };
  return { input, output, inputStream: never, outputStream: never, [Symbol.dispose]: close };
}

test.for([0, 1, 65_536, 65_537, 200_000])('%i bytes are read and written whole', async (length) => {
  const text = 'x'.repeat(length);
  using streams = streamsOver(text);

  expect(await readInput(streams, 200_000)).toBe(text);
  writeOutput(streams, `${text}é`);

  expect(readFileSync(join(folder, 'out'), 'utf8')).toBe(`${text}é`);
});

test('what is longer than allowed is not read', async () => {
  using streams = streamsOver('x'.repeat(1001));

  expect(await readInput(streams, 1000)).toBeUndefined();
});

test('a file that cannot be read is an error', async () => {
  const nothing = {
    input: 9_999,
    output: 9_999,
    inputStream: () => new PassThrough(),
    outputStream: () => new PassThrough(),
  };

  await expect(readInput(nothing, 10)).rejects.toThrow('EBADF');
  expect(() => writeOutput(nothing, 'x')).toThrow('EBADF');
});
