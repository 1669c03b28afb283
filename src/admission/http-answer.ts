// How an answer leaves: at once, whole, and without taking the connection away from under it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LARGEST_REVIEW_BYTES } from './review.ts';
import type { Problem } from '../problem.ts';

/** The review that answers, with 200. */
export function answer(response: ServerResponse, text: string): void {
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** `{ code, message }` and no verdict: the API server's failurePolicy decides, or it asks again where it is told when. */
export function refuse(
  response: ServerResponse,
  status: number,
  { code, message }: Problem,
  headers: Record<string, string> = {},
): void {
  // The client may be gone.
  if (response.headersSent || response.destroyed) return;
  const request = response.req;
  const text = JSON.stringify({ code, message });
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    // It asks again on the same connection, thus the same replica, unless that is closed; and 0 would spend all its
    // ten tries at once.
    ...(status === 503 && { 'retry-after': '1' }),
    ...((status === 503 || !request.complete) && { connection: 'close' }),
    ...headers,
  });
  if (request.complete) response.end(text);
  else endAfterBody(request, response, text);
}

/**
 * The whole answer goes out at once, but the connection ends only with the body: closing it while bytes come in would
 * take the answer back. As much as a review may have is thrown away, then the connection is cut.
 */
function endAfterBody(request: IncomingMessage, response: ServerResponse, text: string): void {
  response.write(text);
  let received = 0;
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received > LARGEST_REVIEW_BYTES) request.destroy();
  });
  request.on('error', () => undefined);
  request.once('end', () => response.end());
  request.resume();
}
