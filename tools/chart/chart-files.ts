// Every file of the chart that is written by `npm run generate`, with the text that it should have.
import { copiedTemplates } from './copied-templates.ts';
import { valuesSchema, valuesYaml } from './values-text.ts';

export const chartFolder = new URL('../../charts/keyless-pull/', import.meta.url);

/** By path within the chart. */
export function generatedChartFiles(): Record<string, string> {
  const templates = Object.entries(copiedTemplates()).map(([name, text]) => [`templates/${name}`, text]);
  return {
    'values.yaml': valuesYaml(),
    'values.schema.json': `${JSON.stringify(valuesSchema(), undefined, 2)}\n`,
    ...(Object.fromEntries(templates) as Record<string, string>),
  };
}
