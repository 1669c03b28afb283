// The demo's search for leaked passwords finds what it should.
import { expect, test } from 'vitest';
import { findLeaks, signatureOf } from '../../tools/demo/leak-search.ts';

const secret = 'aVeryLongSignatureThatNobodyCouldGuess-_0123456789';
const encode = (text: string) => Buffer.from(text).toString('base64');

test.for([
  ['plain', `before ${secret} after`],
  ['in base64 by itself', encode(secret)],
  ['in base64 after one character', encode(`.${secret}`)],
  ['in base64 after two characters, with more behind', encode(`ab${secret}cdef`)],
  ['in the base64 of a docker config', encode(JSON.stringify({ auths: { host: { password: secret } } }))],
])('a password is found %s', ([, text = '']) => {
  expect(findLeaks({ log: text }, [secret])).toEqual(['log']);
});

test('what is no password is not found', () => {
  const texts = { log: `${secret.slice(0, -1)} ${encode('another secret of that length')}`, empty: '' };

  expect(findLeaks(texts, [secret])).toEqual([]);
});

test('a token is known by its signature, because its claims are no secret', () => {
  expect(signatureOf(`head.claims.${secret}`)).toBe(secret);
  expect(() => signatureOf('no token')).toThrow('three parts');
});
