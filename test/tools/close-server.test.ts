import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { closerOf } from '../../tools/close-server.ts';

test('a server of tests ends at once, also with a connection that has not begun its TLS', async () => {
  const authority = await createCertificateAuthority('closing');
  const { certificate: cert, key } = await authority.issue(['127.0.0.1']);
  const server = createServer({ cert, key });
  const close = closerOf(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const silent = connect((server.address() as AddressInfo).port, '127.0.0.1');
  silent.on('error', () => undefined);
  await once(server, 'connection');

  await close();

  expect(server.listening).toBe(false);
  silent.destroy();
});
