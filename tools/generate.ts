// Writes the parts of docs/reference.md that the code knows better: the config, the token server's config, the problem codes.
import { readFileSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { Config } from '../src/config.ts';
import { problemCodes } from '../src/problem.ts';
import { TokenServerConfig } from '../src/token-server/token-server-config.ts';

export const referencePath = new URL('../docs/reference.md', import.meta.url);

/** The parts by the name in their markers: `<!-- generated: config -->` … `<!-- end: config -->`. */
const parts: Readonly<Record<string, () => string>> = {
  config: () => configTable(Config),
  'token-server-config': () => configTable(TokenServerConfig),
  'problem-codes': problemTable,
};

/** The same text with every generated part made anew. @throws Error for a part whose markers are missing */
export function withGeneratedParts(text: string): string {
  let result = text;
  for (const [name, write] of Object.entries(parts)) {
    const [begin, end] = [`<!-- generated: ${name} -->\n`, `<!-- end: ${name} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from === -1 || to < from)
      throw new Error(`docs/reference.md has no part ${name} between its markers`);
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

function configTable(schema: z.ZodType): string {
  const rows = rowsOf(schema).map(({ key, type, presence, meaning }) => [
    `\`${key}\``,
    type,
    presence,
    plain(meaning),
  ]);
  return table(['Key', 'Value', 'Default', 'Meaning'], rows);
}

const retries = { no: 'never', soon: 'soon', later: 'later' } as const;

function problemTable(): string {
  const rows = Object.entries(problemCodes).map(([code, { retry, status, means }]) => [
    `\`${code}\``,
    plain(means),
    retries[retry],
    status === 0 ? '' : String(status),
  ]);
  return table(['Code', 'Meaning', 'Tried again', 'HTTP'], rows);
}

/** Text that Markdown leaves as it is. */
function plain(text: string): string {
  return text.replaceAll(/[\\`*_[\]|]/g, String.raw`\$&`).replaceAll('<', '&lt;');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}

if (import.meta.main) {
  writeFileSync(referencePath, withGeneratedParts(readFileSync(referencePath, 'utf8')));
}
