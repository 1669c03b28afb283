import { once } from 'node:events';
import { createServer } from 'node:http';
import { Agent, request } from 'node:https';
import type { IncomingMessage, RequestListener } from 'node:http';
import { connect as connectPlainly, type AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createCertificate } from '../../src/server/certificate.ts';
import { createDrain } from '../../src/server/drain.ts';
import { createLoad } from '../../src/server/load.ts';
import { createHttpsServer } from '../../src/server/https-server.ts';
import { createCertificateFolder } from '../fakes/admission-certificates.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const hello: RequestListener = (_request, response) => void response.end('hello');

async function createWorld(handler: RequestListener = hello, port = 0) {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await createCertificateFolder());
  const clock = createHandClock();
  const log = createLog('silent');
  const drain = createDrain();
  const load = createLoad(clock);
  const certificate = stack.use(await createCertificate({ clock, log }, folder));
  const options = { host: '127.0.0.1', port, lingerMs: 10_000, refuseMs: 3_000 };
  const server = await createHttpsServer({ certificate, handler, drain, load, clock, log }, options).catch(
    async (error) => {
      await stack.disposeAsync();
      throw error;
    },
  );
  const agent = new Agent({ keepAlive: true, ca: folder.authority });
  stack.defer(() => agent.destroy());

  async function get(): Promise<{
    answer: IncomingMessage;
    text: string;
    certificate: string;
    socket: TLSSocket;
  }> {
    const asked = request({ agent, host: '127.0.0.1', port: server.port });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const socket = answer.socket as TLSSocket;
    const peer = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    let text = '';
    for await (const chunk of answer) text += chunk;
    return { answer, text, certificate: peer, socket };
  }

  /** Moves the clock until the server is gone. */
  async function stop(): Promise<void> {
    const stopped = server[Symbol.asyncDispose]();
    await clock.advance(30_000);
    await stopped;
  }
  return { folder, clock, drain, certificate, server, get, stop, stack };
}

test('a new certificate is served to new connections, and not one live connection is dropped', async () => {
  const world = await createWorld();
  await using _stack = world.stack;
  const live = connect({ host: '127.0.0.1', port: world.server.port, ca: world.folder.authority });
  await once(live, 'secureConnect');
  const before = live.getPeerX509Certificate()?.fingerprint256;

  await world.folder.renew();
  await world.certificate.reload();

  live.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const [answer] = (await once(live, 'data')) as [Buffer];
  expect(answer.toString()).toContain('200 OK');
  expect((await world.get()).certificate).not.toBe(before);
  live.destroy();
  await world.stop();
});

test('a connection that the API server keeps for 90 seconds is not closed by us before', async () => {
  const world = await createWorld();
  await using _stack = world.stack;

  const { answer } = await world.get();

  expect(answer.headers['keep-alive']).toBe('timeout=95');
  await world.stop();
});

test('a port that is taken is one sentence', async () => {
  const other = createServer(hello).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;

  await expect(createWorld(hello, port)).rejects.toMatchObject({
    code: 'port-taken',
    message: `cannot listen on 127.0.0.1, port ${port}: another program listens there`,
  });

  other.close();
});

test('stopping goes on answering for the time that endpoints take to spread, and closes each connection with its answer', async () => {
  const world = await createWorld();
  await using _stack = world.stack;

  const stopped = world.server[Symbol.asyncDispose]();
  const { answer, text } = await world.get();

  expect(world.drain.phase()).toBe('closing');
  expect(text).toBe('hello');
  expect(answer.headers['connection']).toBe('close');

  await world.clock.advance(10_000);
  expect(world.drain.phase()).toBe('refusing');
  expect((await world.get()).answer.headers['connection']).toBe('close');

  await world.clock.advance(3_000);
  await stopped;
  await expect(world.get()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('an answer that is on its way when the port shuts still arrives; one that never ends is cut', async () => {
  const answers: (() => void)[] = [];
  const world = await createWorld((_request, response) => void answers.push(() => response.end('late')));
  await using _stack = world.stack;
  const slow = world.get();
  const stuck = world.get();
  while (answers.length < 2) await new Promise((resolve) => setImmediate(resolve));

  const stopped = world.server[Symbol.asyncDispose]();
  await world.clock.advance(13_000);
  answers[0]?.();
  expect((await slow).text).toBe('late');
  const cut = expect(stuck).rejects.toMatchObject({ code: 'ECONNRESET' });
  await world.clock.advance(2_000);

  await cut;
  await stopped;
});

test('a connection that nobody has used meanwhile is closed before reviews are refused', async () => {
  const world = await createWorld();
  await using _stack = world.stack;
  const { socket } = await world.get();
  const closed = once(socket, 'close');

  const stopped = world.server[Symbol.asyncDispose]();
  await world.clock.advance(9_999);
  expect(socket.destroyed).toBe(false);
  await world.clock.advance(1);

  await closed;
  expect(world.drain.phase()).toBe('refusing');
  await world.clock.advance(20_000);
  await stopped;
});

// Node itself gives such a one up after ten seconds of real time.
test('a connection that never says a word holds nobody up', { timeout: 8_000 }, async () => {
  const world = await createWorld();
  await using _stack = world.stack;
  const silent = connectPlainly(world.server.port, '127.0.0.1');
  const closed = once(silent, 'close');
  await once(silent, 'connect');
  // What comes after it is served, so the server knows of it.
  await world.get();

  const stopped = world.server[Symbol.asyncDispose]();
  await world.clock.advance(15_000);

  await stopped;
  await closed;
});

test('idle connections hold nobody up', async () => {
  const world = await createWorld();
  await using _stack = world.stack;
  await world.get();

  const stopped = world.server[Symbol.asyncDispose]();
  await world.clock.advance(13_000);

  await stopped;
});
