// Spans of time, and text that steers no terminal.
import { expect, test } from 'vitest';
import { printable, spanText } from '../../src/cli/printable.ts';

test.each([
  [-5_000, '0s'],
  [119_000, '119s'],
  [120_000, '2m'],
  [3 * 3_600_000 + 20 * 60_000, '3h20m'],
  [4 * 3_600_000, '4h'],
  [2 * 86_400_000, '2d'],
  [5 * 86_400_000 + 4 * 3_600_000, '5d4h'],
])('%i ms are %s', (ms, text) => {
  expect(spanText(ms)).toBe(text);
});

test.each([
  ['plain, with umlauts: ä', 'plain, with umlauts: ä'],
  ['two\r\nlines\tand a tab', 'two lines and a tab'],
  ['\u001B[31mred', '\uFFFD[31mred'],
  ['c1 \u009B2J', 'c1 \uFFFD2J'],
  ['turned \u202E round', 'turned \uFFFD round'],
])('%j is shown as %j', (text, shown) => {
  expect(printable(text)).toBe(shown);
});
