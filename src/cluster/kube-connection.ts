// Every byte to and from the API server: one shared pool, at most 16 calls in flight, 429 obeyed, foreign errors
// translated once. Who we are comes from kube-cluster.ts.
import { request as send, type Dispatcher } from 'undici';
import { Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { readBody, splitLines } from './kube-body.ts';
import { createCallGate, type CallPriority } from './call-gate.ts';
import { isCertificateFault, statusProblem, transportProblem } from './kube-problem.ts';
import { createKubeStanding, type KubeServer, type Standing } from './kube-standing.ts';
import type { Clock } from '../clock.ts';
import type { CallOptions } from './cluster.ts';

export interface KubeCall extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path, its variable parts made by `pathTo`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** `application/json` when absent. */
  readonly accept?: string;
  /** Wins over `urgent`. `vital` waits for no other call: the Lease, of which there is never more than one at a time. */
  readonly priority?: CallPriority | 'vital';
  /**
   * Sees a refusal's own words before they are dropped: to tell our fences' demands apart, never to show them. And the
   * token with which a list that the API server has forgotten goes on.
   */
  readonly onRefused?: (message: string, continueToken: string) => void;
}

export interface KubeConnection extends AsyncDisposable {
  /** The parsed answer. @throws Problem of the cluster-… family, namespace-refused, quota-exceeded or deadline */
  call(call: KubeCall): Promise<unknown>;
  /** The lines of a watch; ends when the API server ends it. @throws Problem like `call` */
  lines(call: Pick<KubeCall, 'path' | 'query' | 'signal'>): AsyncIterable<string>;
}

/** ServiceAccounts share the priority level `workload-low`: 1,000 cold pods with unbounded calls were answered 973 times with 429, with 16 never. */
const CALLS_IN_FLIGHT = 16;
/** Watches have connections of their own beside the calls: five of them, and as many again while one replaces another. */
const CONNECTIONS = CALLS_IN_FLIGHT + 10;
/** An API server answers a watch at once, if need be after a wait for its turn of 15 s; silence is a connection that is dead. */
const WATCH_OPENS_MS = 20_000;

/** A path below the API server with each variable part encoded. */
export function pathTo(parts: TemplateStringsArray, ...names: string[]): string {
  return String.raw({ raw: parts }, ...names.map(encodeURIComponent));
}

export function createKubeConnection(server: KubeServer, clock: Clock): KubeConnection {
  const standings = createKubeStanding(server, CONNECTIONS, clock);
  const gate = createCallGate(CALLS_IN_FLIGHT);

  /** A 401 does nothing, and neither does a handshake that failed: asking again is safe, if we stand otherwise by now. */
  async function open(call: Omit<KubeCall, 'urgent'>): Promise<Dispatcher.ResponseData> {
    const standing = await standings.current();
    const answer = await ask(call, standing).catch((problem: Problem) => problem);
    if (answer instanceof Problem ? !isCertificateFault(answer.cause) : answer.statusCode !== 401)
      return accepted(answer);
    const other = await standings.current(standing);
    if (other === standing) return accepted(answer);
    if (!(answer instanceof Problem)) await answer.body.dump();
    return ask(call, other);
  }

  /** Bounds the beginning alone: a watch goes on for as long as its own signal lets it. */
  async function openInTime(call: Omit<KubeCall, 'urgent'>): Promise<Dispatcher.ResponseData> {
    const [late, opened] = [new AbortController(), new AbortController()];
    clock.sleep(WATCH_OPENS_MS, opened.signal).then(
      () => late.abort(),
      () => undefined,
    );
    try {
      return await open({ ...call, signal: AbortSignal.any([call.signal, late.signal]) });
    } finally {
      opened.abort();
    }
  }

  async function ask(
    call: Omit<KubeCall, 'urgent'>,
    { agent, authorization }: Standing,
  ): Promise<Dispatcher.ResponseData> {
    const url = new URL(server.url.replace(/\/$/, '') + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    try {
      return await send(url, {
        method: call.method,
        dispatcher: agent,
        signal: call.signal,
        headers: {
          accept: call.accept ?? 'application/json',
          'user-agent': 'keyless-pull',
          ...(authorization && { authorization }),
          ...(server.impersonated !== undefined && { 'impersonate-user': server.impersonated }),
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
    call.mayStill?.();
    const response = await open(call);
    const body = await readBody(response, call.signal);
    if (response.statusCode < 300) return body;
    const { message, metadata } = fieldsOf(body);
    call.onRefused?.(textOf(message), textOf(fieldsOf(metadata)['continue']));
    throw statusProblem(response.statusCode, body, response.headers['retry-after'], call);
  }

  return {
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
      const response = await openInTime({ method: 'GET', path, signal, ...(query && { query }) });
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
    [Symbol.asyncDispose]: () => standings[Symbol.asyncDispose](),
  };
}

function accepted(answer: Dispatcher.ResponseData | Problem): Dispatcher.ResponseData {
  if (answer instanceof Problem) throw answer;
  return answer;
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
