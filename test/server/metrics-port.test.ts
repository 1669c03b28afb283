// A port whose next connection cannot be accepted, as without descriptors, goes on: /metrics and the token server's.
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { serveMetrics } from '../../src/server/metrics-port.ts';
import { listen } from '../../src/token-server/listener.ts';
import { freePort } from '../../tools/free-ports.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

function createWorld() {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const failsTwice: RequestListener = (request: IncomingMessage, response) => {
    const { server } = request.socket as typeof request.socket & { server: Server };
    for (const _ of [1, 2]) server.emit('error', new Error('accept EMFILE'));
    response.end('still here');
  };
  return { lines, log, failsTwice };
}

test('that of metrics and probes', async () => {
  const { lines, log, failsTwice } = createWorld();
  const port = await freePort();
  await using _port = await serveMetrics({
    handler: failsTwice,
    health: { handler: failsTwice },
    port,
    host: '127.0.0.1',
    log,
  });

  const answer = await fetch(`http://127.0.0.1:${port}/metrics`);

  expect(await answer.text()).toBe('still here');
  expect(lines.filter((line) => line.includes('port failed'))).toHaveLength(2);
});

test('that of the token server', async () => {
  const { lines, log, failsTwice } = createWorld();
  await using listener = await listen({
    handler: failsTwice,
    host: '127.0.0.1',
    port: 0,
    tls: undefined,
    clock: createHandClock(),
    log,
  });

  const answer = await fetch(listener.url, { headers: { connection: 'close' } });

  expect(await answer.text()).toBe('still here');
  expect(lines.filter((line) => line.includes('port failed'))).toHaveLength(2);
});
