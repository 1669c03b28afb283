// The key that signs registry tokens, with the certificates that make a registry believe it.
import type { KeyObject } from 'node:crypto';
import { X509Certificate, createHash, createPrivateKey } from 'node:crypto';
import { Problem } from '../problem.ts';
import type { SecretText } from '../secret-text.ts';

export interface SigningKey {
  /** EC P-256. Prints as a type, never as its value. */
  readonly privateKey: KeyObject;
  /** For the `x5c` header (RFC 7515 section 4.1.6): standard base64 of the DER, the key's own certificate first. */
  readonly certificates: readonly string[];
  /** For the `kid` header: see `libtrustKeyId`. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** The time in which every certificate of the chain is valid, epoch milliseconds: registries refuse `x5c` outside of it. */
  readonly validFrom: number;
  readonly expiresAt: number;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Whether it is valid now is not asked here: the next key may be there before its time.
 * @throws Problem `certificate-unreadable` when the key is not ECDSA P-256, the first certificate is not the key's, or
 * the chain is broken
 */
export function readSigningKey(keyPem: SecretText, certificatePem: string): SigningKey {
  const privateKey = parseKey(keyPem);
  const certificates = parseCertificates(certificatePem);
  const [leaf] = certificates;
  if (!leaf) throw unusable('its certificate file holds no PEM certificate');
  if (!leaf.checkPrivateKey(privateKey)) throw unusable("the first certificate is not the key's own");
  for (const [at, certificate] of certificates.entries()) {
    const issuer = certificates[at + 1];
    if (issuer && !certificate.checkIssued(issuer))
      throw unusable('each certificate must be issued by the one after it');
  }
  return {
    privateKey,
    certificates: certificates.map((certificate) => certificate.raw.toString('base64')),
    keyId: libtrustKeyId(leaf.publicKey),
    publicKey: leaf.publicKey,
    validFrom: Math.max(...certificates.map((certificate) => certificate.validFromDate.getTime())),
    expiresAt: Math.min(...certificates.map((certificate) => certificate.validToDate.getTime())),
  };
}

/**
 * What a registry of 3.x takes as its `jwks` file. The ids are libtrust's: a registry takes the file's as they are, and
 * one kind of id then serves both lines.
 */
export function keySetOf(keys: readonly SigningKey[]): { keys: object[] } {
  return {
    keys: keys.map(({ publicKey, keyId }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid: keyId,
      alg: 'ES256',
      use: 'sig',
    })),
  };
}

/**
 * The id under which distribution 2.8 knows a key of its `rootcertbundle`: the first 30 bytes of the SHA-256 of the DER
 * SubjectPublicKeyInfo, as base32 in groups of four (docker/libtrust, `keyIDFromCryptoKey`).
 */
export function libtrustKeyId(publicKey: KeyObject): string {
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const bits = [...digest.subarray(0, 30)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  // 240 bits are 48 characters of five bits: no padding.
  const text = (bits.match(/.{5}/g) ?? []).map((five) => BASE32[parseInt(five, 2)]).join('');
  return (text.match(/.{4}/g) ?? []).join(':');
}

/** RFC 4648 section 6. */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function parseKey(keyPem: SecretText): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(keyPem.reveal());
  } catch (cause) {
    throw unusable('its key file holds no PEM private key without a passphrase', cause);
  }
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw unusable('it must be an ECDSA key on the curve P-256');
}

function parseCertificates(pem: string): X509Certificate[] {
  try {
    return (pem.match(PEM_CERTIFICATE) ?? []).map((text) => new X509Certificate(text));
  } catch (cause) {
    throw unusable('its certificate file cannot be read', cause);
  }
}

function unusable(reason: string, cause?: unknown): Problem {
  return new Problem('certificate-unreadable', `the signing key cannot be used: ${reason}`, { cause });
}
