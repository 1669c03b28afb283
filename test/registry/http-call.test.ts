// One request on the wire: what is sent, what is never sent, and answers that no web server would give.
import { createServer, type Server } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { AnswerTooLarge, createHttpCall, type HttpRequest } from '../../src/registry/http-call.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createStrictServer } from '../fakes/strict-server.ts';

const clock = createHandClock();

function requestTo(
  server: { readonly url: string; readonly certificateAuthorityPem: string },
  more: Partial<HttpRequest> = {},
): HttpRequest {
  return {
    url: new URL(`${server.url}/path?query=1`),
    method: 'GET',
    headers: {},
    body: '',
    certificateAuthority: server.certificateAuthorityPem,
    signal: new AbortController().signal,
    ...more,
  };
}

/** TLS, and then whatever bytes the test wants, to the first bytes that come. */
async function rawServer(answer: string) {
  const authority = await createTestAuthority();
  const { keyPem, certificatePem } = await authority.issue('raw');
  const server: Server = createServer({ key: keyPem, cert: certificatePem }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    certificateAuthorityPem: authority.certificatePem,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => new Error('it was answered'),
    (error: unknown) => error,
  );

describe('a request', () => {
  test('carries its secrets on the wire, and no header that nobody asked for', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({ body: 'hello' }) });
    const http = createHttpCall();

    const answer = await http(
      requestTo(server, {
        method: 'POST',
        headers: { authorization: new SecretText('Bearer one'), accept: undefined, 'x-more': 'two' },
        body: new SecretText('three=ü'),
      }),
    );

    const [sent] = server.requests;
    expect(answer).toMatchObject({ status: 200, text: 'hello' });
    expect(answer.header('content-type')).toBe('text/plain');
    expect(answer.header('x-nowhere')).toBeUndefined();
    expect(sent).toMatchObject({ method: 'POST', path: '/path', body: 'three=ü' });
    expect(sent?.headers).toEqual({
      authorization: 'Bearer one',
      'x-more': 'two',
      'content-length': '8',
      host: server.host,
      connection: 'keep-alive',
    });
  });

  test('without a body has no length', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({}) });

    await createHttpCall()(requestTo(server));

    expect(server.requests[0]?.headers).toEqual({ host: server.host, connection: 'keep-alive' });
  });

  test('is never made without TLS', async () => {
    const url = new URL('http://127.0.0.1:1/');

    const error = await errorOf(
      createHttpCall()(requestTo({ url: 'https://127.0.0.1:1', certificateAuthorityPem: '' }, { url })),
    );

    expect(error).toEqual(new TypeError('only https is spoken here'));
  });

  test('trusts the authority that it names and no other, also after a good one to the same host', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({}) });
    const stranger = await createTestAuthority();
    const http = createHttpCall();

    await http(requestTo(server));
    const byStranger = await errorOf(
      http(requestTo(server, { certificateAuthority: stranger.certificatePem })),
    );
    const bySystem = await errorOf(http(requestTo(server, { certificateAuthority: undefined })));

    expect(byStranger).toMatchObject({ code: expect.stringMatching(/CERT|SIGNATURE/) });
    expect(bySystem).toMatchObject({ code: expect.stringMatching(/CERT|SIGNATURE/) });
    expect(server.requests).toHaveLength(1);
  });

  test('works on when a hundred rules have had authorities of their own', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({}) });
    const http = createHttpCall();

    for (let many = 0; many < 100; many++) {
      const certificateAuthority = `${server.certificateAuthorityPem}\n${'#'.repeat(many)}`;
      expect((await http(requestTo(server, { certificateAuthority }))).status).toBe(200);
    }
  });

  test('with a line feed in a secret header is not sent, and the secret is not in the error', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({}) });
    const headers = { authorization: new SecretText('Bearer marked\r\nx-more: 1') };

    const error = await errorOf(createHttpCall()(requestTo(server, { headers })));

    expect(error).toMatchObject({ code: 'ERR_INVALID_CHAR' });
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('marked');
    expect(server.requests).toEqual([]);
  });
});

describe('an answer', () => {
  test.for([
    [256 * 1024, true],
    [256 * 1024 + 1, false],
  ] as const)('of %d bytes is taken: %s', async ([bytes, isTaken]) => {
    await using server = await createStrictServer({ clock, answer: () => ({ body: 'x'.repeat(bytes) }) });

    const result = await createHttpCall()(requestTo(server)).catch((error: unknown) => error);

    if (isTaken) expect(result).toMatchObject({ status: 200 });
    else expect(result).toBeInstanceOf(AnswerTooLarge);
  });

  test.for([
    ['nothing', ''],
    ['no HTTP', 'marked-secret hello there\r\n\r\n'],
    ['a status and no more', 'HTTP/1.1 200 marked-secret\r\n'],
    [
      'another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: marked-secret\r\n\r\n',
    ],
    ['headers beyond measure', `HTTP/1.1 200 OK\r\nx-a: ${'marked-secret'.repeat(2000)}\r\n\r\n`],
    ['a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: marked-secret\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['less than its length', 'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nmarked-secret'],
    ['a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nmarked-secret'],
    ['a chunk and no end', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n'],
  ])('that is %s is an error at once, without a byte of it', async ([, bytes]) => {
    await using server = await rawServer(bytes!);

    const error = await errorOf(createHttpCall()(requestTo(server)));

    expect(error).toBeInstanceOf(Error);
    expect(String(error)).not.toContain('it was answered');
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('marked');
    expect(Object.values(error as object).some((value) => Buffer.isBuffer(value))).toBe(false);
  });

  test('that is ended from outside is an AbortError, before its body or in it', async () => {
    await using server = await createStrictServer({ clock, answer: () => ({}) });
    for (const mood of ['stalling', 'half-stalling'] as const) {
      server.mood = mood;
      const ending = new AbortController();
      const ended = errorOf(createHttpCall()(requestTo(server, { signal: ending.signal })));
      const asked = server.requests.length;
      while (server.requests.length === asked) await new Promise((resolve) => setImmediate(resolve));
      ending.abort();

      expect(await ended).toMatchObject({ name: 'AbortError' });
    }
  });
});
