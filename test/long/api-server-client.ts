// A client that calls webhooks as kube-apiserver does: HTTP/1.1, at most 25 idle connections for 90 s, nothing sent twice because
// a connection broke, and asked again only after 429 or 5xx with a whole number of seconds in Retry-After, inside its own time.
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { awakeNow } from '../awake-clock.ts';

export interface ApiServerClient extends Disposable {
  /** Resolves to `ok` or to what went wrong. */
  review(path: string, body: string): Promise<string>;
  /** Answers by status, retried ones included. */
  readonly statuses: Map<number, number>;
}

export interface ClientTarget {
  readonly host: string;
  readonly port: number;
  readonly servername: string;
  /** What is trusted for the next connection. */
  trust(): string;
}

/** `timeoutSeconds` of our webhooks. */
const TIMEOUT_MS = 5_000;
const MOST_RETRIES = 10;

/** `sockets` at most at once, of which `idle` are kept when nothing is asked. */
export function createApiServerClient(
  target: ClientTarget,
  { sockets = Infinity, idle = 25 }: { readonly sockets?: number; readonly idle?: number } = {},
): ApiServerClient {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: idle, maxSockets: sockets, timeout: 90_000 });
  const statuses = new Map<number, number>();

  function once(
    path: string,
    body: string,
    ms: number,
  ): Promise<{ status: number; after: string; text: string }> {
    const { host, port, servername, trust } = target;
    const givingUp = deadline(ms);
    const answered = new Promise<{ status: number; after: string; text: string }>((resolve, reject) => {
      const asked = request(
        {
          agent,
          host,
          port,
          servername,
          ca: trust(),
          method: 'POST',
          path: `${path}?timeout=${Math.ceil(TIMEOUT_MS / 1000)}s`,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
          signal: givingUp.signal,
        },
        (answer: IncomingMessage) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => (text += chunk));
          answer.on('error', reject);
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, after: answer.headers['retry-after'] ?? '', text }),
          );
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
    return answered.finally(() => givingUp[Symbol.dispose]());
  }

  return {
    statuses,
    async review(path, body) {
      const endAt = awakeNow() + TIMEOUT_MS;
      try {
        for (let tries = 0; ; tries++) {
          const { status, after, text } = await once(path, body, endAt - awakeNow());
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (status === 200) return text.includes('"uid"') ? 'ok' : `no verdict: ${text.slice(0, 100)}`;
          const mayRetry = (status === 429 || status >= 500) && /^\d+$/.test(after) && tries < MOST_RETRIES;
          const pauseMs = Number(after) * 1000;
          if (!mayRetry || awakeNow() + pauseMs >= endAt) return `${status} ${text.slice(0, 100)}`;
          await sleep(pauseMs);
        }
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : '';
        return `${code} ${error instanceof Error ? error.message : ''}`.trim();
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** What stands still with the machine is no lateness of who answers. */
function deadline(ms: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const endAt = awakeNow() + ms;
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const left = Math.ceil(endAt - awakeNow());
    if (left > 0) timer = setTimeout(look, left);
    else controller.abort(new DOMException('no answer in time', 'TimeoutError'));
  };
  timer = setTimeout(look, Math.max(1, Math.ceil(ms)));
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

/** What went wrong, by kind: an empty one is what every drill wants. */
export function countOutcomes(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}
