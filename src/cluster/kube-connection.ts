// Every byte to and from the API server: one shared pool, at most 16 calls in flight, 429 obeyed, foreign errors
// translated once. Who we are comes from kube-cluster.ts.
import { Agent, request as send, type Dispatcher } from 'undici';
import { Problem } from '../problem.ts';
import { fieldsOf } from '../core/pod-view.ts';
import { readBody, splitLines } from './kube-body.ts';
import { createCallGate, type CallPriority } from './call-gate.ts';
import { statusProblem, transportProblem } from './kube-problem.ts';
import type { Clock } from '../clock.ts';
import type { CallOptions } from './cluster.ts';

export interface KubeCall extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path, its variable parts made by `pathTo`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Wins over `urgent`. `vital` waits for no other call: the Lease, of which there is never more than one at a time. */
  readonly priority?: CallPriority | 'vital';
}

export interface KubeConnection extends AsyncDisposable {
  readonly server: KubeServer;
  /** The parsed answer. @throws Problem of the cluster-… family, namespace-refused, quota-exceeded or deadline */
  call(call: KubeCall): Promise<unknown>;
  /** The lines of a watch; ends when the API server ends it. @throws Problem like `call` */
  lines(call: Pick<KubeCall, 'path' | 'query' | 'signal'>): AsyncIterable<string>;
}

/** Where the API server is and how we prove who we are. */
export interface KubeServer {
  readonly url: string;
  /** Namespace of the current context. */
  readonly namespace: string | undefined;
  /** `ca`, `cert`, `key` and their kin, as node:tls takes them. */
  readonly tls: Readonly<Record<string, unknown>>;
  /**
   * The Authorization header; undefined where a client certificate does it all. `anew`: the API server did not accept
   * the last one, so nothing that was read before counts.
   */
  authorization(anew: boolean): Promise<string | undefined>;
}

/** ServiceAccounts share the priority level `workload-low`: 1,000 cold pods with unbounded calls were answered 973 times with 429, with 16 never. */
const CALLS_IN_FLIGHT = 16;
/** Watches have connections of their own beside the calls: five of them, and as many again while one replaces another. */
const CONNECTIONS = CALLS_IN_FLIGHT + 10;
/** How long an Authorization header may be reused: token files are replaced at 80 % of an hour. */
const HEADERS_MS = 10_000;

/** A path below the API server with each variable part encoded. */
export function pathTo(parts: TemplateStringsArray, ...names: string[]): string {
  return String.raw({ raw: parts }, ...names.map(encodeURIComponent));
}

export function createKubeConnection(server: KubeServer, clock: Clock): KubeConnection {
  const agent = new Agent({
    // Over HTTP/2 `connections` bounds nothing, and one lost connection would take all watches with it.
    allowH2: false,
    connections: CONNECTIONS,
    bodyTimeout: 0,
    headersTimeout: 60_000,
    connect: { ...server.tls, timeout: 10_000 },
  });
  const gate = createCallGate(CALLS_IN_FLIGHT);
  let header: { text: string | undefined; at: number } | undefined;

  async function authorization(refused?: string): Promise<string | undefined> {
    const isRefused = refused !== undefined && header?.text === refused;
    if (!header || isRefused || clock.monotonic() - header.at >= HEADERS_MS) {
      header = { text: await server.authorization(isRefused), at: clock.monotonic() };
    }
    return header.text;
  }

  /** A 401 does nothing, so that asking again is safe: once, if there is another credential by now. */
  async function open(call: Omit<KubeCall, 'urgent'>): Promise<Dispatcher.ResponseData> {
    const credential = await authorization();
    const response = await ask(call, credential);
    if (response.statusCode !== 401 || credential === undefined) return response;
    const other = await authorization(credential);
    if (other === credential) return response;
    await response.body.dump();
    return ask(call, other);
  }

  async function ask(
    call: Omit<KubeCall, 'urgent'>,
    credential: string | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const url = new URL(server.url.replace(/\/$/, '') + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    try {
      return await send(url, {
        method: call.method,
        dispatcher: agent,
        signal: call.signal,
        headers: {
          accept: 'application/json',
          'user-agent': 'keyless-pull',
          ...(credential && { authorization: credential }),
          ...(call.body !== undefined && { 'content-type': call.contentType ?? 'application/json' }),
        },
        ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      });
    } catch (cause) {
      throw transportProblem(cause, call.signal);
    }
  }

  async function attempt(call: KubeCall): Promise<unknown> {
    const priority = call.priority ?? (call.urgent ? 'urgent' : 'ordinary');
    using _place = priority === 'vital' ? undefined : await gate.enter(priority, call.signal);
    const response = await open(call);
    const body = await readBody(response, call.signal);
    if (response.statusCode < 300) return body;
    throw statusProblem(response.statusCode, body, response.headers['retry-after'], call);
  }

  return {
    server,
    async call(call) {
      for (;;) {
        try {
          return await attempt(call);
        } catch (error) {
          // 429 means that nothing was done: waiting and asking again is safe for every verb.
          const wait =
            error instanceof Problem && error.code === 'cluster-throttled'
              ? error.details.retryAfterMs
              : undefined;
          if (wait === undefined) throw error;
          await clock.sleep(wait * (1 + clock.random()), call.signal).catch((cause: unknown) => {
            throw transportProblem(cause, call.signal);
          });
        }
      }
    },
    async *lines({ path, query, signal }) {
      const response = await open({ method: 'GET', path, signal, ...(query && { query }) });
      if (response.statusCode >= 300) {
        throw statusProblem(
          response.statusCode,
          await readBody(response, signal),
          response.headers['retry-after'],
          { method: 'GET', path },
        );
      }
      try {
        yield* splitLines(response.body);
      } catch (cause) {
        throw transportProblem(cause, signal);
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

/** The one object of that name, by LIST: no `get` right is needed. */
export async function findOne(
  connection: KubeConnection,
  path: string,
  name: string,
  signal: AbortSignal,
  priority: NonNullable<KubeCall['priority']> = 'urgent',
): Promise<unknown> {
  const query = { fieldSelector: `metadata.name=${name}`, limit: '1' };
  const { items } = fieldsOf(await connection.call({ method: 'GET', path, query, signal, priority }));
  return Array.isArray(items) ? items[0] : undefined;
}
