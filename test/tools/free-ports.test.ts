// Ports handed out must be usable, and must not collide with each other.
import { createServer } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { freePort, freePorts } from '../../tools/free-ports.ts';

test('free ports are all different and below those of outgoing connections', async () => {
  const ports = await freePorts(100);

  expect(new Set(ports).size).toBe(100);
  expect(Math.min(...ports)).toBeGreaterThanOrEqual(20_000);
  expect(Math.max(...ports)).toBeLessThan(32_000);
});

test('a free port can be listened on', async () => {
  const server = createServer().listen(await freePort(), '127.0.0.1');

  await once(server, 'listening');

  server.close();
});
