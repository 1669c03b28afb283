// One HTTPS request and its answer. The only file of registry/ that touches a socket, and one of the few in which a secret
// becomes text: https alone, no redirects, bounded bodies, the rule's own CA, the environment's proxy.
import type * as https from 'node:https';
import type { Duplex } from 'node:stream';
import { SecretText } from '../secret-text.ts';
import type { RequestFields } from './registry-family.ts';

export interface HttpRequest {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: RequestFields;
  readonly body: string | SecretText;
  /** PEM; absent: the system's. */
  readonly certificateAuthority: string | undefined;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  header(name: string): string | undefined;
}

/** Rejects with the network's own error, an AbortError, or AnswerTooLarge. */
export type HttpCall = (wish: HttpRequest) => Promise<HttpAnswer>;

export class AnswerTooLarge extends Error {}

/** Every answer of every protocol here is below 20 KiB. */
const LARGEST_ANSWER_BYTES = 256 * 1024;
/** One agent per CA; more CAs than this are a config that changes, and the agents of old ones are given up. */
const MOST_AGENTS = 64;

type Https = typeof https;

/** Agents hand all options of a request to what makes its connection. */
interface Options extends https.RequestOptions {
  onConnection?(connection: Duplex): void;
}

/** `proxy`: HTTPS_PROXY, NO_PROXY and their lower-case twins. */
export function createHttpCall(proxy: Readonly<Record<string, string | undefined>> = {}): HttpCall {
  const agents = new Map<string, https.Agent>();

  function agentFor({ Agent }: Https, certificateAuthority = ''): https.Agent {
    const known = agents.get(certificateAuthority);
    if (known) return known;
    if (agents.size >= MOST_AGENTS) agents.clear();
    const agent = new Agent({
      keepAlive: true,
      scheduling: 'lifo',
      timeout: 60_000,
      maxSockets: 16,
      proxyEnv: proxy,
      ...(certificateAuthority && { ca: certificateAuthority }),
    });
    const { createConnection } = agent;
    agent.createConnection = (options: Options, done) => {
      const connection = createConnection.call(agent, options, done);
      if (connection) options.onConnection?.(connection);
      return connection;
    };
    agents.set(certificateAuthority, agent);
    return agent;
  }

  return async (wish) => {
    // A host without https never gets here by a config; a bug must not be the first to learn it.
    if (wish.url.protocol !== 'https:') throw new TypeError('only https is spoken here');
    // Who exchanges nothing, as a plugin that is asked for a host of no rule, need not load it: a third of its start.
    const tools = await import('node:https');
    return await send(tools, wish, agentFor(tools, wish.certificateAuthority));
  };
}

function send(
  { request }: Https,
  { url, method, headers, body, signal }: HttpRequest,
  agent: https.Agent,
): Promise<HttpAnswer> {
  const text = body instanceof SecretText ? body.reveal() : body;
  let connection: Duplex | undefined;
  const options: Options = {
    agent,
    onConnection: (made) => (connection = made),
    method,
    signal,
    headers: {
      ...revealed(headers),
      ...(method === 'POST' && { 'content-length': Buffer.byteLength(text) }),
    },
  };
  return new Promise((resolve, reject) => {
    // Node ends a request only once it has a connection: in the agent's queue or at a proxy that stalls it has none.
    const end = () => {
      reject(new DOMException('the request was ended', 'AbortError'));
      // Else a proxy that stalls is waited for by the process, which cannot end, and the connection is never given back.
      if (connection && !outgoing.socket) connection.destroy();
    };
    if (signal.aborted) return end();
    signal.addEventListener('abort', end, { once: true });
    const outgoing = request(url, options, (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size <= LARGEST_ANSWER_BYTES) return;
        reject(new AnswerTooLarge());
        incoming.destroy();
      });
      incoming.on('error', (error) => reject(bare(error)));
      incoming.on('end', () => {
        if (!incoming.complete) return; // an error follows
        resolve({
          status: incoming.statusCode ?? 0,
          // Unlike a buffer it leaves out the byte order mark, before which JSON.parse gives up.
          text: new TextDecoder().decode(Buffer.concat(chunks)),
          header: (name) => {
            const value = incoming.headers[name];
            return Array.isArray(value) ? value[0] : value;
          },
        });
      });
    });
    outgoing.on('error', (error) => reject(bare(error)));
    // After whatever else there is; an answer that changes the protocol ends without any.
    outgoing.on('close', () => {
      // The connection may be another request's next.
      signal.removeEventListener('abort', end);
      reject(new Error('the answer was cut'));
    });
    outgoing.end(text);
  });
}

/** Name and code alone: Node's messages quote what a proxy said, and its parser's errors keep the bytes they stopped at. */
function bare({ name, code }: NodeJS.ErrnoException): Error {
  return Object.assign(new Error('the request failed'), { name, code });
}

function revealed(headers: RequestFields): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name] = value instanceof SecretText ? value.reveal() : value;
  }
  return plain;
}
