// How the bench of starts takes the time of a process.
import { expect, test } from 'vitest';
import { timeStart } from '../../bench/start/fresh-process.ts';

const start = (program: string) =>
  timeStart({
    words: ['--eval', program],
    // None.
    cacheFolder: '',
    isReady: (printed) => printed.includes('ready'),
  });

test('a process that says it is ready is timed, and ended', async () => {
  const { milliseconds } = await start(`console.log('ready'); setInterval(() => {}, 1000)`);

  expect(milliseconds).toBeGreaterThan(0);
});

test('one that ends before is no measurement, and its words are in the error', async () => {
  await expect(start(`console.error('no such file')`)).rejects.toThrow(/not ready: no such file/);
});
