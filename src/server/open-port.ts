// Opens a server's port, once and for as long as the process lives.
import type { Server } from 'node:net';
import { Problem } from '../problem.ts';
import { errnoText } from '../text-file.ts';
import type { Log } from '../log.ts';

/** @param what names the port in the sentence. @throws Problem `port-taken`, also for an address that is not ours */
export async function openPort(
  server: Server,
  { host, port }: { readonly host?: string; readonly port: number },
  what: string,
  log: Log,
): Promise<void> {
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  await listening.catch((cause: unknown) => {
    throw new Problem(
      'port-taken',
      `cannot listen on ${host ?? 'any address'}, ${what} ${port}: ${errnoText(cause)}`,
      { cause },
    );
  });
  // Without descriptors a connection cannot be accepted, which must not be the end of the process.
  server.off('error', reject).on('error', (error) => log.error({ error }, 'port failed'));
}
