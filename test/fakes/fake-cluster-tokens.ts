// The ServiceAccount token issuer of the fake cluster: real ES256 JWTs with a real API server's claims, and a review
// that knows which of them are dead.
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { exportJWK, jwtVerify, type JWK, type JWTPayload } from 'jose';
import type { Clock } from '../../src/clock.ts';
import type { FakeStore, StoredObject } from './fake-cluster-store.ts';

export interface FakeTokens {
  /** The `iss` of every token. */
  readonly issuer: string;
  /** The newest public key, as the key set at the issuer's `jwks_uri` has it. */
  publicJwk(): Promise<JWK & { kid: string }>;
  /** Of the key that signs now. */
  readonly keyId: string;
  /** Of the keys in the key set, and of no others: what they have not signed is no token any more. */
  keyIds(): readonly string[];
  /** From now on a new key signs; the old ones stay published until `retireKeys`. */
  rotateKey(): void;
  /** Only the key that signs now stays. */
  retireKeys(): void;
  sign(
    account: StoredObject,
    secret: StoredObject,
    wish: { readonly audience: string; readonly expirationSeconds: number },
  ): Promise<{ token: string; claims: JWTPayload }>;
  /**
   * The claims if this is a token of ours for that audience, in time, whose account and Secret still live; what a
   * TokenReview would say without its cache of ten seconds.
   */
  review(token: string, audience: string): Promise<JWTPayload | undefined>;
}

export function createFakeTokens(store: FakeStore, clock: Clock, issuer: string): FakeTokens {
  const makeKey = () => ({ kid: randomUUID(), ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) });
  let newest = makeKey();
  let published = [newest];

  return {
    issuer,
    publicJwk: async () => {
      const { kid, publicKey } = newest;
      return { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' };
    },
    get keyId() {
      return newest.kid;
    },
    keyIds: () => published.map(({ kid }) => kid),
    rotateKey() {
      newest = makeKey();
      published = [newest, ...published];
    },
    retireKeys() {
      published = [newest];
    },
    async sign({ metadata: account }, { metadata: secret }, { audience, expirationSeconds }) {
      const issuedAt = Math.floor(clock.now() / 1000);
      const claims = {
        iss: issuer,
        sub: `system:serviceaccount:${account.namespace}:${account.name}`,
        aud: [audience],
        iat: issuedAt,
        nbf: issuedAt,
        exp: issuedAt + expirationSeconds,
        jti: randomUUID(),
        'kubernetes.io': {
          namespace: account.namespace,
          secret: { name: secret.name, uid: secret.uid },
          serviceaccount: { name: account.name, uid: account.uid },
        },
      };
      // Signed in this step: jose's way is a thread's, and a clock that is moved by hand would be ahead of it.
      const { kid, privateKey } = newest;
      const text = [{ alg: 'ES256', kid }, claims]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return { token: `${text}.${signature.toString('base64url')}`, claims };
    },
    async review(token, audience) {
      const currentDate = new Date(clock.now());
      const keyFor = ({ kid }: { kid?: string }) => {
        const key = published.find((one) => one.kid === kid);
        if (!key) throw new Error('the key set has no such key');
        return key.publicKey;
      };
      const verified = await jwtVerify(token, keyFor, { issuer, audience, currentDate }).catch(
        () => undefined,
      );
      if (!verified) return undefined;
      const bound = verified.payload['kubernetes.io'] as Record<'secret' | 'serviceaccount', Bound> & {
        namespace: string;
      };
      const lives = (kind: 'account' | 'secret', { name, uid }: Bound) =>
        store.get(kind, bound.namespace, name)?.metadata.uid === uid;
      return lives('account', bound.serviceaccount) && lives('secret', bound.secret)
        ? verified.payload
        : undefined;
    },
  };
}

interface Bound {
  readonly name: string;
  readonly uid: string;
}
