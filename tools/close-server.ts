// The end of a server of tests, whoever is connected to it.
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Called when the server has been made; what it returns ends the server with every connection. `closeAllConnections` knows none
 * whose TLS is not settled yet: one such, used on and on by its client, would keep the server open for ever.
 */
export function closerOf(server: Server): () => Promise<void> {
  const connections = new Set<Duplex>();
  server.on('connection', (connection: Duplex) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });
  return async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of connections) connection.destroy();
    await closed;
  };
}
