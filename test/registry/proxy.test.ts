// The environment's proxy: a tunnel is asked of it, TLS goes through with the registry's own certificate, and what the
// proxy is told of us is the host alone.
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { openProbe } from './probe.ts';
import { expectNothingShown } from './set-up.ts';

interface Proxy extends AsyncDisposable {
  readonly url: string;
  readonly host: string;
  /** The hosts that tunnels were asked to. */
  readonly tunnels: string[];
  readonly authorizations: (string | undefined)[];
  /** Instead of a tunnel; `stall`: nothing at all, `tunnel, then stall`: nothing comes through it. */
  answer: string | undefined;
  /** Connections that are open at it. */
  open(): number;
}

async function openProxy(): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const server = createServer((_request, response) => void response.writeHead(405).end());
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    proxy.tunnels.push(request.url ?? '');
    proxy.authorizations.push(request.headers['proxy-authorization']);
    socket.on('error', () => undefined);
    if (proxy.answer?.endsWith('stall')) {
      if (proxy.answer !== 'stall') socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      return void socket.resume().on('end', () => socket.end());
    }
    if (proxy.answer !== undefined) return void socket.end(proxy.answer);
    const [name, port] = (request.url ?? '').split(':');
    const through = connect(Number(port), name, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      through.pipe(socket).pipe(through);
    });
    sockets.add(through);
    through.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: Proxy = {
    url: `http://${host}`,
    host,
    tunnels: [],
    authorizations: [],
    answer: undefined,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

test('HTTPS_PROXY is asked for a tunnel, and sees nothing of what goes through', async () => {
  await using proxy = await openProxy();
  await using probe = await openProbe();

  const credential = await probe.exchange({ http: createHttpCall({ HTTPS_PROXY: proxy.url }) });

  expect(credential.username).toBe('puller');
  expect(proxy.tunnels).toEqual([probe.server.host]);
  expect(probe.server.requests[0]?.headers.host).toBe(probe.server.host);
});

test('the lower-case name works as well, and a user and password for the proxy are for the proxy alone', async () => {
  await using proxy = await openProxy();
  await using probe = await openProbe();
  const url = proxy.url.replace('//', '//us:marked-word@');

  await probe.exchange({ http: createHttpCall({ https_proxy: url, no_proxy: undefined }) });

  expect(proxy.authorizations).toEqual([`Basic ${Buffer.from('us:marked-word').toString('base64')}`]);
  expect(probe.server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
});

test.for(['127.0.0.1', '*', 'registry.example, 127.0.0.1'])(
  'a host that NO_PROXY names (as "%s") is asked directly',
  async (hosts) => {
    await using proxy = await openProxy();
    await using probe = await openProbe();

    await probe.exchange({ http: createHttpCall({ HTTPS_PROXY: proxy.url, NO_PROXY: hosts }) });

    expect(proxy.tunnels).toEqual([]);
    expect(probe.server.requests).toHaveLength(1);
  },
);

test('a host that NO_PROXY does not name goes through the proxy', async () => {
  await using proxy = await openProxy();
  await using probe = await openProbe();

  await probe.exchange({
    http: createHttpCall({ HTTPS_PROXY: proxy.url, NO_PROXY: 'registry.example,127.0.0.2' }),
  });

  expect(proxy.tunnels).toHaveLength(1);
});

describe('a proxy that makes no tunnel', () => {
  test.for([
    ['asks who we are', 'HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n'],
    ['does not reach the registry', 'HTTP/1.1 502 marked-page\r\ncontent-length: 0\r\n\r\n'],
    ['speaks no HTTP', 'marked-page\r\n\r\n'],
    ['hangs up', ''],
  ])('because it %s is a registry that cannot be reached', async ([, answer]) => {
    await using proxy = await openProxy();
    await using probe = await openProbe();
    proxy.answer = answer;
    const http = createHttpCall({ HTTPS_PROXY: proxy.url.replace('//', '//us:marked-word@') });

    const problem = await probe.problem({ http });

    expect(problem.code).toBe('exchange-unreachable');
    expect(problem.message).toMatch(/^127\.0\.0\.1:\d+ cannot be reached: /);
    expectNothingShown(problem, 'marked-word', 'marked-page', 'us:marked-word');
    expect(probe.server.requests).toEqual([]);
  });

  test('because nobody is there is a registry that cannot be reached', async () => {
    await using probe = await openProbe();

    const problem = await probe.problem({ http: createHttpCall({ HTTPS_PROXY: 'http://127.0.0.1:1' }) });

    expect(problem.message).toBe(`${probe.server.host} cannot be reached: ECONNREFUSED`);
  });

  test.for(['stall', 'tunnel, then stall'])(
    'because of a %s is given up when the time is up, with its connection',
    async (answer) => {
      await using proxy = await openProxy();
      await using probe = await openProbe();
      proxy.answer = answer;
      const ending = new AbortController();

      const ended = probe.problem({
        http: createHttpCall({ HTTPS_PROXY: proxy.url }),
        signal: ending.signal,
      });
      while (proxy.tunnels.length === 0) await new Promise((resolve) => setImmediate(resolve));
      ending.abort();

      expect((await ended).code).toBe('exchange-unreachable');
      // Else a plugin would not end before the kubelet ends it.
      while (proxy.open() > 0) await new Promise((resolve) => setImmediate(resolve));
    },
  );
});

test('a tunnel outlives the deadline of the request that it was made for', async () => {
  await using proxy = await openProxy();
  await using probe = await openProbe();
  const http = createHttpCall({ HTTPS_PROXY: proxy.url });
  const ending = new AbortController();
  await probe.exchange({ http, signal: ending.signal });

  ending.abort();
  await probe.exchange({ http });

  expect(proxy.tunnels).toHaveLength(1);
});
