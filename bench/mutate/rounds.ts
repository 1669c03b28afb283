// The rounds: every server in turn, in short slices and beginning with another one each time, so that a slow second of the
// machine is nobody's fault.
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchOptions } from '../bench.ts';
import type { Child } from '../child-process.ts';
import type { Load, LoadAnswer } from '../load/generator.ts';
import { figuresOf, SERVERS, type Figures, type Measured, type ServerName, type Slice } from './figures.ts';
import type { ServerQuestion, Usage } from './server-child.ts';

/** What one replica is to hold: kubernetes' largest clusters create about as many pods in a second. */
export const RATE_PER_SECOND = 1000;
/** Long enough for 750 reviews at that rate; what disturbs a machine lasts longer, and then hits all servers alike. */
const SLICE_SECONDS = 0.75;
/** Until V8 has compiled what is hot: so many reviews, or so many seconds where the machine is slow. */
const WARM_UP_REVIEWS = 20_000;
const LONGEST_WARM_UP_SECONDS = 8;
/** For what the last load left to do, garbage above all. */
const PAUSE_MS = 50;

export async function measureRounds(
  servers: Readonly<Record<ServerName, Child>>,
  generator: Child,
  expected: readonly object[],
  { rounds, seconds, progress }: BenchOptions,
): Promise<Measured> {
  const ports = {} as Record<ServerName, number>;
  for (const name of SERVERS) ports[name] = await ask(name, 'port');

  function ask<Answer>(name: ServerName, question: ServerQuestion): Promise<Answer> {
    return servers[name].ask<Answer>(question);
  }

  async function load(name: ServerName, forSeconds: number, ratePerSecond?: number): Promise<LoadAnswer> {
    await sleep(PAUSE_MS);
    const rate = ratePerSecond === undefined ? {} : { ratePerSecond };
    return generator.ask({ port: ports[name], seconds: forSeconds, expected, ...rate } satisfies Load);
  }

  async function warmUp(name: ServerName): Promise<void> {
    const longest = Math.min(LONGEST_WARM_UP_SECONDS, 2 * seconds);
    for (let reviews = 0, passed = 0; reviews < WARM_UP_REVIEWS && passed < longest;) {
      const loaded = await load(name, Math.min(1, seconds));
      reviews += loaded.answered;
      passed += loaded.seconds;
    }
  }

  async function measure(name: ServerName, forSeconds: number): Promise<Slice> {
    const before = await ask<Usage>(name, 'usage');
    const closed = await load(name, forSeconds);
    const after = await ask<Usage>(name, 'usage');
    const open = await load(name, forSeconds, RATE_PER_SECOND);
    const { residentBytes } = await ask<Usage>(name, 'usage');
    return { closed, open, residentBytes, processorMicros: after.processorMicros - before.processorMicros };
  }

  for (const name of SERVERS) {
    progress(`warming ${name}`);
    await warmUp(name);
  }
  const measured: Record<ServerName, Figures[]> = { 'keyless-pull': [], express: [], https: [] };
  const sliceCount = Math.max(1, Math.round(seconds / SLICE_SECONDS));
  for (let round = 0; round < rounds; round++) {
    const slices: Record<ServerName, Slice[]> = { 'keyless-pull': [], express: [], https: [] };
    for (let slice = 0; slice < sliceCount; slice++) {
      for (const name of rotated(SERVERS, round + slice))
        slices[name].push(await measure(name, seconds / sliceCount));
    }
    for (const name of SERVERS) measured[name].push(figuresOf(slices[name]));
    progress(
      `round ${round + 1} of ${rounds}: ${SERVERS.map((name) => summaryOf(name, measured)).join(', ')}`,
    );
  }
  return measured;
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

function summaryOf(name: ServerName, measured: Measured): string {
  return `${name} ${Math.round(measured[name].at(-1)?.perSecond ?? 0)}/s`;
}
