// A TCP proxy in front of an API server, which a test breaks: half open, held up, slow, reset. TLS passes through it as it is.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * `hold`: bytes wait, both ways, until they may pass, even those of a client that has gone meanwhile. `swallow`: bytes
 * vanish and nothing is closed, as where a firewall has forgotten the connection; there is no way back. `reset`: it is cut.
 */
export type Passage = 'pass' | 'hold' | 'swallow' | 'reset';

export interface ProxiedConnection {
  readonly passage: Passage;
  set(passage: Passage): void;
}

export interface BreakableProxy extends AsyncDisposable {
  /** https, because that is what passes through. */
  readonly url: string;
  /** Those that are open, oldest first. */
  readonly connections: readonly ProxiedConnection[];
  /** What becomes of connections that come from now on. */
  admit: Passage;
  /** For how long every piece is on its way. */
  delayMs: number;
  /** All that are open, and all that come. */
  set(passage: Passage): void;
}

export async function startBreakableProxy(target: string): Promise<BreakableProxy> {
  const { hostname, port } = new URL(target);
  const open = new Set<ProxiedConnection & { end(): void }>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (proxy.admit === 'reset') return void client.resetAndDestroy();
    const upstream = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    const connection = join(client, upstream, proxy.admit, () => proxy.delayMs);
    open.add(connection);
    const forget = () => {
      if (client.destroyed && upstream.destroyed) open.delete(connection);
    };
    client.once('close', forget);
    upstream.once('close', forget);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const proxy: BreakableProxy = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return [...open];
    },
    admit: 'pass',
    delayMs: 0,
    set(passage) {
      proxy.admit = passage;
      for (const connection of open) connection.set(passage);
    },
    async [Symbol.asyncDispose]() {
      for (const connection of open) connection.end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

function join(client: Socket, upstream: Socket, admitted: Passage, delayMs: () => number) {
  let passage = admitted;
  const flows = [
    flow(client, upstream, () => passage, delayMs),
    flow(upstream, client, () => passage, delayMs),
  ];
  const end = () => {
    client.destroy();
    upstream.destroy();
  };
  return {
    get passage() {
      return passage;
    },
    set(next: Passage) {
      if (passage === 'swallow') return;
      passage = next;
      if (next === 'reset') {
        client.resetAndDestroy();
        upstream.resetAndDestroy();
      }
      if (next === 'pass') for (const release of flows) release();
    },
    end,
  };
}

/** One direction. @returns what lets pass what was held */
function flow(from: Socket, to: Socket, passage: () => Passage, delayMs: () => number): () => void {
  const held: (Buffer | 'end')[] = [];
  const deliver = (piece: Buffer | 'end') => {
    if (to.destroyed) return;
    if (piece === 'end') to.end();
    else to.write(piece);
  };
  const take = (piece: Buffer | 'end') => {
    if (passage() === 'hold') held.push(piece);
    else if (passage() === 'pass' && delayMs() > 0) setTimeout(deliver, delayMs(), piece);
    else if (passage() === 'pass') deliver(piece);
  };
  from.on('data', take);
  from.on('end', () => take('end'));
  // Whoever breaks off has gone; what the other side does not hear of, it does not know.
  from.on('error', () => undefined);
  from.on('close', () => {
    if (passage() === 'pass') setTimeout(() => to.destroy(), delayMs());
  });
  return () => {
    for (const piece of held.splice(0)) deliver(piece);
  };
}
