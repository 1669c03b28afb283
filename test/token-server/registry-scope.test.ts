// The scope grammar, and that nothing else is read or repeated.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Problem } from '../../src/problem.ts';
import { parseScopes, scopeText } from '../../src/token-server/registry-scope.ts';
import { anyScope } from './arbitraries.ts';

describe('a scope is read', () => {
  test.for<[string, object]>([
    ['repository:team/app:pull', { type: 'repository', name: 'team/app', actions: ['pull'] }],
    ['repository:app:pull,push', { type: 'repository', name: 'app', actions: ['pull', 'push'] }],
    ['repository:a.b_c__d---e/f:pull', { type: 'repository', name: 'a.b_c__d---e/f', actions: ['pull'] }],
    [
      'repository:registry.example:5000/team/app:pull',
      { type: 'repository', name: 'registry.example:5000/team/app', actions: ['pull'] },
    ],
    ['repository(plugin):x/y:pull', { type: 'repository', class: 'plugin', name: 'x/y', actions: ['pull'] }],
    ['registry:catalog:*', { type: 'registry', name: 'catalog', actions: ['*'] }],
    ['repository:app:pull,pull', { type: 'repository', name: 'app', actions: ['pull'] }],
    ['repository:app:', { type: 'repository', name: 'app', actions: [] }],
  ])('%s', ([text, scope]) => {
    expect(parseScopes([text])).toEqual([scope]);
  });

  test('no scope at all is a login check', () => {
    expect(parseScopes([])).toEqual([]);
    expect(parseScopes([''])).toEqual([]);
  });

  test('repeated parameters and spaces within one mean the same, and the order stays', () => {
    const [one, two] = ['repository:b:pull', 'repository:a:push'];

    expect(parseScopes([one, two])).toEqual(parseScopes([`${one} ${two}`]));
    expect(parseScopes([one, two]).map(scopeText)).toEqual([one, two]);
  });

  test('scopes for the same repository are merged, those of another class are not', () => {
    const scopes = parseScopes(['repository:a:pull', 'repository:a:push,pull', 'repository(plugin):a:pull']);

    expect(scopes.map(scopeText)).toEqual(['repository:a:pull,push', 'repository(plugin):a:pull']);
  });

  test('any scope survives being written and read', () => {
    fc.assert(
      fc.property(anyScope, (scope) => {
        expect(parseScopes([scopeText(scope)])).toEqual([scope]);
      }),
    );
  });
});

describe('a scope is malformed', () => {
  test.for([
    ['without colons', 'repository'],
    ['without actions', 'repository:app'],
    ['without a type', ':app:pull'],
    ['without a name', 'repository::pull'],
    ['with a type in upper case', 'Repository:app:pull'],
    ['with an unclosed class', 'repository(plugin:app:pull'],
    ['with a class of its own kind', 'repository(a b):app:pull'],
    ['with a repository in upper case', 'repository:Team/App:pull'],
    ['with a path upwards', 'repository:team-a/../team-b/app:pull'],
    ['with an empty segment', 'repository:team-a//app:pull'],
    ['with a slash at the end', 'repository:team-a/:pull'],
    ['with a wildcard for a name', 'repository:*:pull'],
    ['with a placeholder for a name', 'repository:{namespace}/app:pull'],
    ['with a tag', 'repository:app:latest:pull'],
    ['with a port and no repository', 'repository:registry.example:5000:pull'],
    ['with two colons in the name', 'repository:a:1/b:2:pull'],
    ['with a name longer than registries allow', `repository:${'a'.repeat(256)}:pull`],
    ['with an empty action', 'repository:app:pull,'],
    ['with an odd action', 'repository:app:pu!l'],
    ['with a line end', 'repository:app:pull\n'],
    ['with a token for a name', 'registry:eyJhbGciOiJFUzI1NiJ9.e30.x:pull'],
  ] as const)('%s', ([, text]) => {
    try {
      parseScopes([text]);
      expect.unreachable('it was read');
    } catch (error) {
      expect(error).toMatchObject({ code: 'scope-malformed' });
      expect(String(error)).not.toContain(text);
    }
  });

  test('when there are more than sixty-four', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => `repository:r${at}:pull`).join(' ');

    expect(parseScopes([many(64)])).toHaveLength(64);
    expect(() => parseScopes([many(65)])).toThrow('more than 64 scopes were asked for');
  });

  test('any text is either read or refused as malformed, never anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom(...'aA:/,*()._- {\n'.split('')) })), (texts) => {
        try {
          const scopes = parseScopes(texts);
          expect(parseScopes(scopes.map(scopeText))).toEqual(scopes);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          expect(error.code).toBe('scope-malformed');
        }
      }),
      { numRuns: 500 },
    );
  });
});
