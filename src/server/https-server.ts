// The HTTPS port: opened once, its certificate exchanged under live connections, closed without cutting off an answer.
import { createServer } from 'node:https';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { openPort } from './open-port.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Certificate, CertificatePair } from './certificate.ts';
import type { Drain } from './drain.ts';
import type { Load } from './load.ts';

export interface HttpsServer extends AsyncDisposable {
  /** The port that was opened, also where 0 was asked for. */
  readonly port: number;
}

export interface HttpsServerTools {
  readonly certificate: Pick<Certificate, 'current' | 'onChange'>;
  readonly handler: RequestListener;
  readonly drain: Drain;
  readonly load: Load;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HttpsServerOptions {
  /** Absent: every address. */
  readonly host?: string;
  /** 0 takes any free one. */
  readonly port: number;
  /**
   * How long all goes on after the stop signal, with every answer closing its connection: until every kube-proxy knows
   * that this replica is gone.
   */
  readonly lingerMs: number;
  /** How long reviews are then sent to other replicas: a port that is shut would fail them instead. */
  readonly refuseMs: number;
}

/** The API server closes its idle connections after 90 s; who closes first must be it, or a review is lost on the way. */
const KEEP_ALIVE_MS = 95_000;
/** A whole request, headers and body: longer than any webhook may take (30 s at most, ours 5 s) is nobody's need. */
const REQUEST_MS = 15_000;
const HANDSHAKE_MS = 10_000;
/** For answers that are on their way when the port shuts. */
const LAST_ANSWERS_MS = 2_000;

/**
 * Listens until disposed; disposing drains first. @throws Problem `port-taken`, also for an address that is not ours
 */
export async function createHttpsServer(
  tools: HttpsServerTools,
  options: HttpsServerOptions,
): Promise<HttpsServer> {
  const { certificate, handler, drain, load, clock, log } = tools;
  const server = createServer(
    {
      ...contextOf(certificate.current()),
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: 5_000,
      handshakeTimeout: HANDSHAKE_MS,
    },
    (request, response) => {
      if (drain.phase() !== 'serving') response.setHeader('connection', 'close');
      response.once('close', load.begin());
      handler(request, response);
    },
  );
  server.maxConnections = load.mostConnections;
  // closeAllConnections knows those alone whose TLS is settled.
  const connections = new Set<Duplex>();
  server.on('connection', (connection) => {
    load.connected(connection);
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });
  const ignoreChanges = certificate.onChange((pair) => {
    try {
      server.setSecureContext(contextOf(pair));
    } catch (error) {
      log.warn({ error }, 'certificate not taken');
    }
  });

  await openPort(server, options, 'port', log);

  return {
    port: (server.address() as AddressInfo).port, // a string only for pipes
    async [Symbol.asyncDispose]() {
      ignoreChanges();
      drain.close();
      await clock.sleep(options.lingerMs);
      // A client drops what it sees closed, and opens another to a replica that stays; used again it would be answered 503.
      server.closeIdleConnections();
      drain.refuse();
      await clock.sleep(options.refuseMs);
      // Shuts the port and the idle connections; the busy ones would be served for ever.
      const closed = new Promise<void>((done) => server.close(() => done()));
      const patience = new AbortController();
      await Promise.race([closed, clock.sleep(LAST_ANSWERS_MS, patience.signal).catch(() => undefined)]);
      patience.abort();
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
}

function contextOf({ certificate, key }: CertificatePair) {
  return { cert: certificate, key: key.reveal(), minVersion: 'TLSv1.2' } as const;
}
