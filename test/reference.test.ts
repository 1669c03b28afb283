// docs/reference.md says what the code says.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Config } from '../src/config.ts';
import { referencePath, rowsOf, withGeneratedParts } from '../tools/generate.ts';

test('the reference is up to date: `npm run generate` would change nothing', () => {
  const text = readFileSync(referencePath, 'utf8');

  expect(withGeneratedParts(text)).toBe(text);
});

test('every key of the config says what it means', () => {
  const silent = rowsOf(Config).filter(({ meaning }) => meaning === '');

  expect(silent.map(({ key }) => key)).toEqual([]);
});

test('a reference without its markers is refused, so that no table gets lost', () => {
  expect(() => withGeneratedParts('# Reference\n')).toThrow('no part config between its markers');
});
