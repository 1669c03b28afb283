// Stands before an API server with a certificate of its own, passes requests on, and answers them with 429 while it is told to.
import { readFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ApiServerAddress } from '../../tools/api-client.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface FrontRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly isThrottled: boolean;
  /** By `performance.now()`. */
  readonly at: number;
}

export interface ThrottlingFront extends AsyncDisposable {
  readonly url: string;
  /** PEM. */
  readonly certificateAuthority: string;
  readonly requests: readonly FrontRequest[];
  /** Seconds for Retry-After; undefined: everything passes. What goes on already, a watch for one, is left alone. */
  retryAfter: number | undefined;
}

export async function startThrottlingFront(behind: ApiServerAddress): Promise<ThrottlingFront> {
  const authority = await createCertificateAuthority('throttling front');
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  const ca = readFileSync(behind.certificateAuthorityFile, 'utf8');
  const requests: FrontRequest[] = [];
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const { method = '', url = '' } = request;
    const isThrottled = front.retryAfter !== undefined;
    requests.push({ method, path: url.split('?', 1)[0] ?? '', isThrottled, at: performance.now() });
    if (!isThrottled) return passOn(request, response);
    request.resume();
    response.writeHead(429, { 'retry-after': String(front.retryAfter), 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', code: 429, reason: 'TooManyRequests' }));
  });

  function passOn(request: IncomingMessage, response: ServerResponse): void {
    const { method, headers } = request;
    const asked = ask(new URL(request.url ?? '/', behind.url), { method, headers, ca }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on('error', () => response.destroy());
      answer.pipe(response);
    });
    asked.on('error', () => response.destroy());
    response.on('close', () => asked.destroy());
    request.pipe(asked);
  }

  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const front: ThrottlingFront = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    certificateAuthority: authority.certificate,
    requests,
    retryAfter: undefined,
    [Symbol.asyncDispose]: close,
  };
  return front;
}
