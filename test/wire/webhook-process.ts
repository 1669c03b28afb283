// The webhook in a process of its own, started by bad-input.test.ts: prints its port, then for each line on stdin the
// heap after garbage collection.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/clock.ts';
import { createAdmissionWorld } from '../fakes/admission-routes.ts';

const world = createAdmissionWorld({ clock: systemClock, write: () => undefined });
// As the real port, longer than a machine stands still: a client would write to a connection that is gone.
const server = createServer({ keepAliveTimeout: 95_000 }, world.handler);
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));

for await (const _line of createInterface({ input: process.stdin })) {
  world.answers.length = 0;
  // Twice, with a turn of the loop between: what the first one's finalizers let go of.
  globalThis.gc?.();
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc?.();
  console.log(process.memoryUsage().heapUsed);
}
server.closeAllConnections();
server.close();
