// A Service as kube-proxy makes one: each new connection goes to one of the endpoints of the moment, and stays there for as long as
// it lives, also when its endpoint has been taken away.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface Balancer extends AsyncDisposable {
  readonly port: number;
  /** Where the next connections go. */
  endpoints: readonly { readonly host: string; readonly port: number }[];
}

export async function openBalancer(): Promise<Balancer> {
  let nth = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (incoming) => {
    const { endpoints } = balancer;
    const endpoint = endpoints[nth++ % endpoints.length];
    if (!endpoint) return void incoming.destroy();
    const outgoing = connect({ ...endpoint, allowHalfOpen: true });
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.once('close', () => {
        sockets.delete(one);
        other.destroySoon();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const balancer: Balancer = {
    port: (server.address() as AddressInfo).port,
    endpoints: [],
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return balancer;
}
