// Metrics made from their table, with what exposes them.
import type { RequestListener, ServerResponse } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricRow } from './metric-table.ts';

type Table = Readonly<Record<string, MetricRow>>;
type NamesOf<Rows extends Table, Type extends MetricRow['type']> = {
  [Name in keyof Rows & string]: Rows[Name]['type'] extends Type ? Name : never;
}[keyof Rows & string];
type LabelsOf<Rows extends Table, Name extends keyof Rows> = keyof Rows[Name]['labels'] & string;

export interface MetricSet<Rows extends Table> {
  counter<Name extends NamesOf<Rows, 'counter'>>(name: Name): Counter<LabelsOf<Rows, Name>>;
  gauge<Name extends NamesOf<Rows, 'gauge'>>(name: Name): Gauge<LabelsOf<Rows, Name>>;
  histogram<Name extends NamesOf<Rows, 'histogram'>>(name: Name): Histogram<LabelsOf<Rows, Name>>;
  /** Called before each scrape, to bring gauges up to date. */
  onScrape(listener: () => void): void;
  /** Answers GET /metrics on any path. */
  readonly handler: RequestListener;
}

/** @returns a set of its own: two in one process do not meet */
export function createMetricSet<Rows extends Table>(table: Rows): MetricSet<Rows> {
  const rows = table as Readonly<Record<keyof Rows & string, MetricRow>>; // its own names
  const registry = new Registry();
  const scrapeListeners: (() => void)[] = [];
  const options = <Name extends keyof Rows & string>(name: Name) => ({
    name: `keyless_pull_${name}`,
    help: rows[name].means,
    labelNames: Object.keys(rows[name].labels) as LabelsOf<Rows, Name>[], // its own keys
    registers: [registry],
  });
  return {
    counter: (name) => new Counter(options(name)),
    gauge: (name) => new Gauge(options(name)),
    histogram: (name) => new Histogram({ ...options(name), buckets: [...(rows[name].buckets ?? [])] }),
    onScrape: (listener) => void scrapeListeners.push(listener),
    handler: (_request, response) => {
      for (const listener of scrapeListeners) listener();
      void answer(registry, response);
    },
  };
}

async function answer(registry: Registry, response: ServerResponse): Promise<void> {
  const text = await registry.metrics();
  response.writeHead(200, {
    'content-type': registry.contentType,
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
