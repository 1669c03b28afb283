// /metrics on a port of its own, in plain HTTP: scrapers need no rights on the webhook's port. Probes answer here too, for
// a worker that has no other port.
import { createServer, type RequestListener } from 'node:http';
import { Problem } from '../problem.ts';
import { errnoText } from '../text-file.ts';
import type { Health } from './health.ts';

export interface MetricsPort {
  readonly handler: RequestListener;
  readonly health: Pick<Health, 'handler'>;
  /** 0 takes any free one. */
  readonly port: number;
  readonly host?: string;
}

/** @throws Problem `port-taken` */
export async function serveMetrics({ handler, health, port, host }: MetricsPort): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path === '/metrics') handler(request, response);
    else health.handler(request, response);
  });
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  await listening.catch((cause: unknown) => {
    throw new Problem(
      'port-taken',
      `cannot listen on ${host ?? 'any address'}, metrics port ${port}: ${errnoText(cause)}`,
      { cause },
    );
  });
  return {
    [Symbol.asyncDispose]() {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}
