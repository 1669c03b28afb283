// The two pattern languages, against regular expressions written by hand.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  matchesName,
  matchesRepository,
  repositoryPatternFault,
} from '../../src/token-server/repository-pattern.ts';
import { anyPattern, anyRepository, anySubject } from './arbitraries.ts';

const builder = { namespace: 'team-a', serviceAccount: 'builder' };

describe('a repository pattern', () => {
  test.for<[string, string, boolean]>([
    ['team/app', 'team/app', true],
    ['team/app', 'team/app2', false],
    ['team/app', 'team/app/extra', false],
    ['team/*', 'team/app', true],
    ['team/*', 'team/app/extra', false],
    ['team/*', 'team', false],
    ['*/app', 'team/app', true],
    ['team/**', 'team/app', true],
    ['team/**', 'team/a/b/c', true],
    ['team/**', 'team', false],
    ['team/**', 'team-b/app', false],
    ['**', 'app', true],
    ['**', 'a/b/c', true],
    ['*', 'a/b', false],
    ['{namespace}/**', 'team-a/app', true],
    ['{namespace}/**', 'team-a-evil/app', false],
    ['{namespace}/**', 'team-b/app', false],
    ['{namespace}/{serviceAccount}/*', 'team-a/builder/app', true],
    ['{namespace}/{serviceAccount}/*', 'team-a/deployer/app', false],
    ['registry.example:5000/{namespace}/*', 'registry.example:5000/team-a/app', true],
  ])('%s on %s: %s', ([pattern, repository, matches]) => {
    expect(repositoryPatternFault(pattern)).toBeUndefined();
    expect(matchesRepository(pattern, repository, builder)).toBe(matches);
  });

  test.for([
    '',
    '/',
    'team/',
    '/team',
    'a//b',
    '**/app',
    'a/**/b',
    'team-*/app',
    'a/***',
    '{namespace}-cache/app',
    'x{namespace}',
    '{pod}/app',
    '{namespace',
    'Team/app',
    'a/../b',
    'a b',
    'app:5000',
    'a/b:5000/c',
  ])('%j is refused with a sentence', (pattern) => {
    expect(repositoryPatternFault(pattern)).toEqual(expect.any(String));
  });

  test('means the same as the regular expression that one would write by hand', () => {
    fc.assert(
      fc.property(anyPattern, anyRepository, anySubject, (pattern, repository, subject) => {
        const source = pattern
          .replace('**', '@@')
          .replaceAll('*', '[^/]+')
          .replace('@@', '.+')
          .replaceAll('{namespace}', subject.namespace)
          .replaceAll('{serviceAccount}', subject.serviceAccount);

        expect(matchesRepository(pattern, repository, subject)).toBe(
          new RegExp(`^${source}$`).test(repository),
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('a name pattern', () => {
  test('takes "*" for any run of characters, also none, and nothing else', () => {
    const letters = (...extra: string[]) =>
      fc.string({ unit: fc.constantFrom('a', 'b', '-', ...extra), maxLength: 8 });

    fc.assert(
      fc.property(letters('*'), letters(), (pattern, name) => {
        expect(matchesName(pattern, name)).toBe(new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test('is quick even for patterns that make regular expressions crawl', () => {
    expect(matchesName(`${'*a'.repeat(100)}*b`, 'a'.repeat(253))).toBe(false);
  });
});
