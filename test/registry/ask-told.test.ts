// What a person is told of a registry's no: its host, status and code, the request's id, what to do; and nothing of a body.
import { describe, expect, test } from 'vitest';
import { openProbe } from './probe.ts';
import { expectNothingShown } from './set-up.ts';

const ESC = '\u001B';

describe('a request id', () => {
  test.for([
    ['x-amzn-requestid', '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'],
    ['x-ms-request-id', '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e100'],
    ['x-ms-correlation-request-id', '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'],
    ['x-acs-request-id', '0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0'],
    ['x-request-id', '463ac35c9f6413ad48485a3953bb6124'],
  ])('in %s is kept, for whoever asks the provider', async ([name, id]) => {
    await using probe = await openProbe();
    probe.answer = () => ({ status: 403, headers: { [name!]: id! }, body: { error: 'access_denied' } });
    const refused = await probe.problem();
    probe.answer = () => ({ headers: { [name!]: id! }, body: { user: 5 } });
    const malformed = await probe.problem();

    expect(refused.message).toMatch(
      new RegExp(` refuses this account \\(403 access_denied, request ${id}\\)$`),
    );
    expect(malformed.message).toMatch(
      new RegExp(` answered with an answer without a proper user \\(request ${id}\\)$`),
    );
  });

  test('is the first that is one, where there are several', async () => {
    await using probe = await openProbe();
    const headers = { 'x-amzn-requestid': 'no id', 'x-ms-request-id': 'abc-1', 'x-request-id': 'abc-2' };
    probe.answer = () => ({ status: 403, headers, body: {} });

    expect((await probe.problem()).message).toMatch(/\(403, request abc-1\)$/);
  });
});

describe('a code', () => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYXJrZWQifQ.c2lnbmF0dXJl';

  test.for([
    ['a whole token', token],
    ['the head of a token', 'eyJhbGciOiJSUzI1NiJ9'],
    ['a piece of a signature', 'kZq3TtQxM1sW8vYb2cNfP0hLd9eRgU7aJ4iOo6'],
    ['a terminal escape', `${ESC}[31mred${ESC}[0m`],
    ['a line feed', 'one\ntwo'],
    ['a sentence', 'the marked password is wrong'],
    ['more than codes have', 'x'.repeat(65)],
    ['letters beyond ASCII', 'verweigert-für-immer'],
    ['a bidirectional mark', 'abc\u202Edef'],
  ])('that is %s is not shown', async ([, code]) => {
    await using probe = await openProbe();
    probe.answer = () => ({ status: 400, body: { error: code, error_description: code }, headers: {} });

    const problem = await probe.problem();

    expect(problem).toMatchObject({
      code: 'exchange-refused',
      message: `${probe.server.host} refuses this account (400)`,
      details: { upstream: '400' },
    });
    expectNothingShown(problem, code!);
  });

  test.for([
    'invalid_grant',
    'AADSTS7002138',
    'AuthenticationFail.OIDCToken.Expired',
    'MANIFEST_UNKNOWN',
    '16',
  ])('like %s is shown', async (code) => {
    await using probe = await openProbe();
    probe.answer = () => ({ status: 400, body: { error: code } });

    expect((await probe.problem()).details).toEqual({ upstream: `400 ${code}` });
  });

  test('that is a number, a list or the name of a method does no harm', async () => {
    await using probe = await openProbe();
    for (const error of [42, ['invalid_grant'], { error: 'x' }, null, true, 'constructor', '__proto__']) {
      probe.answer = () => ({ status: 400, body: { error } });
      expect((await probe.problem()).code).toBe('exchange-refused');
    }
    for (const body of ['null', '7', '"text"', '[]', '{', '<html>', '', '\uFEFF{}']) {
      probe.answer = () => ({ status: 400, body });
      expect((await probe.problem()).details).toEqual({ upstream: '400' });
    }
  });
});

describe('a body', () => {
  test.for([
    ['is no JSON', 'marked-password and no JSON', 'something unreadable'],
    ['is half of it', '{"user":"marked-password', 'something unreadable'],
    ['is a page', ' \n<html>marked-password', 'a web page (is a proxy in between?)'],
    ['is a text', '"marked-password"', 'an answer without a proper content'],
    ['is a list', '["marked-password"]', 'an answer without a proper content'],
    ['lacks a member', '{"seconds":{"marked-password":1}}', 'an answer without a proper seconds'],
    ['has a wrong one', '{"password":["marked-password"]}', 'an answer without a proper password'],
    ['is deep', `{"user":${'['.repeat(100_000)}`, 'something unreadable'],
  ])('that %s is told as that, and not shown', async ([, body, told]) => {
    await using probe = await openProbe();
    probe.answer = () => ({ body });

    const problem = await probe.problem();

    expect(problem).toMatchObject({
      code: 'exchange-malformed',
      message: `${probe.server.host} answered with ${told}`,
    });
    expectNothingShown(problem, 'marked-password');
    expect(probe.server.requests).toHaveLength(1);
  });

  test('may have keys that nobody knows, and any media type', async () => {
    await using probe = await openProbe();
    const told = { seconds: [60], issued_token_type: 'x', nested: { '': [null] }, constructor: 1 };
    probe.answer = () => ({
      body: `  ${JSON.stringify(told)}\r\n`,
      headers: { 'content-type': 'image/png' },
    });

    expect((await probe.exchange()).username).toBe('puller');
  });
});
