// Writes what was decided, as JSON that nothing on the way may keep.
import type { ServerResponse } from 'node:http';
import type { ErrorAnswer } from './error-answer.ts';
import { errorBody } from './error-answer.ts';

export function answerError(
  response: ServerResponse,
  error: ErrorAnswer,
  headers: Record<string, string> = {},
): void {
  const retry =
    error.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfterMs / 1000)) };
  answer(response, error.status, errorBody(error), { ...headers, ...retry });
}

export function answer(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(text);
}
