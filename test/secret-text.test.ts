// A password that cannot be printed by accident, and a test that tries.
import { format, inspect } from 'node:util';
import { expect, test } from 'vitest';
import { createLog } from '../src/log.ts';
import { SecretText } from '../src/secret-text.ts';

const MARK = 'marked-password';
const secret = new SecretText(MARK);
/** What a slip looks like to the compiler that does not catch it. */
const slip = secret as unknown as string;

test('the text comes out by reveal, and by nothing else', () => {
  expect(secret.reveal()).toBe(MARK);
});

test.for<[way: string, print: () => string]>([
  ['a template', () => `${slip}`],
  ['joining', () => [slip, slip].join()],
  ['adding to text', () => 'x' + slip],
  ['String', () => String(slip)],
  ['JSON', () => JSON.stringify({ secret, deep: [secret] })],
  ['inspect', () => inspect(secret)],
  [
    'inspect with everything on',
    () => inspect({ deep: { secret } }, { showHidden: true, depth: null, getters: true }),
  ],
  ['inspect without custom forms', () => inspect(secret, { customInspect: false, showHidden: true })],
  ['format', () => format('%s %o %O %j %d', secret, secret, secret, secret, secret)],
  ['spreading', () => inspect({ ...(slip as unknown as object) })],
  ['its keys', () => inspect(Reflect.ownKeys(secret))],
  ['Object.assign', () => inspect(Object.assign({}, secret))],
  ['a clone', () => inspect(structuredClone(secret))],
  ['an error', () => inspect(new Error(`refused: ${slip}`, { cause: { secret } }))],
  ['a number', () => String(Number(secret))],
  ['an address', () => new URLSearchParams({ secret: slip }).toString()],
  ['the log', () => logged({ secret, deep: { secret }, list: [secret] })],
])('%s does not show it', ([, print]) => {
  const text = print();

  expect(text).not.toContain(MARK);
  expect(text).not.toContain(Buffer.from(MARK).toString('base64'));
});

function logged(fields: Record<string, unknown>): string {
  let lines = '';
  createLog('info', { write: (line) => (lines += line) }).info(fields, 'a line');
  return lines;
}
