// values.yaml, values.schema.json and the table of values, written from the schema in values.ts.
import { stringify } from 'yaml';
import * as z from 'zod';
import { ChartValues } from './values.ts';

const HEAD = `# Everything that can be set, with its default. Written by \`npm run generate\` from tools/chart/values.ts; values.schema.json
# refuses what is not here. The one thing without a default is config.rules.
`;

/** Shown below config.rules, which has no default that would be of use to anybody. */
const EXAMPLE = `# For example:
#   - name: team-registry
#     hosts: [registry.team.example:5000]
#     audience: https://registry.team.example
#     exchange: { kind: pass-through }
`;

/** JSON Schema as far as Helm needs it. Draft 7: the one that every Helm 3 understands. */
export function valuesSchema(): Record<string, unknown> {
  return z.toJSONSchema(ChartValues, { io: 'input', target: 'draft-7' });
}

/** What holds where nothing is set, as values.yaml has it: the program knows the defaults of its config itself. */
export function defaultValues(): Record<string, unknown> {
  const rule = { name: 'x', hosts: ['x.example'], audience: 'x', exchange: { kind: 'pass-through' } };
  return { ...ChartValues.parse({ config: { rules: [rule] } }), config: { rules: [] } };
}

interface Described {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
}

export function valuesYaml(): string {
  return `${HEAD}\n${yamlOf(valuesSchema() as Described, defaultValues(), '').trimEnd()}\n`;
}

function yamlOf(schema: Described, values: Readonly<Record<string, unknown>>, indent: string): string {
  return Object.entries(values)
    .map(([key, value]) => {
      const member = schema.properties?.[key];
      const comment = member?.description === undefined ? '' : commentOf(member.description, indent);
      const gap = indent === '' ? '\n' : '';
      if (member?.properties && isMap(value))
        return `${comment}${indent}${key}:\n${yamlOf(member, value, `${indent}  `)}${gap}`;
      const example = key === 'rules' ? EXAMPLE.replaceAll(/^/gm, indent).trimEnd() + '\n' : '';
      return `${comment}${indented({ [key]: value }, indent)}${example}${gap}`;
    })
    .join('');
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function indented(value: unknown, indent: string): string {
  return stringify(value).replaceAll(/^(?=.)/gm, indent);
}

function commentOf(description: string, indent: string): string {
  const width = 118 - indent.length;
  const lines: string[] = [''];
  for (const word of description.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `${indent}# ${line}\n`).join('');
}
