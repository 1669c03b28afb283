// A warm review is answered from memory: hooks on network, disk and children see nothing. And the hooks do see.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { lookup as resolveName } from 'node:dns';
import { readFile as readFileBack, readFileSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createAccountLookup } from '../../src/cluster/account-lookup.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import { createIoHooks } from '../fakes/admission-io-hooks.ts';
import { createAdmissionWorld, podOf, reviewOf } from '../fakes/admission-routes.ts';

const THIS_FILE = new URL(import.meta.url).pathname;

test('a warm review touches no network, no disk and no child process', async () => {
  let liveLooks = 0;
  const look = () => {
    liveLooks++;
    return Promise.resolve(undefined);
  };
  const lookupFor = (view: ClusterView) =>
    createAccountLookup({ cluster: { view, findAccount: look, findNamespace: look }, clock: systemClock });
  const { handler, answers } = createAdmissionWorld({ clock: systemClock, lookupFor });
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const reviews = [
    ['/mutate', reviewOf(podOf('registry.team.example:5000/web/app:1'))],
    ['/mutate', reviewOf(podOf('nginx'))],
    ['/validate/enforce', reviewOf(podOf('nginx', { imagePullSecrets: [{ name: 'nexus' }] }))],
  ] as const;
  for (const [path, review] of reviews) await ask(socket, path, review);

  using hooks = createIoHooks();
  for (let round = 0; round < 20; round++) {
    for (const [path, review] of reviews) expect(await ask(socket, path, review)).toContain('"allowed":');
  }

  expect(hooks.seen()).toEqual([]);
  expect(liveLooks).toBe(0);
  expect(new Set(answers)).toEqual(
    new Set(['mutate patch gated', 'mutate allow no-needs', 'validate/enforce deny finding']),
  );
  socket.destroy();
  server.close();
});

test.each<[name: string, seen: string, use: () => Promise<unknown>]>([
  ['reading a file in one go', 'fs.readFileSync', async () => readFileSync(THIS_FILE)],
  [
    'reading a file with a callback',
    'FSREQCALLBACK',
    () => new Promise((done) => readFileBack(THIS_FILE, done)),
  ],
  ['reading a file with a promise', 'FSREQPROMISE', () => readFile(THIS_FILE)],
  ['a connection', 'net.connect', () => failed(connect(1, '127.0.0.1'))],
  [
    'a name that is resolved',
    'GETADDRINFOREQWRAP',
    () => new Promise((done) => resolveName('localhost', done)),
  ],
  ['a request', 'net.connect', () => fetch('http://127.0.0.1:59999/').catch(() => undefined)],
  ['a child', 'PROCESSWRAP', () => once(spawn(process.execPath, ['--version'], { stdio: 'ignore' }), 'exit')],
  [
    'a child that is waited for',
    'child_process.spawnSync',
    async () => spawnSync(process.execPath, ['--version']),
  ],
])('the hooks see %s', async (_name, seen, use) => {
  using hooks = createIoHooks();

  await use();

  expect(hooks.seen()).toContain(seen);
});

test('a line of log is no disk access', () => {
  using hooks = createIoHooks();

  writeSync(1, '');

  expect(hooks.seen()).toEqual([]);
});

async function failed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('close', resolve));
}

/** One review over a connection that is there already, as the API server keeps it. */
function ask(socket: Socket, path: string, review: unknown): Promise<string> {
  const body = JSON.stringify(review);
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const take = (chunk: Buffer) => {
    text += chunk.toString('utf8');
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
    const body = text.split('\r\n\r\n')[1] ?? '';
    if (!(Buffer.byteLength(body) >= length)) return;
    socket.off('data', take);
    resolve(body);
  };
  socket.on('data', take);
  socket.write(
    `POST ${path}?timeout=5s HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return promise;
}
