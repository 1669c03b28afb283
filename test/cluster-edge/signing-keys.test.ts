// The API server's published keys when they are not what they should be.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findSigningKeys, keyIdOf } from '../../src/cluster/kube-signing-keys.ts';
import { problemOf } from '../cluster-contract.ts';
import { startStubApiServer, type StubApiServer } from './stub-api-server.ts';

let stub: StubApiServer;

beforeEach(async () => {
  stub = await startStubApiServer();
});
afterEach(() => stub[Symbol.asyncDispose]());

const find = () => findSigningKeys(stub.connect(), { signal: stub.clock.deadline(10_000) });
const jwk = (kid: unknown) => ({ kty: 'RSA', kid, n: 'AQAB', e: 'AQAB' });

describe('published keys', () => {
  test('are known by their ids', async () => {
    stub.handle = ({ path, answer }) =>
      answer(path === '/openid/v1/jwks' ? 200 : 404, { keys: [jwk('new'), jwk('old')] });

    expect(await find()).toEqual(['new', 'old']);
  });

  test.each<[string, unknown]>([
    ['no object', []],
    ['nothing', {}],
    ['no list', { keys: 'many' }],
    ['an empty list', { keys: [] }],
    ['keys without an id', { keys: [{ kty: 'RSA' }, null, 7] }],
    ['ids that are no texts', { keys: [jwk(7), jwk({}), jwk('')] }],
    ['an id that no record has room for', { keys: [jwk('x'.repeat(1025))] }],
  ])('that are %s are none', async (_title, body) => {
    stub.handle = ({ answer }) => answer(200, body);

    expect(await find()).toEqual([]);
  });

  test.each<[number, 'cluster-refused' | 'cluster-missing' | 'cluster-unreachable']>([
    [403, 'cluster-refused'],
    [404, 'cluster-missing'],
    [406, 'cluster-refused'],
    [500, 'cluster-unreachable'],
  ])('that are answered with %d are a problem', async (status, code) => {
    stub.handle = ({ refuse }) => refuse(status, 'No');

    await problemOf(find(), code);
  });

  test('that are no JSON are a problem', async () => {
    stub.handle = ({ answer }) => answer(200, '<html>');

    await problemOf(find(), 'cluster-unreachable');
  });
});

test.each(['', 'no token', 'a.b.c', `${Buffer.from('[]').toString('base64url')}.b.c`])(
  "what is no token ('%s') says of no key that it was signed with it",
  (text) => {
    expect(keyIdOf(text)).toBe('');
  },
);
