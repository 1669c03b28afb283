// /metrics on a port of its own, in plain HTTP: scrapers need no rights on the webhook's port. Probes answer here too, for
// a worker that has no other port.
import { createServer, type RequestListener } from 'node:http';
import { openPort } from './open-port.ts';
import type { Health } from './health.ts';
import type { Log } from '../log.ts';

export interface MetricsPort {
  readonly handler: RequestListener;
  readonly health: Pick<Health, 'handler'>;
  /** 0 takes any free one. */
  readonly port: number;
  readonly host?: string;
  readonly log: Log;
}

/** Probes and scrapes say at once what they want; whoever does not holds a descriptor that reviews need. */
const REQUEST_MS = 10_000;

/** @throws Problem `port-taken` */
export async function serveMetrics({
  handler,
  health,
  port,
  host,
  log,
}: MetricsPort): Promise<AsyncDisposable> {
  const limits = {
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    connectionsCheckingInterval: 5_000,
  };
  const server = createServer(limits, (request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path === '/metrics') handler(request, response);
    else health.handler(request, response);
  });
  await openPort(server, { port, ...(host !== undefined && { host }) }, 'metrics port', log);
  return {
    [Symbol.asyncDispose]() {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}
