// A registry and its token realm behind one address that lets everybody in: what is measured is who asks it, and how often.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface Gateway extends AsyncDisposable {
  readonly url: string;
  readonly certificateAuthority: string;
  /** When each login was tried, epoch milliseconds; an exchange is one of them. */
  readonly logins: readonly number[];
}

const REALM_PATH = '/token';

export async function startGateway(): Promise<Gateway> {
  const authority = await createCertificateAuthority('keyless-pull bench gateway');
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  const logins: number[] = [];
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const isRealm = request.url?.startsWith(REALM_PATH);
    if (isRealm) logins.push(Date.now());
    else response.setHeader('www-authenticate', `Bearer realm="${url}${REALM_PATH}",service="gateway"`);
    response.writeHead(isRealm ? 200 : 401, { 'content-type': 'application/json' });
    response.end('{}');
  });
  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    certificateAuthority: authority.certificate,
    logins,
    [Symbol.asyncDispose]: close,
  };
}
