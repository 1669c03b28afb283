// Writes the parts of the documentation that the code knows better: of docs/reference.md the config, the token server's config,
// the problem codes and the metrics of both servers, of docs/registries.md and the pages below it the registry families. And the
// files of the chart that follow from the code or from webhook-config/.
import { readFileSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { Config } from '../src/config.ts';
import { problemCodes } from '../src/problem.ts';
import { metricTable, tokenServerMetricTable, type MetricRow } from '../src/server/metric-table.ts';
import { TokenServerConfig } from '../src/token-server/token-server-config.ts';
import { chartFolder, generatedChartFiles } from './chart/chart-files.ts';
import { ChartValues } from './chart/values.ts';
import { code, plain, table } from './markdown.ts';
import { familyParts, registryParts } from './registry-tables.ts';

export const referencePath = new URL('../docs/reference.md', import.meta.url);
export const registriesPath = new URL('../docs/registries.md', import.meta.url);
export const chartReadmePath = new URL('README.md', chartFolder);

type Parts = Readonly<Record<string, () => string>>;

/** The parts by the name in their markers: `<!-- generated: config -->` … `<!-- end: config -->`. */
const referenceParts: Parts = {
  config: () => configTable(Config),
  'token-server-config': () => configTable(TokenServerConfig),
  'problem-codes': problemTable,
  metrics: () => metricsTable(metricTable),
  'token-server-metrics': () => metricsTable(tokenServerMetricTable),
};

/** Every page that has generated parts, with those parts. */
export const generatedPages: readonly { readonly path: URL; readonly parts: Parts }[] = [
  { path: referencePath, parts: referenceParts },
  // Before the index, which has their titles.
  ...Object.entries(familyParts).map(([kind, parts]) => ({ path: familyPath(kind), parts })),
  { path: registriesPath, parts: registryParts },
  {
    path: chartReadmePath,
    parts: { values: () => configTable(ChartValues, (key) => !key.startsWith('config.')) },
  },
];

export function familyPath(kind: string): URL {
  return new URL(`../docs/registries/${kind}.md`, import.meta.url);
}

/** The same text with every generated part made anew. @throws Error for a part whose markers are missing */
export function withGeneratedParts(text: string, path: URL = referencePath): string {
  const parts = generatedPages.find((page) => page.path.href === path.href)?.parts ?? {};
  let result = text;
  for (const [name, write] of Object.entries(parts)) {
    const [begin, end] = [`<!-- generated: ${name} -->\n`, `<!-- end: ${name} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from === -1 || to < from)
      throw new Error(`docs/${path.pathname.split('/docs/').at(-1)} has no part ${name} between its markers`);
    result = `${result.slice(0, from + begin.length)}\n${write()}\n${result.slice(to)}`;
  }
  return result;
}

/** The few members of JSON Schema that our own schemas come to. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
}

interface Row {
  readonly key: string;
  readonly type: string;
  readonly presence: string;
  readonly meaning: string;
}

/** Every key of a schema with its path, in the order of the schema. */
export function rowsOf(schema: z.ZodType): Row[] {
  return rowsBelow('', z.toJSONSchema(schema, { io: 'input' }) as Schema);
}

function rowsBelow(path: string, schema: Schema): Row[] {
  if (schema.items) return rowsBelow(`${path}[]`, schema.items);
  const { additionalProperties: named } = schema;
  if (typeof named === 'object') return rowsBelow(`${path}.<name>`, named);
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const key = path === '' ? name : `${path}.${name}`;
    const isRequired = schema.required?.includes(name) ?? false;
    const row = {
      key,
      type: typeOf(member),
      presence: presenceOf(member, isRequired),
      meaning: member.description ?? '',
    };
    return [row, ...rowsBelow(key, member)];
  });
}

function presenceOf(schema: Schema, isRequired: boolean): string {
  if (isRequired) return 'required';
  const isWhole =
    schema.default === undefined || (schema.properties && JSON.stringify(schema.default) === '{}');
  return isWhole ? '' : `\`${JSON.stringify(schema.default)}\``;
}

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map((word) => `\`${word}\``).join(', ');
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(' or ');
  switch (schema.type ?? 'string') {
    case 'array':
      return `list of ${schema.items?.properties ? 'maps' : typeOf(schema.items ?? {})}`;
    case 'object':
      return 'map';
    case 'boolean':
      return '`true`, `false`';
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'whole number' : 'number'}${boundsOf(schema)}`;
    default:
      return 'text';
  }
}

function boundsOf({ minimum, exclusiveMinimum, maximum }: Schema): string {
  if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
  const least = minimum === undefined ? '' : `, ${minimum} at least`;
  const above = exclusiveMinimum === undefined ? '' : `, more than ${exclusiveMinimum}`;
  return `${least}${above}${maximum === undefined ? '' : `, ${maximum} at most`}`;
}

function configTable(schema: z.ZodType, isShown: (key: string) => boolean = () => true): string {
  const shown = rowsOf(schema).filter(({ key }) => isShown(key));
  const rows = shown.map(({ key, type, presence, meaning }) => [
    `\`${key}\``,
    type,
    presence,
    plain(meaning),
  ]);
  return table(['Key', 'Value', 'Default', 'Meaning'], rows);
}

const retries = {
  no: 'never',
  soon: 'after seconds',
  waiting: 'after 30 s to 5 min',
  later: 'after 10 s to 10 min',
  rarely: 'after 10 min to 1 h',
} as const;

function problemTable(): string {
  const rows = Object.entries(problemCodes).map(([code, { retry, status, means }]) => [
    `\`${code}\``,
    plain(means),
    retries[retry],
    status === 0 ? '' : String(status),
  ]);
  return table(['Code', 'Meaning', 'Tried again', 'HTTP'], rows);
}

function metricsTable(metrics: Readonly<Record<string, MetricRow>>): string {
  const rows = Object.entries(metrics).map(([name, { type, labels, means }]) => [
    code(`keyless_pull_${name}`),
    type,
    means,
    Object.entries(labels)
      .map(
        ([label, values]) =>
          `${code(label)}: ${typeof values === 'string' ? values : values.map(code).join(' ')}`,
      )
      .join('; '),
  ]);
  return table(['Metric', 'Type', 'Meaning', 'Labels, and what bounds them'], rows);
}

if (import.meta.main) {
  for (const { path } of generatedPages)
    writeFileSync(path, withGeneratedParts(readFileSync(path, 'utf8'), path));
  for (const [path, text] of Object.entries(generatedChartFiles()))
    writeFileSync(new URL(path, chartFolder), text);
}
