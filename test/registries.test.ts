// docs/registries.md and the page of each family say what the code says.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { families } from '../src/registry/families.ts';
import { familyPath, generatedPages, registriesPath, withGeneratedParts } from '../tools/generate.ts';

test.each(generatedPages.map(({ path }) => [path.pathname.split('/docs/').at(-1), path] as const))(
  '%s is up to date: `npm run generate` would change nothing',
  (_name, path) => {
    const text = readFileSync(path, 'utf8');

    expect(withGeneratedParts(text, path)).toBe(text);
  },
);

test('every family has its page, and every page its family', () => {
  const pages = readdirSync('docs/registries').map((name) => name.replace('.md', ''));

  expect(new Set(pages)).toEqual(new Set(Object.keys(families)));
});

const sources = readdirSync('src/registry')
  .map((name) => readFileSync(`src/registry/${name}`, 'utf8'))
  .join('');

describe.each(Object.keys(families))('the page of %s', (kind) => {
  const text = readFileSync(familyPath(kind), 'utf8');

  test('says all that one must know, and leads to the example', () => {
    const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);

    expect(headings).toEqual(['What you need', 'The rule and the account', 'Trust', 'Limits', 'Errors']);
    expect(text).toContain(`(../../examples/${kind}/README.md)`);
    expect(text).toMatch(/keyless-pull generate trust/);
  });

  test('shows the trust that the example has, made by the command that it shows', () => {
    const [, path = ''] = /\]\(\.\.\/\.\.\/(examples\/[^)]*\/trust\/[^)]*)\)/.exec(text) ?? [];
    const shown = /```sh\n(keyless-pull generate trust[\s\S]*?)\n```/.exec(text)?.[1] ?? '';

    expect(existsSync(path), path).toBe(true);
    expect(readFileSync(`examples/${kind}/README.md`, 'utf8')).toContain(shown);
  });

  test('names only errors that the family knows', () => {
    const errors = text.slice(text.indexOf('## Errors'));
    const codes = [...errors.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code),
    );

    // Entra's stand there as numbers.
    for (const code of codes)
      expect(sources).toMatch(new RegExp(`\\b${code.replace('AADSTS', '(?:AADSTS)?')}\\b`));
  });
});

test('a section without its markers is refused, so that no table gets lost', () => {
  expect(() => withGeneratedParts('# Registries\n', registriesPath)).toThrow(
    'docs/registries.md has no part families between its markers',
  );
});
