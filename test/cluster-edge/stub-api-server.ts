// An API server that misbehaves on demand, over real TLS. For faults alone: how a good one behaves, the cluster contract
// asks a real one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createKubeConnection, type KubeConnection } from '../../src/cluster/kube-connection.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { createHandClock, type HandClock } from '../fakes/hand-clock.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface StubRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  /** Common name of the client's certificate; undefined without one. */
  readonly client: string | undefined;
  readonly body: unknown;
  /** True once the client has broken off. */
  readonly isAborted: boolean;
  answer(status: number, body: unknown, headers?: Readonly<Record<string, string>>): void;
  /** A Kubernetes Status. */
  refuse(code: number, reason: string, more?: Readonly<Record<string, unknown>>): void;
  /** Begins the answer to a watch. */
  watch(): StubWatch;
  /** Cuts the connection. */
  reset(): void;
}

export interface StubWatch {
  send(type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR', object: unknown): void;
  /** As it is, with no line end of its own. */
  write(raw: string | Buffer): void;
  end(): void;
}

export interface StubApiServer extends AsyncDisposable {
  readonly url: string;
  /** Of the certificate that new connections are shown. */
  readonly certificateAuthority: string;
  readonly folder: string;
  /** All requests so far, in order. */
  readonly requests: readonly StubRequest[];
  /** What becomes of a request; one that is not answered hangs. */
  handle: (request: StubRequest) => void;
  readonly clock: HandClock;
  /** A connection as the product makes one; `tls` replaces the trust in this server's authority. */
  connect(tls?: Readonly<Record<string, unknown>>): KubeConnection;
  /** From now on new connections are shown a certificate of another authority; those that are there go on. */
  replaceAuthority(): Promise<void>;
  /** From now on nothing listens at the address. */
  close(): Promise<void>;
  /** Writes a file into a folder of the test's own and returns its path. */
  write(name: string, content: string): string;
}

export async function startStubApiServer(): Promise<StubApiServer> {
  const clock = createHandClock();
  const prove = async () => {
    const authority = await createCertificateAuthority('stub API server');
    const { certificate, key } = await authority.issue(['127.0.0.1', 'localhost']);
    return { authority, pair: { cert: certificate, key } };
  };
  let { authority, pair } = await prove();
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-stub-'));
  const requests: StubRequest[] = [];
  const connections: KubeConnection[] = [];
  const clients = { requestCert: true, rejectUnauthorized: false };
  const server = createServer({ ...pair, ...clients }, (request, response) => {
    void read(request, response).then((stubRequest) => {
      requests.push(stubRequest);
      stub.handle(stubRequest);
    });
  });
  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  const stub: StubApiServer = {
    url: `https://127.0.0.1:${port}`,
    get certificateAuthority() {
      return authority.certificate;
    },
    folder,
    requests,
    handle: (request) => request.refuse(404, 'NotFound'),
    clock,
    connect(tls = { ca: authority.certificate }) {
      const credentials = async () => ({ tls, authorization: 'Bearer stub' });
      const connection = createKubeConnection({ url: stub.url, namespace: undefined, credentials }, clock);
      connections.push(connection);
      return connection;
    },
    async replaceAuthority() {
      ({ authority, pair } = await prove());
      server.setSecureContext({ ...pair, ...clients });
    },
    close,
    write(name, content) {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
      await stub.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return stub;
}

async function read(request: IncomingMessage, response: ServerResponse): Promise<StubRequest> {
  const url = new URL(request.url ?? '', 'https://stub');
  const body = await text(request);
  let isAborted = false;
  response.once('close', () => {
    isAborted = !response.writableFinished;
  });
  const answer: StubRequest['answer'] = (status, content, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof content === 'string' ? content : JSON.stringify(content));
  };
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    authorization: request.headers.authorization,
    client: (request.socket as TLSSocket).getPeerCertificate().subject?.CN?.toString(),
    body: body === '' ? undefined : JSON.parse(body),
    get isAborted() {
      return isAborted;
    },
    answer,
    refuse: (code, reason, more = {}) =>
      answer(code, {
        kind: 'Status',
        apiVersion: 'v1',
        status: 'Failure',
        code,
        reason,
        message: reason,
        ...more,
      }),
    watch() {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      return {
        send: (type, object) => void response.write(`${JSON.stringify({ type, object })}\n`),
        write: (raw) => void response.write(raw),
        end: () => void response.end(),
      };
    },
    reset: () => void request.socket.destroy(),
  };
}

const REAL_DEADLINE_MS = 60_000;

/** Waits for what real sockets bring about; the clock stands still unless `tickMs` moves it on the way. */
export async function until(
  what: string,
  happened: () => boolean,
  { clock, tickMs = 0 }: { readonly clock?: HandClock; readonly tickMs?: number } = {},
): Promise<void> {
  const startedAt = performance.now();
  while (!happened()) {
    if (performance.now() - startedAt > REAL_DEADLINE_MS) throw new Error(`it did not happen: ${what}`);
    if (clock && tickMs > 0) await clock.advance(tickMs);
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
