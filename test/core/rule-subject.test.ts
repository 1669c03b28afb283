// Whom a rule is for: globs over names, label selectors over namespaces.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Subject, globMatches, subjectMatches } from '../../src/core/rule-subject.ts';

describe('a glob', () => {
  test.for([
    ['*', '', true],
    ['*', 'anything', true],
    ['', '', true],
    ['', 'a', false],
    ['builder', 'builder', true],
    ['builder', 'builders', false],
    ['builder', 'Builder', false],
    ['legacy-*', 'legacy-', true],
    ['legacy-*', 'legacy-shop', true],
    ['legacy-*', 'legacy', false],
    ['*-builder', 'image-builder', true],
    ['*-builder', 'image-builder-2', false],
    ['a*b', 'ab', true],
    ['a*b', 'a', false],
    ['a*a', 'a', false],
    ['ab*ba', 'aba', false],
    ['ab*ba', 'abba', true],
    ['*a*', 'bab', true],
    ['*a*', 'bbb', false],
    ['a**b', 'axb', true],
    ['a*b*c', 'abbbc', true],
    ['a*b*c', 'acb', false],
    ['*.example', 'aXexample', false],
    ['[a-z]*', 'a', false],
    ['a?', 'ab', false],
    ['$*^', '$x^', true],
  ] as const)('%j and %j: %s', ([pattern, text, matches]) => {
    expect(globMatches(pattern, text)).toBe(matches);
  });

  test('says of 100,000 pairs what the plain regular expression says', () => {
    const unit = fc.constantFrom('a', 'b', '.', '-');
    const pattern = fc.string({ unit: fc.oneof(unit, fc.constant('*')), maxLength: 8 });
    fc.assert(
      fc.property(pattern, fc.string({ unit, maxLength: 12 }), (glob, text) => {
        if (globMatches(glob, text) !== plainGlob(glob).test(text)) throw new Error(`${glob} and ${text}`);
      }),
      { numRuns: 100_000 },
    );
  });

  test('finds what was made to fit it', () => {
    const parts = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(parts, parts, (wanted, between) => {
        const text = wanted
          .map((part, at) => part + (at < wanted.length - 1 ? (between[at] ?? '') : ''))
          .join('');

        expect(globMatches(wanted.join('*'), text)).toBe(true);
      }),
    );
  });

  test('of many stars costs no more than its length', () => {
    const started = performance.now();

    for (let turn = 0; turn < 1000; turn++) {
      expect(globMatches('*a'.repeat(500) + '*', 'a'.repeat(499) + 'b'.repeat(500))).toBe(false);
      expect(globMatches('a*'.repeat(500) + 'b', 'a'.repeat(10_000))).toBe(false);
    }

    // The plain regular expression would not come back at all.
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

function plainGlob(pattern: string): RegExp {
  return new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`, 'v');
}

describe('a subject', () => {
  const labels = { tier: 'prod', team: 'shop', empty: '' };

  test.for<[what: string, subject: Record<string, unknown>, matches: boolean]>([
    ['that says nothing', {}, true],
    ['of this account', { serviceAccounts: ['checkout'] }, true],
    ['of another account', { serviceAccounts: ['other'] }, false],
    ['of several accounts', { serviceAccounts: ['other', 'check*'] }, true],
    ['of namespaces with a label', { namespaceSelector: { matchLabels: { tier: 'prod' } } }, true],
    ['of namespaces with another value', { namespaceSelector: { matchLabels: { tier: 'test' } } }, false],
    [
      'of namespaces with a label that is not there',
      { namespaceSelector: { matchLabels: { zone: 'a' } } },
      false,
    ],
    [
      'of namespaces with both labels',
      { namespaceSelector: { matchLabels: { tier: 'prod', team: 'shop' } } },
      true,
    ],
    [
      'of namespaces with one label of two',
      { namespaceSelector: { matchLabels: { tier: 'prod', team: 'other' } } },
      false,
    ],
    ['of an empty selector', { namespaceSelector: {} }, true],
    ['In with the value', selector('tier', 'In', ['test', 'prod']), true],
    ['In without the value', selector('tier', 'In', ['test']), false],
    ['In, label absent', selector('zone', 'In', ['a']), false],
    ['NotIn with the value', selector('tier', 'NotIn', ['prod']), false],
    ['NotIn without the value', selector('tier', 'NotIn', ['test']), true],
    ['NotIn, label absent', selector('zone', 'NotIn', ['a']), true],
    ['Exists', selector('empty', 'Exists'), true],
    ['Exists, label absent', selector('zone', 'Exists'), false],
    ['DoesNotExist', selector('empty', 'DoesNotExist'), false],
    ['DoesNotExist, label absent', selector('zone', 'DoesNotExist'), true],
    [
      'of the right namespace and another account',
      { ...selector('tier', 'Exists'), serviceAccounts: ['other'] },
      false,
    ],
  ])('%s: %s', ([, subject, matches]) => {
    expect(subjectMatches(Subject.parse(subject), 'checkout', labels)).toBe(matches);
  });

  test('all expressions must hold', () => {
    const expressions = [
      { key: 'tier', operator: 'Exists' },
      { key: 'zone', operator: 'Exists' },
    ];

    const subject = Subject.parse({ namespaceSelector: { matchExpressions: expressions } });

    expect(subjectMatches(subject, 'checkout', labels)).toBe(false);
  });

  test.for([
    ['In without values', selector('tier', 'In')],
    ['NotIn with an empty list', selector('tier', 'NotIn', [])],
    ['Exists with values', selector('tier', 'Exists', ['prod'])],
    ['an unknown operator', selector('tier', 'Like', ['prod'])],
    ['an empty list of accounts', { serviceAccounts: [] }],
  ] as const)('%s is refused: it would silently match nothing, or everything', ([, subject]) => {
    expect(Subject.safeParse(subject).success).toBe(false);
  });
});

function selector(key: string, operator: string, values?: readonly string[]): Record<string, unknown> {
  return { namespaceSelector: { matchExpressions: [{ key, operator, ...(values && { values }) }] } };
}
