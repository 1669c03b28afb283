// The certificate that the webhooks are served with, as far as the user can see it: by a handshake where they are reached by URL,
// else from the Secret's tls.crt. The key beside it is dropped unread.
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { fieldsOf, textOf } from '../../core/fields.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { TLS_SECRET } from './expected.ts';
import type { SystemLook } from './step.ts';

export interface Leaf {
  readonly certificate: X509Certificate;
  /** The name that the API server asks for. */
  readonly host: string;
}

const HANDSHAKE_MS = 5_000;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @param bundle base64 of PEM, as a caBundle is */
export function authoritiesIn(bundle: string): readonly X509Certificate[] {
  try {
    return [...Buffer.from(bundle, 'base64').toString('latin1').matchAll(PEM)].map(
      ([pem]) => new X509Certificate(pem),
    );
  } catch {
    return [];
  }
}

export function signedBy(leaf: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  return authorities.some(
    (each) => leaf.fingerprint256 === each.fingerprint256 || leaf.verify(each.publicKey),
  );
}

export async function leafOf(look: SystemLook, clientConfig: unknown): Promise<Leaf | undefined> {
  const { url, service } = fieldsOf(clientConfig);
  if (typeof url === 'string' && url !== '') return served(look, url);
  if (!look.readsCertificate) return undefined;
  const { name, namespace } = fieldsOf(service);
  const host = `${textOf(name)}.${textOf(namespace)}.svc`;
  const { tlsSecret = TLS_SECRET } = (await look.accounts()).find(({ role }) => role !== 'worker') ?? {};
  const path = pathTo`/api/v1/namespaces/${textOf(namespace)}/secrets/${tlsSecret}`;
  const reply = await look.get(path);
  const pem = reply.kind === 'found' ? textOf(fieldsOf(fieldsOf(reply.thing)['data'])['tls.crt']) : '';
  const [certificate] = authoritiesIn(pem);
  return certificate && { certificate, host };
}

/** Whoever answers: what is looked at is what it shows, and nothing is sent to it. */
function served({ clock, signal }: SystemLook, url: string): Promise<Leaf | undefined> {
  const { hostname, port } = new URL(url);
  const host = hostname.replaceAll(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const isName = !/^[\d.]+$|:/.test(host);
    const socket = connect({
      host,
      port: Number(port) || 443,
      rejectUnauthorized: false,
      ...(isName && { servername: host }),
    });
    const end = (leaf: Leaf | undefined) => {
      socket.destroy();
      resolve(leaf);
    };
    const late = clock.deadline(HANDSHAKE_MS, signal);
    late.addEventListener('abort', () => end(undefined));
    socket.once('error', () => end(undefined));
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      end(certificate && { certificate, host: isName ? host : '' });
    });
  });
}
