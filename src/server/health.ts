// Alive, and ready or why not: JSON that a person can read, for the kubelet's probes.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

/** Undefined when all is well, else one sentence. Called for each probe, so it only looks at what is known. */
export type ReadinessCheck = () => string | undefined;

export interface Health {
  /** Registers a check under a name that operators see; returns what takes it back. */
  check(name: string, check: ReadinessCheck): () => void;
  /** Answers GET /healthz and GET /readyz. */
  readonly handler: RequestListener;
}

/**
 * `/healthz` is 200 as long as the process answers at all: a restart cures nothing that a check could see. `/readyz` is
 * 503 with the names and reasons of what is not ready.
 */
export function createHealth(): Health {
  const checks = new Map<string, ReadinessCheck>();

  /** What is not ready, by name; empty when all is. */
  function waiting(): Record<string, string> {
    const reasons: Record<string, string> = {};
    for (const [name, check] of checks) {
      const reason = check();
      if (reason !== undefined) reasons[name] = reason;
    }
    return reasons;
  }

  function handler(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url?.split('?', 1)[0];
    if (path === '/healthz') return answer(response, 200, { status: 'ok' });
    if (path !== '/readyz') return answer(response, 404, { status: 'unknown path' });
    const reasons = waiting();
    const ready = Object.keys(reasons).length === 0;
    answer(
      response,
      ready ? 200 : 503,
      ready ? { status: 'ready' } : { status: 'waiting', waiting: reasons },
    );
  }

  return {
    check(name, check) {
      checks.set(name, check);
      return () => checks.delete(name);
    },
    handler,
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}
