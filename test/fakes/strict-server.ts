// What every double of a registry's token service stands on: real TLS from a CA of its own, a record of what came in,
// a clock that can be wrong, and bad days. Each protocol's own strictness is in the double.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../src/clock.ts';
import { createTestAuthority } from './fake-issuer.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface Received {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A string as it is; anything else as JSON. */
  readonly body?: unknown;
}

/** `well`: the protocol's own answer. Everything else comes before the request is even judged. */
export type Mood =
  | 'well'
  /** Never answers. */
  | 'stalling'
  /** Sends headers and half of a body, then nothing. */
  | 'half-stalling'
  /** Closes the connection. */
  | 'dropping'
  /** The protocol's answer, cut in the middle, with the whole one's Content-Length. */
  | 'truncating'
  /** 302 to `redirectTo`. */
  | 'redirecting'
  /** A proxy's HTML page with status 200. */
  | 'html'
  /** A proxy's HTML page with status 502. */
  | 'bad-gateway'
  /** 503 without a body. */
  | 'failing'
  /** 429 with `retryAfter`, where there is one. */
  | 'throttling'
  /** 200 and more than a megabyte of JSON. */
  | 'endless';

export interface StrictServer extends AsyncDisposable {
  /** `https://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  /** `127.0.0.1:<port>`, as an image names it. */
  readonly host: string;
  readonly certificateAuthorityPem: string;
  /** In order; also those that were answered by a mood. */
  readonly requests: Received[];
  mood: Mood;
  /** Moods for the next requests, one each; then `mood` again. */
  readonly nextMoods: Mood[];
  retryAfter: string | undefined;
  redirectTo: string;
  /** Added to the time in the Date header; the double's own judgement is moved by its clock. */
  dateSkewMs: number;
}

const LARGEST_REQUEST_BYTES = 256 * 1024;

export async function createStrictServer({
  clock,
  answer,
}: {
  clock: Clock;
  /** What throws is answered with 500 and thrown again at the end, when the server is disposed. */
  answer(request: Received): Answer | Promise<Answer>;
}): Promise<StrictServer> {
  const authority = await createTestAuthority('CA of a double');
  const { keyPem, certificatePem } = await authority.issue('a double');
  const failures: unknown[] = [];

  const server = createServer({ key: keyPem, cert: certificatePem }, (incoming, outgoing) => {
    serve(incoming, outgoing).catch((error: unknown) => {
      failures.push(error);
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.end();
    });
  });

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const request = await read(incoming);
    strict.requests.push(request);
    outgoing.setHeader('date', new Date(clock.now() + strict.dateSkewMs).toUTCString());
    const mood = strict.nextMoods.shift() ?? strict.mood;
    if (mood !== 'well' && mood !== 'truncating') return misbehave(strict, mood, outgoing);
    const { status = 200, headers = {}, body = '' } = await answer(request);
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const type = typeof body === 'string' ? 'text/plain' : 'application/json';
    outgoing.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(text),
      ...headers,
    });
    if (mood === 'well') return void outgoing.end(text);
    outgoing.write(text.slice(0, text.length / 2), () => outgoing.destroy());
  }

  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const strict: StrictServer = {
    url: `https://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    certificateAuthorityPem: authority.certificatePem,
    requests: [],
    mood: 'well',
    nextMoods: [],
    retryAfter: undefined,
    redirectTo: 'https://127.0.0.1:1/elsewhere',
    dateSkewMs: 0,
    async [Symbol.asyncDispose]() {
      await close();
      if (failures.length > 0) throw new AggregateError(failures, 'a double failed');
    },
  };
  return strict;
}

async function read(incoming: IncomingMessage): Promise<Received> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += (chunk as Buffer).length;
    if (size > LARGEST_REQUEST_BYTES) throw new RangeError('a request to a double is too large');
    chunks.push(chunk as Buffer);
  }
  const url = new URL(incoming.url ?? '/', 'https://double.invalid');
  return {
    method: incoming.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  };
}

const PAGE = '<!doctype html><title>Welcome</title><p>Please log in to the proxy.';

function misbehave(strict: StrictServer, mood: Mood, outgoing: ServerResponse): void {
  switch (mood) {
    case 'stalling':
      return;
    case 'half-stalling':
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
      return void outgoing.write('{"half":');
    case 'dropping':
      return void outgoing.destroy();
    case 'redirecting':
      return void outgoing.writeHead(302, { location: strict.redirectTo }).end();
    case 'html':
      return void outgoing.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    case 'bad-gateway':
      return void outgoing.writeHead(502, { 'content-type': 'text/html' }).end(PAGE);
    case 'failing':
      return void outgoing.writeHead(503).end();
    case 'throttling': {
      const { retryAfter } = strict;
      return void outgoing
        .writeHead(429, retryAfter === undefined ? {} : { 'retry-after': retryAfter })
        .end('{}');
    }
    case 'endless':
      return void outgoing
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`{"padding":"${'x'.repeat(1_200_000)}"}`);
    case 'well':
    case 'truncating':
      throw new TypeError('not a bad day');
  }
}
