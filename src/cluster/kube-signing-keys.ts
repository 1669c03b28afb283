// Which keys the API server signs ServiceAccount tokens with: by a token's own word, and by the key set that it publishes.
import { fieldsOf, listOf, type Fields } from '../core/fields.ts';
import { headerOf } from './token-parts.ts';
import type { CallOptions } from './cluster.ts';
import type { KubeConnection } from './kube-connection.ts';

/** As long as an external signer's may be, and as long as a record has room for: k8s.io/externaljwt/v1 */
const LONGEST_ID = 1024;

/** Every account may ask, by the ClusterRoleBinding system:service-account-issuer-discovery. @throws Problem */
export async function findSigningKeys(
  connection: KubeConnection,
  { signal }: CallOptions,
): Promise<readonly string[]> {
  const answer = await connection.call({
    method: 'GET',
    path: '/openid/v1/jwks',
    // kube-apiserver answers 406 to whom plain JSON alone is good enough (RFC 7517 section 8.5).
    accept: 'application/jwk-set+json, application/json',
    // Nobody waits for it.
    priority: 'idle',
    signal,
  });
  const { keys } = fieldsOf(answer);
  return listOf(keys)
    .map(idIn)
    .filter((id) => id !== '');
}

/** The `kid` of a token that the API server has made for us: read, not verified. Empty for what is no token. */
export function keyIdOf(token: string): string {
  return idIn(headerOf(token));
}

function idIn({ kid }: Fields): string {
  return typeof kid === 'string' && kid.length <= LONGEST_ID ? kid : '';
}
