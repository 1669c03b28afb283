// Opens the port, and closes it without cutting off an answer.
import { createServer as createHttpServer } from 'node:http';
import type { ServerOptions } from 'node:https';
import { createServer as createHttpsServer } from 'node:https';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { errnoText } from '../text-file.ts';
import type { Log } from '../log.ts';
import { Problem } from '../problem.ts';
import type { Certificate, CertificatePair } from '../server/certificate.ts';

export interface Listener extends AsyncDisposable {
  /** With the port that was opened; where every address is listened on, as localhost. */
  readonly url: string;
}

/** Longer than the longest time that a failed login is held back. */
const DRAIN_MS = 5000;

/** Far more than the kubelets of a large cluster open at once, and a bound on what a flood can hold. */
const MOST_CONNECTIONS = 2048;

/**
 * Listens with TLS when there is a certificate, whose later pairs are taken for new connections; else in the clear.
 * `port` 0 takes any free one. Disposing lets running requests finish for 5 s.
 * @throws Problem `port-taken`, or `certificate-unreadable` when key and certificate do not fit
 */
export async function listen({
  handler,
  host,
  port,
  tls,
  clock,
  log,
}: {
  handler: RequestListener;
  host: string | undefined;
  port: number;
  tls: Pick<Certificate, 'current' | 'onChange'> | undefined;
  clock: Clock;
  log: Log;
}): Promise<Listener> {
  let draining = false;
  const unanswered = new Set<ServerResponse>();
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.setHeader('connection', 'close');
    unanswered.add(response);
    response.once('close', () => unanswered.delete(response));
    handler(request, response);
  };
  const limits = {
    requestTimeout: 15_000,
    headersTimeout: 10_000,
    keepAliveTimeout: 90_000,
    connectionsCheckingInterval: 5_000,
  };
  const secure =
    tls && secureServer({ ...limits, handshakeTimeout: 10_000, ...contextOf(tls.current()) }, serve);
  const server = secure ?? createHttpServer(limits, serve);
  const ignoreChanges = tls?.onChange((pair) => {
    try {
      secure?.setSecureContext(contextOf(pair));
    } catch (error) {
      log.warn({ error }, 'certificate not taken');
    }
  });
  server.maxConnections = MOST_CONNECTIONS;
  // closeAllConnections knows those alone whose TLS is settled.
  const connections = new Set<Socket>();
  server.on('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new Problem(
          'port-taken',
          `cannot listen on ${host ?? 'any address'}, port ${port}: ${errnoText(cause)}`,
          { cause },
        ),
      );
    });
    server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  });
  // Without descriptors a connection cannot be accepted, which must not be the end of the process.
  server.removeAllListeners('error').on('error', (error) => log.error({ error }, 'port failed'));
  const { port: opened } = server.address() as AddressInfo; // a string only for pipes
  const name = host === undefined ? 'localhost' : host.includes(':') ? `[${host}]` : host;

  return {
    url: `${tls ? 'https' : 'http'}://${name}:${opened}`,
    async [Symbol.asyncDispose]() {
      ignoreChanges?.();
      draining = true;
      // Otherwise the client keeps the connection, and closing waits for it.
      for (const response of unanswered) if (!response.headersSent) response.setHeader('connection', 'close');
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const patience = new AbortController();
      const late = clock.sleep(DRAIN_MS, patience.signal).catch(() => undefined);
      await Promise.race([closed, late]);
      patience.abort();
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
}

function secureServer(options: ServerOptions, serve: RequestListener) {
  try {
    return createHttpsServer(options, serve);
  } catch (cause) {
    throw new Problem('certificate-unreadable', 'the serving certificate and its key cannot be used', {
      cause,
    });
  }
}

function contextOf({ certificate, key }: CertificatePair) {
  return { cert: certificate, key: key.reveal(), minVersion: 'TLSv1.2' } as const;
}
