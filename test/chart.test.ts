// The chart against the code, without helm: what is generated is up to date, and versions and defaults are one.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { chartFolder, generatedChartFiles } from '../tools/chart/chart-files.ts';
import { ChartValues } from '../tools/chart/values.ts';
import { defaultValues } from '../tools/chart/values-text.ts';
import { chartReadmePath, rowsOf, withGeneratedParts } from '../tools/generate.ts';

const fileOfChart = (path: string) => readFileSync(new URL(path, chartFolder), 'utf8');
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

test.each(Object.entries(generatedChartFiles()))(
  '%s is up to date: `npm run generate` would change nothing',
  (path, text) => {
    expect(fileOfChart(path)).toBe(text);
  },
);

test("the table in the chart's README is up to date", () => {
  const text = readFileSync(chartReadmePath, 'utf8');

  expect(withGeneratedParts(text, chartReadmePath)).toBe(text);
});

test('every value says what it means', () => {
  const silent = rowsOf(ChartValues).filter(({ meaning }) => meaning === '');

  expect(silent.map(({ key }) => key)).toEqual([]);
});

test('values.yaml holds the defaults of the schema, and no rule: that is for the user to say', () => {
  const values = parse(fileOfChart('values.yaml')) as Record<string, unknown>;

  expect(values).toEqual(defaultValues());
  expect(() => ChartValues.parse(values)).toThrow('rules');
});

test("the chart's version and its program's are the package's", () => {
  const chart = parse(fileOfChart('Chart.yaml')) as Record<string, unknown>;

  expect(chart).toMatchObject({ version: manifest.version, appVersion: manifest.version });
});
