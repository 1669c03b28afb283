// A password that cannot be printed by accident, and a test that tries.
import { format, inspect } from 'node:util';
import { expect, test } from 'vitest';
import { createLog } from '../src/log.ts';
import { SecretText } from '../src/secret-text.ts';

const MARK = 'marked-password';
const secret = new SecretText(MARK);

test('the text comes out by reveal, and by nothing else', () => {
  expect(secret.reveal()).toBe(MARK);
});

test.for<[way: string, print: () => string]>([
  ['a template', () => `${secret}`],
  ['joining', () => [secret, secret].join()],
  ['adding to text', () => 'x' + (secret as unknown as string)],
  ['String', () => String(secret)],
  ['JSON', () => JSON.stringify({ secret, deep: [secret] })],
  ['inspect', () => inspect(secret)],
  [
    'inspect with everything on',
    () => inspect({ deep: { secret } }, { showHidden: true, depth: null, getters: true }),
  ],
  ['inspect without custom forms', () => inspect(secret, { customInspect: false, showHidden: true })],
  ['format', () => format('%s %o %O %j %d', secret, secret, secret, secret, secret)],
  ['spreading', () => inspect({ ...secret })],
  ['its keys', () => inspect(Reflect.ownKeys(secret))],
  ['Object.assign', () => inspect(Object.assign({}, secret))],
  ['a clone', () => inspect(structuredClone(secret))],
  ['an error', () => inspect(new Error(`refused: ${secret}`, { cause: { secret } }))],
  ['a number', () => String(Number(secret))],
  ['an address', () => new URLSearchParams({ secret: secret as unknown as string }).toString()],
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
