// `npm run bench`: runs every bench in turn, prints what people and what programs read, and fails when a check does.
import { mutateBench } from './mutate/mutate-bench.ts';
import { HELP, readOptions, type Options } from './options.ts';
import { registryLoadBench } from './registry-load.ts';
import type { Bench, Check } from './bench.ts';

/** In the order in which they run and print. */
const BENCHES: readonly Bench[] = [mutateBench, registryLoadBench];

// Leaving by `exit` lets everything be tidied up that waits for it.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (error) {
    console.error(
      `bench: ${error instanceof Error ? error.message : String(error)}; --help shows what there is`,
    );
    return 64;
  }
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const checks: Check[] = [];
  for (const bench of BENCHES) {
    console.log(`${bench.title}\n`);
    try {
      const report = await bench.run({
        ...options,
        progress: (line) => console.error(`${bench.name}: ${line}`),
      });
      console.log(report.table.join('\n'));
      console.log();
      for (const { passed, text } of report.checks) console.log(`${passed ? 'passed' : 'FAILED'}  ${text}`);
      console.log();
      for (const { name, value } of report.ratios) console.log(`ratio ${name} ${value.toFixed(2)}`);
      console.log();
      checks.push(...report.checks);
    } catch (error) {
      console.error(`bench: ${bench.name} could not be measured:`, error);
      return 2;
    }
  }
  const failed = checks.filter(({ passed }) => !passed).length;
  console.log(`${checks.length - failed} checks passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}
