import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startBreakableProxy, type BreakableProxy } from './breakable-proxy.ts';

let proxy: BreakableProxy;
/** What the server has heard on all its connections; it answers every piece with itself. */
let heard: string;
let close: () => void;

beforeEach(async () => {
  heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (piece: Buffer) => {
      heard += piece.toString();
      socket.write(piece);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  proxy = await startBreakableProxy(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  close();
});

async function dial(): Promise<{ socket: Socket; said: () => string }> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(proxy.url).port) });
  let said = '';
  socket.on('data', (piece: Buffer) => (said += piece.toString()));
  socket.on('error', () => undefined);
  await Promise.race([once(socket, 'connect').catch(() => undefined), closed(socket)]);
  return { socket, said: () => said };
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())));

const until = async (happened: () => boolean) => {
  while (!happened()) await new Promise((resolve) => setImmediate(resolve));
};

test('what passes is heard and answered', async () => {
  const { socket, said } = await dial();

  socket.write('hello');

  await until(() => said() === 'hello');
});

test('a connection that swallows stays so while later ones pass', async () => {
  const first = await dial();
  first.socket.write('1');
  await until(() => first.said() === '1');
  for (const connection of proxy.connections) connection.set('swallow');
  first.socket.write('lost');
  const second = await dial();
  second.socket.write('2');
  await until(() => second.said() === '2');

  proxy.set('pass');
  first.socket.write('lost');
  second.socket.write('3');
  await until(() => second.said() === '23');

  expect(heard).toBe('123');
  expect(first.socket.destroyed).toBe(false);
});

test('what was held arrives late, even when its sender has gone', async () => {
  const { socket, said } = await dial();
  socket.write('1');
  await until(() => said() === '1');
  proxy.set('hold');
  socket.write('late');
  socket.destroy();
  await closed(socket);
  const next = await dial();
  next.socket.write('2');
  await until(() => proxy.connections.length === 2);
  expect(heard).toBe('1');

  proxy.set('pass');

  await until(() => heard.includes('late') && heard.includes('2'));
});

test('a reset is felt by connections that are there, and by those that come', async () => {
  const { socket } = await dial();
  await until(() => proxy.connections.length === 1);

  proxy.set('reset');
  await closed(socket);
  const next = await dial();
  await closed(next.socket);

  expect(heard).toBe('');
});
