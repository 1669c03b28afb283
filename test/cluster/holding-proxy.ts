// A TLS proxy that can hold one call before it is passed on, or its answer when all is done: whoever is killed meanwhile has
// died exactly there.
import { once } from 'node:events';
import { Agent, createServer, request as send } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { CertificatePair } from '../../tools/certificates.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface PassingCall {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
}

export interface Hold {
  /** `before`: it is never passed on. `after`: it has been answered, and the answer is never passed on. */
  readonly when: 'before' | 'after';
  matches(call: PassingCall): boolean;
}

export interface HoldingProxy extends AsyncDisposable {
  /** `https://127.0.0.1:<port>`. */
  readonly url: string;
  /** Holds the first call that matches, and no other. Resolves with it, as soon as it is held. */
  hold(hold: Hold): Promise<PassingCall>;
}

export interface HoldingProxyOptions {
  /** Scheme, host and port. */
  readonly target: string;
  /** PEM of the authority of the target. */
  readonly targetAuthority: string;
  /** For 127.0.0.1. */
  readonly pair: CertificatePair;
  /** Told of each POST that is about to be passed on. */
  onCall?(call: PassingCall): void;
  /** Told of the answer to each POST, also of one that is held. */
  onAnswer?(call: PassingCall, status: number, body: string): void;
}

export async function createHoldingProxy(options: HoldingProxyOptions): Promise<HoldingProxy> {
  const { target, targetAuthority, pair, onCall, onAnswer } = options;
  const agent = new Agent({ ca: targetAuthority, keepAlive: true });
  let armed: { hold: Hold; held: (call: PassingCall) => void } | undefined;

  function take(when: Hold['when'], call: PassingCall): ((call: PassingCall) => void) | undefined {
    if (armed?.hold.when !== when || !armed.hold.matches(call)) return undefined;
    const { held } = armed;
    armed = undefined;
    return held;
  }

  async function pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await text(incoming);
    const { method = 'GET', headers } = incoming;
    const url = new URL(incoming.url ?? '/', target);
    const call = { method, path: url.pathname, query: url.searchParams, body };
    const heldBefore = take('before', call);
    if (heldBefore) return heldBefore(call);
    const heldAfter = take('after', call);
    if (method === 'POST') onCall?.(call);
    const forwarded = send(url, { agent, method, headers: { ...headers, host: url.host } });
    // A watch whose reader has died ends with it.
    outgoing.once('close', () => forwarded.destroy());
    forwarded.end(body);
    const [answer] = (await once(forwarded, 'response')) as [IncomingMessage];
    const { statusCode: status = 502, headers: answered } = answer;
    if (method !== 'POST' && !heldAfter) {
      outgoing.writeHead(status, answered);
      answer.pipe(outgoing);
      return;
    }
    const content = await text(answer);
    if (method === 'POST') onAnswer?.(call, status, content);
    if (heldAfter) return heldAfter(call);
    outgoing.writeHead(status, answered).end(content);
  }

  const server = createServer({ key: pair.key, cert: pair.certificate }, (incoming, outgoing) => {
    // Whoever has died hears nothing any more; whoever lives meets a connection that was cut, as on bad days.
    pass(incoming, outgoing).catch(() => outgoing.destroy());
  });
  const close = closerOf(server);
  // Its clients reuse a connection whenever the target would let them.
  server.keepAliveTimeout = 120_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold(hold) {
      const { promise, resolve } = Promise.withResolvers<PassingCall>();
      armed = { hold, held: resolve };
      return promise;
    },
    async [Symbol.asyncDispose]() {
      await close();
      agent.destroy();
    },
  };
}
