// POST /mutate with webhook and worker in one process, while ten thousand pods wait for an endpoint that is dead: what hangs
// behind must not be felt in front. Measured against the same process with its worker at rest, in turns of less than a second,
// because two processes on one machine differ by more than is asked for.
import { parseConfig } from '../../src/config.ts';
import { startChild } from '../child-process.ts';
import { percentile } from '../statistics.ts';
import type { Bench, BenchOptions, BenchReport } from '../bench.ts';
import type { Load, LoadAnswer } from '../load/generator.ts';
import type { DeadEndpointQuestion } from './dead-endpoint-server.ts';
import { createFolder } from './folder.ts';
import { CONFIG, expectedPatch } from './review.ts';

const MOST = 1.05;
const RATE_PER_SECOND = 500;
const SLICE_SECONDS = 0.75;
/** Of each state. The compiler goes on for so long, and what it does would be felt more than what is measured. */
const WARM_UP_SECONDS = 20;

/** `rest` is measured twice: what the two differ by is what the machine says of nothing. */
const STATES = ['rest', 'work', 'rest again'] as const;
type State = (typeof STATES)[number];

export const deadEndpointBench: Bench = {
  name: 'dead-endpoint',
  title: `POST /mutate at ${RATE_PER_SECOND}/s with the worker in the same process, 10,000 pods waiting for an endpoint that is dead`,
  run,
};

async function run({ rounds, seconds, progress }: BenchOptions): Promise<BenchReport> {
  await using folder = await createFolder();
  await using server = startChild('mutate/dead-endpoint-server.ts', [folder.path]);
  await using generator = startChild('load/generator.ts', [folder.path]);
  const ask = <Answer>(question: DeadEndpointQuestion) => server.ask<Answer>(question);
  const expected = parseConfig(CONFIG, 'config').rules.flatMap(expectedPatch);
  const port = await ask<number>('port');
  const load = (forSeconds: number) =>
    generator.ask<LoadAnswer>({
      port,
      seconds: forSeconds,
      expected,
      ratePerSecond: RATE_PER_SECOND,
    } satisfies Load);

  for (const state of ['work', 'rest'] as const) {
    await ask(state);
    await load(Math.min(WARM_UP_SECONDS, 5 * seconds));
  }
  const latencies: Record<State, number[]> = { rest: [], work: [], 'rest again': [] };
  let errors = 0;
  const slices = Math.max(1, Math.round(seconds / SLICE_SECONDS));
  for (let round = 0; round < rounds; round++) {
    for (let slice = 0; slice < slices; slice++) {
      // Who comes first has no better place.
      const first = (round + slice) % STATES.length;
      for (const state of [...STATES.slice(first), ...STATES.slice(0, first)]) {
        await ask(state === 'work' ? 'work' : 'rest');
        const loaded = await load(seconds / slices);
        latencies[state].push(...loaded.latenciesMs);
        errors += loaded.errors;
      }
    }
    progress(`round ${round + 1} of ${rounds}`);
  }
  const waiting = await ask<number>('waiting');
  const p99 = (...states: State[]) =>
    percentile(
      states.flatMap((state) => latencies[state]),
      0.99,
    );
  const value = p99('work') / p99('rest', 'rest again');
  const noise = p99('rest again') / p99('rest');
  return {
    table: STATES.map((state) => `worker at ${state.padEnd(10)} p99 ${p99(state).toFixed(2)} ms`),
    ratios: [
      { name: 'dead-endpoint-admission-p99', value },
      { name: 'dead-endpoint-admission-p99-of-nothing', value: noise },
    ],
    checks: [
      { passed: errors === 0, text: `0 answers wrong or lost (${errors})` },
      { passed: waiting > 0, text: `${waiting} pods still wait for the endpoint that is dead` },
      {
        passed: value <= MOST,
        text: `p99 with the worker at work at most ${MOST} times that with the worker at rest (${value.toFixed(2)})`,
      },
    ],
  };
}
