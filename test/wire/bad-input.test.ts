// Bad input against a real process: a clear answer each time, the process lives, and its heap is what it was.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LARGEST_REVIEW_BYTES } from '../../src/admission/review.ts';
import { podOf, reviewOf } from '../fakes/admission-routes.ts';

let child: ChildProcessByStdio<Writable, Readable, null>;
let lines: AsyncIterator<string>;
let port = 0;

const nextNumber = async () => Number((await lines.next()).value);

async function heap(): Promise<number> {
  child.stdin.write('heap\n');
  return nextNumber();
}

beforeAll(async () => {
  const program = new URL('./webhook-process.ts', import.meta.url).pathname;
  child = spawn(process.execPath, ['--expose-gc', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  port = await nextNumber();
});

afterAll(async () => {
  child.stdin.end();
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
});

const GOOD = JSON.stringify(reviewOf(podOf('registry.team.example:5000/web/app:1')));
const padded = (bytes: number) => JSON.stringify(reviewOf(podOf('nginx', { padding: 'x'.repeat(bytes) })));

const inputs: [name: string, status: number, send: () => Promise<number>][] = [
  ['a pod without its review', 400, () => post(JSON.stringify(podOf('nginx')))],
  ['3 MiB of a review', 200, () => post(padded(3 * 2 ** 20))],
  ['3 MiB of something else', 400, () => post('x'.repeat(3 * 2 ** 20))],
  ['3 MiB of opening brackets', 400, () => post('['.repeat(3 * 2 ** 20))],
  ['10,000 levels', 400, () => post('{"a":'.repeat(10_000) + '1' + '}'.repeat(10_000))],
  ['keys called __proto__', 200, () => post(GOOD.replace('{', '{"__proto__":{"polluted":true},'))],
  ['another version', 400, () => post(GOOD.replace('admission.k8s.io/v1', 'admission.k8s.io/v2'))],
  ['truncated JSON', 400, () => post(GOOD.slice(0, 300))],
  ['a body over the limit', 413, () => post('x'.repeat(LARGEST_REVIEW_BYTES + 1))],
  ['a length that is a lie', 413, () => raw('Content-Length: 10000000000\r\n\r\n')],
  ['a chunked body without end', 413, endless],
  ['a connection that breaks off in the body', 0, () => raw('Content-Length: 1000\r\n\r\n{"kind":', true)],
  ['no HTTP at all', 400, () => raw('', false, '\u0016\u0003\u0001 nonsense\r\n\r\n')],
];

test.each(inputs)('%s is answered clearly: %i', async (_name, status, send) => {
  expect(await send()).toBe(status);

  expect(await post(GOOD)).toBe(200);
  expect(child.exitCode).toBeNull();
});

test('after all of it ten times over, the heap is what it was', async () => {
  const before = await heap();

  for (let round = 0; round < 10; round++) for (const [, , send] of inputs) await send();

  const after = await heap();
  expect(after / before).toBeLessThanOrEqual(1.1);
});

async function post(body: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/mutate`, { method: 'POST', body });
  const { code } = (await answer.json()) as { code?: string };
  if (!answer.ok) expect(code).toBeDefined();
  return answer.status;
}

/** Resolves to the status, 0 if the connection ended without one. */
async function raw(
  rest: string,
  isBrokenOff = false,
  head = 'POST /mutate HTTP/1.1\r\nHost: x\r\n',
): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  socket.write(head + rest);
  if (isBrokenOff) socket.once('connect', () => socket.destroy());
  return statusOn(socket);
}

/** Sends until somebody hangs up. */
async function endless(): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  let sent = 0;
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  const pump = () => {
    while (!socket.destroyed && sent < 100 * LARGEST_REVIEW_BYTES) {
      sent += chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', pump);
    }
  };
  socket.write('POST /mutate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  pump();
  const status = await statusOn(socket);
  expect(sent).toBeLessThan(5 * LARGEST_REVIEW_BYTES);
  return status;
}

function statusOn(socket: Socket): Promise<number> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    // A length that is a lie would be waited for until the request times out.
    if (text.includes('"code"')) socket.end();
  });
  // A server that hangs up on a body it does not want resets the connection: the answer has come before.
  socket.on('error', () => undefined);
  return new Promise((resolve) => {
    socket.once('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)));
  });
}
