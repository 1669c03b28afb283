// The challenges of a WWW-Authenticate header, as registries and what stands before them write it.
import { expect, test } from 'vitest';
import { challengesOf } from '../../src/registry/challenge.ts';

test.for<[string, Record<string, Record<string, string>>]>([
  ['', {}],
  ['Bearer', { bearer: {} }],
  ['BASIC realm="Sonatype Nexus"', { basic: { realm: 'Sonatype Nexus' } }],
  ['Bearer realm="https://a/t",service="s"', { bearer: { realm: 'https://a/t', service: 's' } }],
  ['Bearer realm = "https://a/t" , SERVICE = s', { bearer: { realm: 'https://a/t', service: 's' } }],
  ['Basic realm="a, Bearer realm=b \\" c"', { basic: { realm: 'a, Bearer realm=b " c' } }],
  ['Bearer realm="a", Basic realm="b"', { bearer: { realm: 'a' }, basic: { realm: 'b' } }],
  [' ,, Negotiate, Bearer realm="a"', { negotiate: {}, bearer: { realm: 'a' } }],
  ['Bearer realm="a", Bearer realm="b"', { bearer: { realm: 'a' } }],
  ['Bearer realm="a",realm="b"', { bearer: { realm: 'a' } }],
  ['realm="a"', {}],
])('%j', ([header, wanted]) => {
  expect(Object.fromEntries(challengesOf(header))).toEqual(wanted);
});

test('a name is a name, also one that objects have', () => {
  const bearer = challengesOf('Bearer __proto__="a",constructor="b"').get('bearer') ?? {};

  expect(Object.entries(bearer)).toEqual([
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ]);
});
