// What is said of one server in one round, from the slices in which it was measured.
import { percentile } from '../statistics.ts';
import type { LoadAnswer } from '../load/generator.ts';

export const SERVERS = ['keyless-pull', 'express', 'https'] as const;
export type ServerName = (typeof SERVERS)[number];

/** A short while of one server: at full load, then at the fixed rate. */
export interface Slice {
  readonly closed: LoadAnswer;
  readonly open: LoadAnswer;
  /** Processor time of the server at full load. */
  readonly processorMicros: number;
  /** After both. */
  readonly residentBytes: number;
}

export interface Figures {
  /** With every connection busy. */
  readonly perSecond: number;
  /** Processor time of the server for one of them. */
  readonly processorMicros: number;
  /** Latency from the scheduled moment, at the fixed rate. */
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly residentBytes: number;
  /** How much of one processor the generator took at full load: near 1, it was the generator that was measured. */
  readonly generatorShare: number;
  readonly answered: number;
  readonly sampled: number;
  readonly errors: number;
  readonly firstError?: string;
}

export type Measured = Readonly<Record<ServerName, readonly Figures[]>>;

/** @param slices at least one */
export function figuresOf(slices: readonly Slice[]): Figures {
  const sum = (read: (slice: Slice) => number) => slices.reduce((total, slice) => total + read(slice), 0);
  const both = (read: (load: LoadAnswer) => number) => sum(({ closed, open }) => read(closed) + read(open));
  const seconds = sum(({ closed }) => closed.seconds);
  const answered = sum(({ closed }) => closed.answered);
  const latencies = slices.flatMap(({ open }) => open.latenciesMs);
  const firstError = slices.flatMap(({ closed, open }) => [closed.firstError, open.firstError]).find(Boolean);
  return {
    perSecond: answered / seconds,
    processorMicros: sum(({ processorMicros }) => processorMicros) / answered,
    medianMs: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    residentBytes: slices.at(-1)?.residentBytes ?? Number.NaN,
    generatorShare: sum(({ closed }) => closed.processorMicros) / 1e6 / seconds,
    answered: both((load) => load.answered),
    sampled: both((load) => load.sampled),
    errors: both((load) => load.errors),
    ...(firstError !== undefined && { firstError }),
  };
}
