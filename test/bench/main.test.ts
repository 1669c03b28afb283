// `npm run bench` as programs see it: its options, its exit codes, and the lines that others read.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));

function bench(...words: string[]) {
  return spawnSync(process.execPath, [MAIN, ...words], { encoding: 'utf8' });
}

test('a short run measures everything once, and ends with its ratios and its checks', () => {
  const { status, stdout, stderr } = bench('--rounds', '1', '--seconds', '0.2');

  // So short a run on a busy machine may miss a ratio, which is exit code 1; it may not fail to measure.
  expect([0, 1], stderr).toContain(status);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.flatMap((line) => /^ratio (\S+) \d+\.\d\d$/.exec(line)?.[1] ?? [])).toEqual([
    'mutate-per-second-vs-express',
    'mutate-p99-vs-express',
    'mutate-memory-vs-express',
    'mutate-per-second-vs-https',
    'mutate-p99-vs-https',
    'mutate-memory-vs-https',
    'registry-load',
  ]);
  expect(lines.filter((line) => /^passed .* 0 wrong or lost$/.test(line))).toHaveLength(3);
  expect(lines.at(-1)).toMatch(/^\d checks passed, \d failed$/);
});

test('--help says what there is', () => {
  const { status, stdout } = bench('--help');

  expect(status).toBe(0);
  expect(stdout).toContain('--rounds <number>');
});

test('wrong use is one sentence and exit code 64', () => {
  const wrong = [['--rounds', '0'], ['--rounds', '1.5'], ['--seconds', 'many'], ['--unknown']].map((words) =>
    bench(...words),
  );

  expect(wrong.map(({ status }) => status)).toEqual([64, 64, 64, 64]);
  expect(wrong[1]?.stderr).toBe('bench: --rounds is a whole number; --help shows what there is\n');
});
