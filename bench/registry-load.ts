// What all registries together cost at start: importing the families and the engine around them, in a fresh process, against
// importing zod alone, which the config needs whatever there is. There is no SDK in it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench, BenchOptions, BenchReport } from './bench.ts';
import { median, medianRatio } from './statistics.ts';

/** Of each subject, every round; the least of them is the one that nothing disturbed. */
const STARTS_PER_ROUND = 5;
/** Ours by zod's. */
const MOST = 2;

const ROOT = new URL('..', import.meta.url);
const SUBJECTS = {
  registries: ['families', 'exchange', 'http-call'].map(
    (name) => new URL(`src/registry/${name}.ts`, ROOT).href,
  ),
  zod: ['zod'],
};
type Subject = keyof typeof SUBJECTS;

export const registryLoadBench: Bench = {
  name: 'registry-load',
  title:
    'import of all registry families and the engine, each in a fresh process, compiled before as in the image',
  run,
};

async function run({ rounds, progress }: BenchOptions): Promise<BenchReport> {
  const cache = mkdtempSync(join(tmpdir(), 'keyless-pull-bench-'));
  try {
    const measured: Record<Subject, number[]> = { registries: [], zod: [] };
    for (const subject of ['registries', 'zod'] as const) start(subject, cache);
    for (let round = 1; round <= rounds; round++) {
      progress(`round ${round} of ${rounds}`);
      const least: Record<Subject, number> = { registries: Infinity, zod: Infinity };
      for (let nth = 0; nth < STARTS_PER_ROUND; nth++) {
        for (const subject of ['registries', 'zod'] as const)
          least[subject] = Math.min(least[subject], start(subject, cache));
      }
      measured.registries.push(least.registries);
      measured.zod.push(least.zod);
    }
    return reportOf(measured);
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

/** Milliseconds of processor time of the imports, in a process of their own: of the clock's, a busy machine makes anything. */
function start(subject: Subject, cache: string): number {
  const imports = SUBJECTS[subject].map((name) => `import(${JSON.stringify(name)})`).join(', ');
  const program = `const from = process.cpuUsage(); await Promise.all([${imports}]); const { user, system } = process.cpuUsage(from); console.log((user + system) / 1000);`;
  return Number(
    execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, NODE_COMPILE_CACHE: cache },
    }),
  );
}

function reportOf({ registries, zod }: Readonly<Record<Subject, number[]>>): BenchReport {
  const value = medianRatio(registries, zod);
  return {
    table: [
      `registries  ${median(registries).toFixed(0)} ms of processor time`,
      `zod alone   ${median(zod).toFixed(0)} ms of processor time`,
      '',
      `Median of the rounds, of each of which the least of ${STARTS_PER_ROUND} starts counts.`,
    ],
    ratios: [{ name: 'registry-load', value }],
    checks: [
      { passed: value <= MOST, text: `at most ${MOST} times the import of zod alone (${value.toFixed(2)})` },
    ],
  };
}
