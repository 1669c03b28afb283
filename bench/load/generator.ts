// The load generator, a process of its own: `generator.ts <folder>` runs the loads that its parent asks for.
import { readFileSync } from 'node:fs';
import { answerParent } from '../child-process.ts';
import { openConnection, type Connection } from './connection.ts';
import { runClosedLoop } from './closed-loop.ts';
import { runOpenLoop } from './open-loop.ts';
import { createTally, type LoadResult } from './tally.ts';

export interface Load {
  readonly port: number;
  readonly seconds: number;
  /** Absent: as many as the server can do. */
  readonly ratePerSecond?: number;
  /** The patch that every answer must carry. */
  readonly expected: readonly object[];
}

/** What became of it, and the processor time that the generator took for that. */
export type LoadAnswer = LoadResult & { readonly processorMicros: number };

/** What an API server keeps open to one webhook host (k8s.io/client-go: MaxIdleConnsPerHost 25). */
const CONNECTIONS = 25;

const authority = readFileSync(`${process.argv[2]}/authority.crt`, 'utf8');
const open = new Map<number, Connection[]>();

/** Opened once and kept: an API server's connections live on between bursts. */
async function connectionsTo(port: number): Promise<Connection[]> {
  const known = open.get(port);
  if (known) return known;
  const numbers = Array.from({ length: CONNECTIONS }, (_, number) => number);
  const opened = await Promise.all(numbers.map((number) => openConnection({ port, authority }, number)));
  open.set(port, opened);
  return opened;
}

answerParent(async ({ port, seconds, ratePerSecond, expected }: Load): Promise<LoadAnswer> => {
  const connections = await connectionsTo(port);
  const tally = createTally(expected);
  const before = process.cpuUsage();
  const result = await (ratePerSecond === undefined
    ? runClosedLoop(connections, tally, seconds)
    : runOpenLoop(connections, tally, seconds, ratePerSecond));
  const { user, system } = process.cpuUsage(before);
  return { ...result, processorMicros: user + system };
});
