// What is read of JSON that somebody else wrote, whatever it is.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { fieldsOf, instantOf, listOf, namesOf, textMapOf, textOf } from '../../src/core/fields.ts';

test('what is absent or of another type reads as empty', () => {
  for (const value of [undefined, null, 5, true, []]) {
    expect(fieldsOf(value)).toEqual({});
    expect(textOf(value)).toBe('');
    expect(namesOf(value)).toEqual([]);
    expect({ ...textMapOf(value) }).toEqual({});
  }
  expect(listOf({ length: 3 })).toEqual([]);
  expect(listOf(['a', null, { name: 'b' }])).toEqual([{}, {}, { name: 'b' }]);
});

test('of a map of texts the texts are kept, under every name, also one that objects inherit', () => {
  const map = textMapOf(JSON.parse('{"__proto__":"own","a":"b","n":5,"o":{}}'));

  expect(Object.entries(map)).toEqual([
    ['__proto__', 'own'],
    ['a', 'b'],
  ]);
  expect(map['constructor']).toBeUndefined();
});

test('kubectl’s copy of an object is not kept: it may be a quarter of a megabyte', () => {
  const annotations = { 'keyless-pull.dev/prewarm': 'true' };
  const copy = { 'kubectl.kubernetes.io/last-applied-configuration': '{"kind":"ServiceAccount"}' };

  expect({ ...textMapOf({ ...copy, ...annotations }) }).toEqual(annotations);
});

test('names are those that are texts, and not empty', () => {
  expect(namesOf([{ name: 'a' }, {}, { name: '' }, { name: 5 }, { name: 'b' }])).toEqual(['a', 'b']);
});

test('any JSON can be read', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const read = [fieldsOf, listOf, textOf, textMapOf, namesOf, instantOf].map((reader) => reader(value));
      expect(read).not.toContain(undefined);
    }),
  );
});

test('an instant that cannot be read is 0', () => {
  expect(instantOf('2026-11-21T12:00:00Z')).toBe(Date.UTC(2026, 10, 21, 12));
  expect(instantOf('2026-11-21T12:00:00.123456Z')).toBe(Date.UTC(2026, 10, 21, 12, 0, 0, 123));
  for (const text of [undefined, null, '', 'soon', 5, {}]) expect(instantOf(text)).toBe(0);
});
