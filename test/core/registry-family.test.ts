// Which hosts belong to a family, and what every family of the table must be true to.
import { describe, expect, test } from 'vitest';
import { isCovered, partsBy, type FamilyFacts } from '../../src/core/registry-family.ts';
import { families } from '../../src/registry/families.ts';

const table: [string, FamilyFacts][] = Object.entries(families);
const parameters = table.flatMap(([kind, family]) =>
  Object.entries(family.parameters).map(([key, grammar]) => ({ kind, key, grammar })),
);

describe('the parts of a host', () => {
  const partsOf = partsBy(/^(?<registry>[a-z]+)(?:-(?<zone>[a-z]+))?\.example$/);

  test('are those that its grammar names', () => {
    expect(partsOf('shop-north.example')).toEqual({ registry: 'shop', zone: 'north' });
  });

  test('lack what the host lacks', () => {
    expect(Object.keys(partsOf('shop.example') ?? {})).toEqual(['registry']);
  });

  test('are none where the grammar names none', () => {
    expect(partsBy(/^public\.example$/)('public.example')).toEqual({});
  });

  test.for([
    'shop.example.org',
    'evil.shop.example',
    'shop.example:443',
    'shop.example\n',
    'SHOP.example',
    '',
  ])('are not there for another host: %j', (host) => {
    expect(partsOf(host)).toBeUndefined();
  });
});

describe('a pattern of a rule is covered by a family', () => {
  const hosts = {
    patterns: ['*.api.*.cloud.example', 'public.cloud.example'],
    partsOf: () => undefined,
  };

  test.for([
    '*.api.*.cloud.example',
    'shop.api.*.cloud.example',
    '*.api.north.cloud.example',
    'shop.api.north.cloud.example',
    'public.cloud.example',
  ])('where it is one of the patterns or narrower: %s', (pattern) => {
    expect(isCovered(pattern, hosts)).toBe(true);
  });

  test.for([
    '*.*.*.cloud.example',
    '*.api.*.*.example',
    '*.api.*.cloud.*',
    '*.cloud.example',
    '*.api.cloud.example',
    'x.*.api.*.cloud.example',
    '*.api.*.cloud.example:443',
    '*.api.*.cloud.example.evil.example',
    '*',
  ])('and not where it could name a host that is not its own: %s', (pattern) => {
    expect(isCovered(pattern, hosts)).toBe(false);
  });
});

describe('every family', () => {
  test.for(table)('%s asks for a token of ten minutes to one hour', ([, { tokenSeconds }]) => {
    expect(tokenSeconds).toBeGreaterThanOrEqual(600);
    expect(tokenSeconds).toBeLessThanOrEqual(3600);
  });

  test.for(table)('%s has one principal at most', ([, family]) => {
    const principals = Object.values(family.parameters).filter(({ isPrincipal }) => isPrincipal);

    expect(principals.length).toBeLessThanOrEqual(1);
  });

  test.for(table)(
    '%s covers its own patterns, and hosts of a family are told by their last labels',
    ([, { hosts }]) => {
      for (const pattern of hosts?.patterns ?? []) {
        expect(isCovered(pattern, hosts!)).toBe(true);
        expect(pattern).toMatch(/(^|\.)[a-z0-9-]+\.[a-z]+$/);
      }
    },
  );

  test.for(table)('%s knows no host beyond its own', ([, { hosts }]) => {
    const known = (hosts?.patterns ?? []).map((pattern) => pattern.replaceAll('*', 'a'));
    for (const host of known.flatMap((name) => [
      `${name}.evil.example`,
      `${name}:5000`,
      `${name}\n`,
      `${name}/`,
      `${name}@evil.example`,
      `evil.example/.${name}`,
      `evil.example#.${name}`,
      `evil.example?.${name}`,
      `evil.example\\.${name}`,
    ])) {
      expect(hosts?.partsOf(host), host).toBeUndefined();
    }
  });
});

describe('the grammar of every parameter', () => {
  test.for(parameters)('$kind $key is anchored at both ends and keeps no state', ({ grammar }) => {
    const { source, flags } = grammar.pattern;

    expect(source.startsWith('^')).toBe(true);
    expect(source.endsWith('$')).toBe(true);
    // An alternative at the top level would be anchored on one side only.
    expect(
      source.replaceAll(/\\.|\[[^\]]*\]/g, '').replaceAll(/\((?:[^()]|\([^()]*\))*\)/g, ''),
    ).not.toContain('|');
    // `m` would let a second line pass, `g` and `y` remember where they stopped.
    expect(flags).toMatch(/^[iu]*$/);
  });

  test.for(parameters)('$kind $key has no room for lines, control characters or nothing', ({ grammar }) => {
    for (const text of ['', '\n', '\0', 'a\nb', 'a\r\nb', 'a\0', 'a\u001B[31m', 'a\u0085', 'a\u2028']) {
      expect(grammar.pattern.test(text), JSON.stringify(text)).toBe(false);
    }
  });
});
