// Who gets what: the intersection of asked and allowed, for the cases one meets and for any.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AccessRule } from '../../src/token-server/access-rules.ts';
import { grantAccess, withheldFrom } from '../../src/token-server/access-rules.ts';
import { parseScopes, scopeText } from '../../src/token-server/registry-scope.ts';
import { anyRule, anyScope, anySubject } from './arbitraries.ts';

const builder = {
  issuer: 'https://cluster.example',
  namespace: 'team-a',
  serviceAccount: 'builder',
  claims: {},
};

const rule = (changes: Partial<AccessRule> = {}): AccessRule => ({
  namespaces: ['team-*'],
  serviceAccounts: ['*'],
  repositories: ['{namespace}/**'],
  actions: ['pull'],
  ...changes,
});

function granted(rules: AccessRule[], ...scopes: string[]): string[] {
  return grantAccess(rules, builder, parseScopes(scopes)).map(scopeText);
}

describe('a grant is what is asked and allowed, both', () => {
  test('nothing is allowed without a rule', () => {
    expect(granted([], 'repository:team-a/app:pull')).toEqual([]);
  });

  test('of pull and push only what the rule names', () => {
    expect(granted([rule()], 'repository:team-a/app:pull,push')).toEqual(['repository:team-a/app:pull']);
  });

  test('what is allowed and not asked is not granted', () => {
    expect(granted([rule({ actions: ['pull', 'push'] })], 'repository:team-a/app:pull')).toEqual([
      'repository:team-a/app:pull',
    ]);
  });

  test('several rules add up', () => {
    const rules = [rule(), rule({ serviceAccounts: ['builder'], actions: ['push'] })];

    expect(granted(rules, 'repository:team-a/app:push,pull')).toEqual(['repository:team-a/app:pull,push']);
  });

  test('a foreign repository is left out, and the rest of the request is served', () => {
    expect(granted([rule()], 'repository:team-b/app:pull repository:team-a/app:pull')).toEqual([
      'repository:team-a/app:pull',
    ]);
  });

  test('the action "*" is never granted, whoever asks', () => {
    const all = rule({ namespaces: ['*'], repositories: ['**'], actions: ['pull', 'push'] });

    expect(granted([all], 'repository:team-a/app:*', 'repository:team-a/app:delete')).toEqual([]);
  });

  test('types other than repository are granted nothing: no catalogue', () => {
    const all = rule({ namespaces: ['*'], repositories: ['**'], actions: ['pull', 'push'] });

    expect(granted([all], 'registry:catalog:*', 'registry:catalog:pull', 'artifact:team-a/x:pull')).toEqual(
      [],
    );
  });

  test('the class of a repository is passed on', () => {
    expect(granted([rule()], 'repository(plugin):team-a/app:pull')).toEqual([
      'repository(plugin):team-a/app:pull',
    ]);
  });

  test.for<[string, Partial<AccessRule>]>([
    ['another issuer', { issuer: 'https://other.example' }],
    ['another namespace', { namespaces: ['team-b'] }],
    ['another account', { serviceAccounts: ['deployer', 'builder-*'] }],
    ['other repositories', { repositories: ['shared/**'] }],
  ])('a rule for %s does not apply', ([, changes]) => {
    expect(granted([rule(changes)], 'repository:team-a/app:pull')).toEqual([]);
  });

  test('what was withheld can be told, for the log', () => {
    const asked = parseScopes([
      'repository:team-a/app:pull,push repository:team-b/app:pull registry:catalog:*',
    ]);

    const withheld = withheldFrom(asked, grantAccess([rule()], builder, asked));

    expect(withheld.map(scopeText)).toEqual([
      'repository:team-a/app:push',
      'repository:team-b/app:pull',
      'registry:catalog:*',
    ]);
  });
});

test('what was granted in two scopes of one repository is withheld in neither', () => {
  const pull = { type: 'repository', name: 'team-a/app', actions: ['pull'] };
  const push = { type: 'repository', name: 'team-a/app', actions: ['push'] };

  expect(withheldFrom([pull, push], [push, pull])).toEqual([]);
});

describe('for any rules, any account and any request', () => {
  const anything = [
    fc.array(anyRule, { maxLength: 4 }),
    anySubject,
    fc.array(anyScope, { maxLength: 6 }),
  ] as const;

  test('no more is granted than was asked, and never "*"', () => {
    fc.assert(
      fc.property(...anything, (rules, subject, asked) => {
        for (const scope of grantAccess(rules, subject, asked)) {
          const same = asked.filter((other) => other.name === scope.name && other.type === scope.type);
          const actions = same.flatMap((other) => other.actions);
          expect(scope.actions.length).toBeGreaterThan(0);
          expect(actions).toEqual(expect.arrayContaining([...scope.actions]));
          expect(scope.actions).not.toContain('*');
        }
      }),
    );
  });

  test('each granted action is allowed by one rule alone', () => {
    fc.assert(
      fc.property(...anything, (rules, subject, asked) => {
        for (const scope of grantAccess(rules, subject, asked)) {
          for (const action of scope.actions) {
            const single = [{ ...scope, actions: [action] }];
            expect(rules.some((one) => grantAccess([one], subject, single).length === 1)).toBe(true);
          }
        }
      }),
    );
  });

  test('a further rule never takes anything away, and the order of rules does not matter', () => {
    fc.assert(
      fc.property(...anything, anyRule, (rules, subject, asked, further) => {
        const before = grantAccess(rules, subject, asked);
        const after = grantAccess([...rules, further], subject, asked);

        expect(withheldFrom(before, after)).toEqual([]);
        expect(grantAccess([further, ...rules.toReversed()], subject, asked)).toEqual(after);
      }),
    );
  });

  test('granted and withheld together are what was asked', () => {
    fc.assert(
      fc.property(...anything, (rules, subject, scopes) => {
        const asked = parseScopes(scopes.map(scopeText));
        const grant = grantAccess(rules, subject, asked);

        const actions = [...grant, ...withheldFrom(asked, grant)].flatMap((scope) => scope.actions);

        expect(actions.toSorted()).toEqual(asked.flatMap((scope) => scope.actions).toSorted());
      }),
    );
  });
});
