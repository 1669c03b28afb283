// Which claims a rule can ask for, and what meets it.
import { describe, expect, test } from 'vitest';
import { claimPathFault, meetsConditions } from '../../src/token-server/claim-condition.ts';
import { grantAccess } from '../../src/token-server/access-rules.ts';
import { parseScopes } from '../../src/token-server/registry-scope.ts';

const claims = {
  aud: ['https://registry.team.example', 'other'],
  level: 3,
  admin: true,
  'https://team.example/role': 'builder',
  'a~b': 'tilde',
  empty: null,
  'kubernetes.io': {
    namespace: 'team-a',
    node: { name: 'pool-blue-1' },
    serviceaccount: { name: 'builder', uid: '0a1b' },
  },
};

describe('a condition is met', () => {
  test.for<[string, string[]]>([
    ['kubernetes.io/node/name', ['pool-green-*', 'pool-blue-*']],
    ['kubernetes.io/serviceaccount/uid', ['0a1b']],
    ['aud', ['other']],
    ['level', ['3']],
    ['admin', ['true']],
    ['https:~1~1team.example~1role', ['build*']],
    ['a~0b', ['*']],
  ])('by %s in %s', ([path, patterns]) => {
    expect(claimPathFault(path)).toBeUndefined();
    expect(meetsConditions({ [path]: patterns }, claims)).toBe(true);
  });
});

describe('a condition is not met', () => {
  test.for<[string, string[]]>([
    ['kubernetes.io/node/name', ['pool-green-*']],
    ['kubernetes.io/pod/name', ['*']],
    ['kubernetes.io/node', ['*']],
    ['kubernetes.io/node/name/x', ['*']],
    ['kubernetes', ['*']],
    ['empty', ['*']],
    ['aud/0', ['*']],
    ['constructor', ['*']],
    ['__proto__/constructor/name', ['*']],
  ])('by %s in %s', ([path, patterns]) => {
    expect(meetsConditions({ [path]: patterns }, claims)).toBe(false);
  });

  test('when one of two is not', () => {
    expect(meetsConditions({ aud: ['other'], level: ['4'] }, claims)).toBe(false);
  });
});

test.for([
  ['', 'names joined by "/"'],
  ['/kubernetes.io', 'names joined by "/"'],
  ['a//b', 'names joined by "/"'],
  ['a~b', 'is written ~0'],
] as const)('the path "%s" is refused', ([path, sentence]) => {
  expect(claimPathFault(path)).toContain(sentence);
});

test('a rule with conditions grants to tokens that meet them, and to no other', () => {
  const rule = {
    namespaces: ['*'],
    serviceAccounts: ['*'],
    repositories: ['**'],
    actions: ['pull'] as const,
    claims: { 'kubernetes.io/node/name': ['pool-blue-*'] },
  };
  const subject = { issuer: 'x', namespace: 'team-a', serviceAccount: 'builder' };
  const asked = parseScopes(['repository:a/b:pull']);

  expect(grantAccess([rule], { ...subject, claims }, asked)).toEqual(asked);
  expect(grantAccess([rule], { ...subject, claims: {} }, asked)).toEqual([]);
});
