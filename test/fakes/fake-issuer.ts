import 'reflect-metadata';
// A cluster's token issuer on loopback: real TLS from its own CA, real discovery, really signed tokens, and bad days.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import * as x509 from '@peculiar/x509';
import type { CryptoKey, JWK } from 'jose';
import { SignJWT, calculateJwkThumbprint, exportJWK, exportPKCS8, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { closerOf } from '../../tools/close-server.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const VALID = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2099-01-01T00:00:00Z') };

export interface CertifiedKey {
  readonly keyPem: string;
  /** The key's own certificate; the CA's is not part of it. */
  readonly certificatePem: string;
  readonly publicKey: CryptoKey;
}

export interface TestAuthority {
  readonly certificatePem: string;
  /** A P-256 key with a certificate for localhost and 127.0.0.1. */
  issue(name: string, validity?: { notBefore: Date; notAfter: Date }): Promise<CertifiedKey>;
}

export async function createTestAuthority(name = 'test authority'): Promise<TestAuthority> {
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...VALID,
    name: `CN=${name}`,
    keys,
    signingAlgorithm: P256,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificatePem: root.toString('pem'),
    async issue(leafName, validity = VALID) {
      const leafKeys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.create({
        ...validity,
        subject: `CN=${leafName}`,
        issuer: root.subject,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: P256,
        extensions: [
          new x509.SubjectAlternativeNameExtension([
            { type: 'dns', value: 'localhost' },
            { type: 'ip', value: '127.0.0.1' },
          ]),
          await x509.AuthorityKeyIdentifierExtension.create(root),
        ],
      });
      return {
        keyPem: await exportPKCS8(leafKeys.privateKey),
        certificatePem: certificate.toString('pem'),
        publicKey: leafKeys.publicKey,
      };
    },
  };
}

export type IssuerMood =
  | 'well'
  | 'stalling'
  | 'dropping'
  | 'failing'
  | 'redirecting'
  | 'endless'
  | 'gibberish';

export interface TokenWishes {
  /** Merged over the claims of a good token; undefined leaves a claim out. */
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  /** Signs with this instead of the issuer's newest key. */
  readonly signWith?: CryptoKey | Uint8Array;
}

export interface FakeIssuer extends AsyncDisposable {
  readonly url: string;
  readonly audience: string;
  readonly certificateAuthorityPem: string;
  /** The paths that were asked for so far, in order. */
  readonly requests: string[];
  /** Of the newest key. */
  readonly keyId: string;
  readonly publicJwk: JWK;
  /** What the key set says now. */
  readonly publishedKeys: JWK[];
  /** Published before the others; whatever one likes. */
  readonly strangeKeys: unknown[];
  /** What discovery and key set say; may be changed at any time. */
  readonly discovery: Record<string, unknown>;
  mood: IssuerMood;
  /** When set, both documents answer 403 without this bearer, as a cluster does without the anonymous binding. */
  bearer: string | undefined;
  /** A token as the API server makes it for `team-a/builder`, for an hour, but for what is wished. */
  token(wishes?: TokenWishes): Promise<string>;
  /** From now on signs with a new key; the old ones stay published unless `keepOld` is false. */
  rotate(options?: { keepOld?: boolean; publish?: boolean }): Promise<void>;
}

interface SigningPair {
  readonly jwk: JWK & { kid: string };
  readonly privateKey: CryptoKey;
}

/** `clock` gives the tokens their times; TLS goes by the machine's. `algorithm` as for an API server: RS256 or ES256. */
export async function createFakeIssuer({
  clock,
  audience = 'https://registry.team.example',
  algorithm = 'ES256',
}: {
  clock: Clock;
  audience?: string;
  algorithm?: 'ES256' | 'RS256';
}): Promise<FakeIssuer> {
  const authority = await createTestAuthority('fake cluster CA');
  const { keyPem, certificatePem } = await authority.issue('fake issuer');
  let newest = await makePair(algorithm);
  let published = [newest.jwk];
  const requests: string[] = [];
  const discovery: Record<string, unknown> = {};

  const server = createServer({ key: keyPem, cert: certificatePem }, (request, response) => {
    requests.push(request.url ?? '');
    if (issuer.bearer !== undefined && request.headers.authorization !== `Bearer ${issuer.bearer}`) {
      return void response.writeHead(403).end('{"kind":"Status","code":403}');
    }
    if (issuer.mood === 'well') return answer(request, response);
    misbehave(issuer.mood, response);
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.url === '/.well-known/openid-configuration')
      return void response.end(JSON.stringify(discovery));
    // As kube-apiserver does it, tried with 1.36: it has this media type for its keys and no other.
    const isAccepted = /application\/jwk-set\+json|\*\/\*/.test(request.headers.accept ?? '*/*');
    if (request.url === '/openid/v1/jwks' && !isAccepted) return void response.writeHead(406).end();
    const keys = [...issuer.strangeKeys, ...published];
    if (request.url === '/openid/v1/jwks') return void response.end(JSON.stringify({ keys }));
    response.writeHead(404).end();
  }

  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `https://127.0.0.1:${port}`;
  Object.assign(discovery, {
    issuer: url,
    jwks_uri: `${url}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [algorithm],
  });

  const issuer: FakeIssuer = {
    url,
    audience,
    certificateAuthorityPem: authority.certificatePem,
    requests,
    discovery,
    strangeKeys: [],
    mood: 'well',
    bearer: undefined,
    get keyId() {
      return newest.jwk.kid;
    },
    get publicJwk() {
      return newest.jwk;
    },
    get publishedKeys() {
      return [...published];
    },
    async token({ claims = {}, header = {}, signWith = newest.privateKey } = {}) {
      const now = Math.floor(clock.now() / 1000);
      const good = {
        iss: url,
        sub: 'system:serviceaccount:team-a:builder',
        aud: [audience],
        iat: now,
        nbf: now,
        exp: now + 3600,
        jti: crypto.randomUUID(),
        'kubernetes.io': {
          namespace: 'team-a',
          serviceaccount: { name: 'builder', uid: '0a1b2c3d-0000-4000-8000-000000000001' },
        },
      };
      const protectedHeader = { alg: algorithm, kid: newest.jwk.kid, ...header };
      return await new SignJWT({ ...good, ...claims }).setProtectedHeader(protectedHeader).sign(signWith);
    },
    async rotate({ keepOld = true, publish = true } = {}) {
      newest = await makePair(algorithm);
      published = [...(publish ? [newest.jwk] : []), ...(keepOld ? published : [])];
    },
    [Symbol.asyncDispose]: close,
  };
  return issuer;
}

function misbehave(mood: Exclude<IssuerMood, 'well'>, response: ServerResponse): void {
  switch (mood) {
    case 'stalling':
      return;
    case 'dropping':
      return void response.destroy();
    case 'failing':
      return void response.writeHead(500).end();
    case 'redirecting':
      return void response.writeHead(302, { location: '/elsewhere' }).end();
    case 'endless':
      return void response.end(`{"padding":"${'x'.repeat(400_000)}"}`);
    case 'gibberish':
      return void response.end('<html>');
  }
}

async function makePair(algorithm: string): Promise<SigningPair> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { privateKey, jwk: { ...jwk, kid, alg: algorithm, use: 'sig' } };
}
