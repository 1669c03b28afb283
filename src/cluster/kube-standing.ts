// Who we are to the API server and whom we take it for, as the files say by now: read again every ten seconds, and at once
// when one of the two was not accepted. What changes gets connections of its own; what goes on over the old ones goes on.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import { isProblem } from '../problem.ts';
import type { Clock } from '../clock.ts';

/** Where the API server is, and what proves who each of us is. */
export interface KubeServer {
  readonly url: string;
  /** Namespace of the current context. */
  readonly namespace: string | undefined;
  /** The proxy that the kubeconfig names, an http or https URL; absent: none. */
  readonly proxy?: string;
  /** Whom we act as; absent: ourselves. */
  readonly impersonated?: string;
  /** `anew`: what was read last was not accepted, so nothing that was read before counts. */
  credentials(anew: boolean): Promise<KubeCredentials>;
}

export interface KubeCredentials {
  /** `ca`, `cert`, `key` and their kin, as node:tls takes them. */
  readonly tls: Readonly<Record<string, unknown>>;
  /** The Authorization header; undefined where a client certificate does it all. */
  readonly authorization: string | undefined;
}

/** What one request is sent with. The same object as long as nothing has changed. */
export interface Standing extends KubeCredentials {
  readonly agent: Dispatcher;
}

export interface KubeStanding extends AsyncDisposable {
  /** @param refused what was not accepted, by the API server or by us: then another one, if there is one by now */
  current(refused?: Standing): Promise<Standing>;
}

/** How long what was read may be used: token files are replaced at 80 % of an hour. */
const FRESH_MS = 10_000;
/** A crowd of refused calls reads once, and runs a kubeconfig's plugin once. */
const REFUSED_MS = 500;
/** TCP and TLS together; an API server that is up and busy needs a second. */
const CONNECT_MS = 10_000;

export function createKubeStanding(server: KubeServer, connections: number, clock: Clock): KubeStanding {
  let standing: Standing | undefined;
  let readAt = -Infinity;
  let readAnewAt = -Infinity;
  let reading: Promise<Standing> | undefined;
  const agents = new Set<Dispatcher>();

  function open(tls: KubeCredentials['tls']): Dispatcher {
    const options: Agent.Options = {
      // Over HTTP/2 `connections` bounds nothing, and one lost connection would take all watches with it.
      allowH2: false,
      connections,
      bodyTimeout: 0,
      headersTimeout: 60_000,
    };
    const connect = { ...tls, timeout: CONNECT_MS };
    const agent =
      server.proxy === undefined
        ? new Agent({ ...options, connect })
        : new ProxyAgent({ ...options, uri: server.proxy, requestTls: connect });
    agents.add(agent);
    return agent;
  }

  /** Its calls and watches end in their own time. */
  function retire(agent: Dispatcher): void {
    void agent
      .close()
      .catch(() => undefined)
      .finally(() => agents.delete(agent));
  }

  async function read(anew: boolean): Promise<Standing> {
    const { authorization, tls } = await server.credentials(anew);
    readAt = clock.monotonic();
    const before = standing;
    if (!before) return (standing = { authorization, tls, agent: open(tls) });
    const isSameTls = isDeepStrictEqual(tls, before.tls) || !isUsable(tls);
    if (isSameTls && authorization === before.authorization) return before;
    if (isSameTls) return (standing = { ...before, authorization });
    standing = { authorization, tls, agent: open(tls) };
    retire(before.agent);
    return standing;
  }

  return {
    async current(refused) {
      const now = clock.monotonic();
      const isRefused = refused !== undefined && refused === standing;
      if (standing && (isRefused ? now - readAnewAt < REFUSED_MS : now - readAt < FRESH_MS)) return standing;
      if (isRefused && !reading) readAnewAt = now;
      reading ??= read(isRefused).finally(() => (reading = undefined));
      try {
        return await reading;
      } catch (error) {
        // A file that is just being replaced is no reason to give up what is still accepted.
        if (!standing || isRefused || !isProblem(error, 'file-unreadable')) throw error;
        readAt = now;
        return standing;
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...agents].map((agent) => agent.destroy()));
    },
  };
}

/** Half a file, or a key beside another's certificate: the old pair is better. */
function isUsable(tls: KubeCredentials['tls']): boolean {
  const { ca } = tls;
  try {
    // node:tls takes an authority that is none for one that signs nothing.
    if (typeof ca === 'string' || Buffer.isBuffer(ca)) new X509Certificate(ca);
    createSecureContext(tls);
    return true;
  } catch {
    return false;
  }
}
