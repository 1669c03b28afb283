// docs/reference.md says what the code says.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Config } from '../src/config.ts';
import { metricTable, tokenServerMetricTable } from '../src/server/metric-table.ts';
import { referencePath, rowsOf, withGeneratedParts } from '../tools/generate.ts';

test('the reference is up to date: `npm run generate` would change nothing', () => {
  const text = readFileSync(referencePath, 'utf8');

  expect(withGeneratedParts(text)).toBe(text);
});

test('every metric of both servers has its row, and each row is a metric', () => {
  const rows = [...readFileSync(referencePath, 'utf8').matchAll(/^\| `keyless_pull_(\w+)` \| (\w+) \|/gm)];

  expect(rows.map(([, name, type]) => [name, type])).toEqual(
    Object.entries({ ...metricTable, ...tokenServerMetricTable }).map(([name, { type }]) => [name, type]),
  );
});

test('every key of the config says what it means', () => {
  const silent = rowsOf(Config).filter(({ meaning }) => meaning === '');

  expect(silent.map(({ key }) => key)).toEqual([]);
});

test('a reference without its markers is refused, so that no table gets lost', () => {
  expect(() => withGeneratedParts('# Reference\n')).toThrow('no part config between its markers');
});

const namesIn = (pattern: RegExp) =>
  new Set([...readFileSync(referencePath, 'utf8').matchAll(pattern)].map(([, name]) => name));

test('the events of the reference are those of the program', () => {
  const source = readFileSync(new URL('../src/cluster/cluster.ts', import.meta.url), 'utf8');
  const union = /export type EventReason =([^;]+);/.exec(source)?.[1] ?? '';

  const reasons = [...union.matchAll(/'(\w+)'/g)].map(([, reason]) => reason);
  expect(reasons.length).toBeGreaterThan(5);
  expect(namesIn(/^\| `([A-Z]\w+)` \| (?:account|pod|account, pod) \|/gm)).toEqual(new Set(reasons));
});

/** What stands between the parenthesis at `open` and its own end. */
function insideOf(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === "'") at = text.indexOf("'", at + 1);
    else if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character) && --depth === 0) return text.slice(open + 1, at);
  }
  return '';
}

test('every message that is logged has its row, and every row is a message', () => {
  const paths = execFileSync('git', ['ls-files', '-co', '--exclude-standard', 'src'], { encoding: 'utf8' })
    .split('\n')
    .filter((path) => path.endsWith('.ts') && path !== 'src/log.ts' && existsSync(path));
  const logged = new Set<string>();
  for (const path of paths) {
    const text = readFileSync(path, 'utf8');
    for (const call of text.matchAll(/\b(?:log|podLog)(?:\.(?:debug|info|warn|error)|\[[^\n]*?\])\(/g)) {
      const inside = insideOf(text, call.index + call[0].length - 1);
      const words = [...inside.replace(/^\s*\{[\s\S]*?\}(?=,)/, '').matchAll(/'([^']+)'/g)];
      expect(words.length, `${path}: ${inside}`).toBeGreaterThan(0);
      for (const [, word = ''] of words) logged.add(word);
    }
  }
  const section = readFileSync(referencePath, 'utf8').split('\n## Log lines\n')[1] ?? '';
  const rows = [...section.matchAll(/^\| (`[^|]*`) \| (?:debug|info|warn|error) \|/gm)];
  const documented = rows.flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word),
  );

  expect(logged.size).toBeGreaterThan(50);
  expect(new Set(documented)).toEqual(logged);
  expect(documented).toHaveLength(logged.size);
});
