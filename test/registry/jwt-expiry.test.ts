// When a password that is a JWT ends: read from whatever looks like one, and never more than read.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jwtClaims, jwtExpiry } from '../../src/registry/jwt-expiry.ts';
import { SecretText } from '../../src/secret-text.ts';

const MOST = 1000;
const encode = (text: string) => Buffer.from(text).toString('base64url');
const jwt = (claims: unknown, signature = 'c2ln') =>
  `${encode('{}')}.${encode(JSON.stringify(claims))}.${signature}`;
const expiryOf = (text: string) => jwtExpiry(new SecretText(text), MOST);

test.for([
  ['a whole second', jwt({ exp: 1_800_000_000 }), 1_800_000_000_000],
  ['a fraction', jwt({ exp: 1_800_000_000.5 }), 1_800_000_000_500],
  ['a time long ago', jwt({ exp: -1 }), -1000],
  ['no signature but its dot', jwt({ exp: 1 }, ''), 1000],
])('the end of a JWT with %s is read', ([, text, wanted]) => {
  expect(expiryOf(text as string)).toBe(wanted);
});

test.for([
  ['no JWT', 'a plain password'],
  ['no exp', jwt({ sub: 'x' })],
  ['an exp in words', jwt({ exp: '1800000000' })],
  ['an exp that is null', jwt({ exp: null })],
  ['claims that are a list', jwt([1])],
  ['claims that are null', jwt(null)],
  ['claims that are no JSON', `${encode('{}')}.${encode('exp')}.c2ln`],
  ['two parts', `${encode('{}')}.${encode('{"exp":1}')}`],
])('a password with %s has no end of its own', ([, text]) => {
  expect(expiryOf(text!)).toBeUndefined();
});

test.for([
  ['empty', ''],
  ['too long', 'x'.repeat(MOST + 1)],
  ['with a line feed', 'a\nb'],
  ['with a NUL', 'a\0b'],
  ['with a C1 control', 'a\u0085b'],
])('a password that is %s is unusable', ([, text]) => {
  expect(expiryOf(text!)).toBe('unusable');
});

test('whatever the password is, it is read without an error, and the claims are an object', () => {
  const anyJwt = fc.jsonValue().map((claims) => jwt(claims));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), anyJwt), (text) => {
      const expiry = expiryOf(text);
      expect(['undefined', 'number', 'string']).toContain(typeof expiry);
      expect(Object.prototype.toString.call(jwtClaims(new SecretText(text)))).toBe('[object Object]');
    }),
  );
});
