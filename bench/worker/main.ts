// `npm run bench:worker`: ten thousand credentials for a day in virtual time, what holding them costs, what a dead endpoint
// costs admission, and a cold start on a real API server. Prints what people and what programs read, and fails when a check does.
import { parseArgs } from 'node:util';
import { PARTS_MISSING } from '../../tools/parts.ts';
import { deadEndpointBench } from '../mutate/dead-endpoint.ts';
import type { BenchReport } from '../bench.ts';
import { dayReport } from './day-report.ts';
import { measureMemory } from './memory.ts';
import { startCold } from './real.ts';

const HELP = `Usage: npm run bench:worker -- [options]

Options:
  --needs <number>     credentials of the virtual day, and of the memory (default 10000)
  --hours <number>     length of the virtual day (default 24)
  --accounts <number>  of the cold start on a real API server (default 1000)
  --rounds <number>    of the admission before a dead endpoint (default 5)
  --no-real            without the real API server
  --help               this text
`;
const REAL_TITLE = 'a cold start on a real API server: one endpoint with 20/s and a burst of 20';
/** A real API server, the worker and the gateway share what two cores have: 20/s leave the floor to the bucket. */
const REAL_RATE = { ratePerEndpoint: 20, burst: 20 } as const;
const MOST_OF_MEMORY = 1.5;
const MOST_OF_FLOOR = 1.1;

// Leaving by `exit` lets everything be tidied up that waits for it.
process.once('SIGINT', () => process.exit(130));
const { values } = parseArgs({
  options: {
    needs: { type: 'string', default: '10000' },
    hours: { type: 'string', default: '24' },
    accounts: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    real: { type: 'boolean', default: true },
    help: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
process.exitCode = values.help ? help() : await main();

function help(): number {
  process.stdout.write(HELP);
  return 0;
}

async function main(): Promise<number> {
  const needs = Number(values.needs);
  const progress = (line: string) => console.error(`worker: ${line}`);
  const reports: readonly (readonly [string, () => Promise<BenchReport>])[] = [
    [
      `the worker with ${needs} needs for ${values.hours} virtual hours, one endpoint with 10/s and a burst of 50`,
      () => dayReport({ needs, hours: Number(values.hours), ratePerEndpoint: 10, burst: 50, progress }),
    ],
    [`serve --role worker with ${needs} credentials held, against the same with none`, () => memory(needs)],
    [
      deadEndpointBench.title,
      () => deadEndpointBench.run({ rounds: Number(values.rounds), seconds: 6, progress }),
    ],
    ...(values.real ? [[REAL_TITLE, () => coldStart(progress)] as const] : []),
  ];
  let failed = 0;
  for (const [title, run] of reports) {
    console.log(`${title}\n`);
    const { table, checks, ratios } = await run();
    failed += checks.filter(({ passed }) => !passed).length;
    console.log(
      [
        ...table,
        '',
        ...checks.map(({ passed, text }) => `${passed ? 'passed' : 'FAILED'}  ${text}`),
        '',
        ...ratios.map(({ name, value }) => `ratio ${name} ${value.toFixed(3)}`),
        '',
      ].join('\n'),
    );
  }
  return failed > 0 ? 1 : 0;
}

async function memory(held: number): Promise<BenchReport> {
  const { noneBytes, heldBytes } = await measureMemory(held);
  const value = heldBytes / noneBytes;
  return {
    table: [`resident    ${megabytes(noneBytes)} with none, ${megabytes(heldBytes)} with ${held}`],
    ratios: [{ name: 'memory-held-per-none', value }],
    checks: [
      {
        passed: value <= MOST_OF_MEMORY,
        text: `resident memory at most ${MOST_OF_MEMORY} times that with none`,
      },
    ],
  };
}

async function coldStart(progress: (line: string) => void): Promise<BenchReport> {
  const accounts = Number(values.accounts);
  const cold = await startCold({ accounts, ...REAL_RATE, progress }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === PARTS_MISSING)) throw error;
    return error.message;
  });
  if (typeof cold === 'string') return { table: [`not measured: ${cold}`], ratios: [], checks: [] };
  const floor = accounts / REAL_RATE.ratePerEndpoint;
  return {
    table: [
      `cold start  ${cold.credentials} credentials, the last Secret after ${cold.seconds.toFixed(1)} s, floor ${floor.toFixed(1)} s`,
      `API server  ${(cold.requests / accounts).toFixed(2)} requests per credential, ${cold.throttled} answered with 429`,
      `resident    ${megabytes(cold.idleBytes)} when it began to lead, ${megabytes(cold.heldBytes)} at the end`,
    ],
    ratios: [
      { name: 'real-cold-start-per-floor', value: cold.seconds / floor },
      { name: 'real-exchanges-per-need', value: cold.exchanges / accounts },
      { name: 'real-requests-per-credential', value: cold.requests / accounts },
      { name: 'real-memory-end-per-start', value: cold.heldBytes / cold.idleBytes },
    ],
    checks: [
      { passed: cold.credentials === accounts, text: 'every account has its credential' },
      { passed: cold.exchanges === accounts, text: 'one exchange per need' },
      {
        passed: cold.seconds <= MOST_OF_FLOOR * floor,
        text: `the last Secret in at most ${MOST_OF_FLOOR} times needs / rate`,
      },
    ],
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
