// The figures as a table: per server the median of the rounds, and from the least to the most.
import { median } from '../statistics.ts';
import { SERVERS, type Figures, type Measured } from './figures.ts';
import { RATE_PER_SECOND } from './rounds.ts';

interface Column {
  readonly heading: string;
  readonly read: (figures: Figures) => number;
  readonly digits: number;
}

const MEBIBYTE = 1024 * 1024;

const COLUMNS: readonly Column[] = [
  { heading: 'reviews/s', read: ({ perSecond }) => perSecond, digits: 0 },
  { heading: 'CPU µs/review', read: ({ processorMicros }) => processorMicros, digits: 1 },
  { heading: `p50 ms at ${RATE_PER_SECOND}/s`, read: ({ medianMs }) => medianMs, digits: 2 },
  { heading: `p99 ms at ${RATE_PER_SECOND}/s`, read: ({ p99Ms }) => p99Ms, digits: 2 },
  { heading: 'resident MiB', read: ({ residentBytes }) => residentBytes / MEBIBYTE, digits: 1 },
];

export function tableOf(measured: Measured): string[] {
  const rows = SERVERS.map((name) => [name, ...COLUMNS.map((column) => cellOf(column, measured[name]))]);
  const all = [['', ...COLUMNS.map(({ heading }) => heading)], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const busiest = Math.max(
    ...SERVERS.flatMap((name) => measured[name].map(({ generatorShare }) => generatorShare)),
  );
  return [
    ...lines,
    '',
    'Median of the rounds (least to most). Latency counts from the scheduled moment. Memory is that of the webhook alone,',
    `without the API server's client. The load generator took at most ${busiest.toFixed(2)} of a processor of its own.`,
  ];
}

function cellOf({ read, digits }: Column, rounds: readonly Figures[]): string {
  const values = rounds.map(read);
  const show = (value: number) => value.toFixed(digits);
  return `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}
