// `npm run bench:start`: how long a replica takes from its start to ready over a real API server with ten thousand
// PullCredentials, by a process that only loads client-node and lists them. Prints what people and what programs read.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePorts } from '../../tools/free-ports.ts';
import { OWN_NAMESPACE } from '../../tools/install.ts';
import { PARTS_MISSING } from '../../tools/parts.ts';
import { median, medianRatio } from '../statistics.ts';
import { timeStart, type Started } from './fresh-process.ts';
import { openFullCluster } from './full-cluster.ts';

const HELP = `Usage: npm run bench:start -- [options]

Options:
  --records <number>  PullCredentials in the cluster, each with an account (default 10000)
  --rounds <number>   interleaved rounds (default 5)
  --help              this text

Exit code: 0 the check passed, 1 it failed, 2 nothing could be measured.
`;
const MOST = 1.5;

// Leaving by `exit` lets everything be tidied up that waits for it.
process.once('SIGINT', () => process.exit(130));
const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else process.exitCode = await main(Number(values.records), Number(values.rounds));

async function main(records: number, rounds: number): Promise<number> {
  const progress = (line: string) => console.error(`start: ${line}`);
  console.log(`start to ready with ${records} PullCredentials, against client-node and one list of them\n`);
  const caches = mkdtempSync(join(tmpdir(), 'keyless-pull-start-'));
  try {
    const [ours, theirs] = await measure(records, rounds, caches, progress);
    const value = medianRatio(times(ours), times(theirs));
    console.log(
      [
        row('serve', ours),
        row('bare list', theirs),
        '',
        `${value <= MOST ? 'passed' : 'FAILED'}  ready in at most ${MOST} times a bare list`,
        '',
        `ratio start-to-ready ${value.toFixed(3)}`,
      ].join('\n'),
    );
    return value <= MOST ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === PARTS_MISSING)) throw error;
    console.error(`start: ${error.message}`);
    return 2;
  } finally {
    rmSync(caches, { recursive: true, force: true });
  }
}

async function measure(
  records: number,
  rounds: number,
  caches: string,
  progress: (line: string) => void,
): Promise<[Started[], Started[]]> {
  await using cluster = await openFullCluster(records, progress);
  const kubeconfig = await cluster.kubeconfig();
  const { folder } = cluster.controlPlane;
  const serve = async () => {
    const [port = 0, metricsPort = 0] = await freePorts(2);
    return timeStart({
      // As the image starts it.
      words: [
        ...['--max-semi-space-size=8', 'src/main.ts', '--config', cluster.configFile],
        ...['--kubeconfig', kubeconfig, '--namespace', OWN_NAMESPACE, '--host', '127.0.0.1'],
        ...['--port', String(port), '--metrics-port', String(metricsPort)],
        ...['--tls-cert', `${folder}/tls.crt`, '--tls-key', `${folder}/tls.key`],
      ],
      cacheFolder: join(caches, 'ours'),
      isReady: async () => (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok,
    });
  };
  const list = () =>
    timeStart({
      words: ['bench/start/bare-list.ts', kubeconfig],
      cacheFolder: join(caches, 'theirs'),
      isReady: (printed) => printed.includes(`listed ${records}`),
    });
  // Each writes what it has compiled, as the image's build does for us.
  for (const start of [serve, list]) await start();
  const [ours, theirs]: [Started[], Started[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    ours.push(await serve());
    theirs.push(await list());
    const [last, other] = [ours.at(-1), theirs.at(-1)];
    progress(`round ${round}: ${last?.milliseconds.toFixed(0)} ms, ${other?.milliseconds.toFixed(0)} ms`);
  }
  return [ours, theirs];
}

function times(starts: readonly Started[]): number[] {
  return starts.map(({ milliseconds }) => milliseconds);
}

function row(name: string, starts: readonly Started[]): string {
  const [least, most] = [Math.min(...times(starts)), Math.max(...times(starts))];
  const peak = median(starts.map(({ peakBytes }) => peakBytes)) / 1e6;
  return (
    `${name.padEnd(10)} ${median(times(starts)).toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)})` +
    (peak > 0 ? `, ${peak.toFixed(0)} MB resident at most` : '')
  );
}
