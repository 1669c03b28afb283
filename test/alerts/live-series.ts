// Which series there can be: ours by their table, and the few of the API server that alerts and dashboard use.
import { problemCodes } from '../../src/problem.ts';
import { metricTable, tokenServerMetricTable } from '../../src/server/metric-table.ts';
import type { Matcher, Selector } from './rules-file.ts';

const BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25];

/** As kube-apiserver 1.36 exposes them; a test on a real one holds them against it. */
export const apiServerSeries: Readonly<Record<string, readonly string[]>> = {
  apiserver_admission_webhook_rejection_count: ['name', 'type', 'operation', 'error_type', 'rejection_code'],
  apiserver_admission_webhook_fail_open_count: ['name', 'type'],
  apiserver_admission_webhook_admission_duration_seconds_bucket: [
    'name',
    'type',
    'operation',
    'rejected',
    'le',
  ],
  apiserver_admission_webhook_admission_duration_seconds_count: ['name', 'type', 'operation', 'rejected'],
};

/** Labels that the scrape adds, not the process. */
const SCRAPED = ['pod', 'instance', 'job'];

/** What cannot be in a selector or a grouping; empty when such series can exist. */
export function faultsOf({ name, matchers }: Selector): string[] {
  const known = apiServerSeries[name] ?? labelsOf(name);
  if (!known) return [`there is no metric ${name}`];
  return matchers.flatMap((matcher) => {
    if (SCRAPED.includes(matcher.label)) return [];
    if (!known.includes(matcher.label)) return [`${name} has no label ${matcher.label}`];
    const values = apiServerSeries[name] ? undefined : valuesOf(name, matcher.label);
    return values && !matchesSome(matcher, values)
      ? [`${name}: ${matcher.label} is never ${matcher.operator} ${matcher.value}`]
      : [];
  });
}

/** All labels that series of that name have; undefined for a name that is not ours. */
export function labelsOf(name: string): string[] | undefined {
  const row = rowOf(name);
  if (!row) return undefined;
  return [...Object.keys(row.labels), ...(name.endsWith('_bucket') ? ['le'] : [])];
}

/** Label names by series name, as a process exposes them. */
export function exposedIn(text: string): Map<string, Set<string>> {
  const exposed = new Map<string, Set<string>>();
  for (const [, name = '', labels = ''] of text.matchAll(
    /^((?:keyless_pull|apiserver_admission_webhook)_\w+)(?:\{(.*)\})? \S+$/gm,
  )) {
    const names = [...labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)].map(([, label = '']) => label);
    exposed.set(name, (exposed.get(name) ?? new Set()).add(names.toSorted().join()));
  }
  return exposed;
}

/** As one of `exposedIn`; what the scrape adds is left out. */
export function scrapedLabels({ matchers }: Selector): string {
  return matchers
    .map(({ label }) => label)
    .filter((label) => !SCRAPED.includes(label))
    .toSorted()
    .join();
}

interface Row {
  readonly type: string;
  readonly labels: Readonly<Record<string, readonly string[] | string>>;
  readonly buckets?: readonly number[];
}

function rowOf(name: string): Row | undefined {
  const rows: Readonly<Record<string, Row>> = { ...metricTable, ...tokenServerMetricTable };
  const short = name.replace(/^keyless_pull_/, '');
  const row = rows[short];
  if (row) return row.type === 'histogram' ? undefined : row;
  const histogram = rows[short.replace(/_(bucket|count|sum)$/, '')];
  return histogram?.type === 'histogram' ? histogram : undefined;
}

/** Undefined where values come from a config. */
function valuesOf(name: string, label: string): readonly string[] | undefined {
  const row = rowOf(name);
  if (label === 'le') return [...(row?.buckets ?? BUCKETS).map(String), '+Inf'];
  const values = row?.labels[label];
  if (values === undefined || typeof values !== 'string') return values;
  const codes = ['', 'ready', 'pending', '(other)', ...Object.keys(problemCodes)];
  if (label === 'code' || label === 'state') return codes;
  if (label === 'reason') return [...codes, 'fault', 'gated', 'given-credentials', 'finding', 'exempt'];
  return undefined;
}

function matchesSome({ operator, value }: Matcher, values: readonly string[]): boolean {
  if (operator === '=' || operator === '!=') return values.includes(value);
  // Each of its alternatives is one that something has.
  return value
    .replaceAll(/\(([^)]*)\)$/g, '$1')
    .split('|')
    .every((part, at) => {
      const prefix = at === 0 ? '' : (/^[\w-]*(?=\()/.exec(value)?.[0] ?? '');
      const pattern = new RegExp(`^(?:${prefix}${part})$`);
      return values.some((one) => pattern.test(one));
    });
}
