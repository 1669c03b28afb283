// Certificates made in memory: an authority, and server certificates under it (ECDSA P-256). Loaded only by who makes some: the
// x509 library costs a start 150 ms, and wants the metadata polyfill to be there first.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { SecretText } from '../secret-text.ts';

/** PEM texts; the key is PKCS#8. */
export interface IssuedPair {
  readonly certificate: string;
  readonly key: SecretText;
}

/** When everything that an authority makes is valid, itself included: epoch milliseconds. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Authority extends IssuedPair {
  /** A server certificate for these host names and IP addresses. */
  issue(hosts: readonly string[]): Promise<IssuedPair>;
}

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export async function createAuthority(commonName: string, validity: Validity): Promise<Authority> {
  const keys = await makeKeys();
  const dates = { notBefore: new Date(validity.notBefore), notAfter: new Date(validity.notAfter) };
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...dates,
    serialNumber: serialNumber(),
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });

  return {
    ...(await pairOf(authority, keys)),
    async issue(hosts) {
      const serverKeys = await makeKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        ...dates,
        serialNumber: serialNumber(),
        // A common name has 64 characters at most, and nobody reads it where there are alternative names.
        subject: `CN=${(hosts[0] ?? 'server').slice(0, 64)}`,
        issuer: authority.subject,
        publicKey: serverKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: KEY_ALGORITHM,
        extensions: [
          new x509.BasicConstraintsExtension(false),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(hosts.map(alternativeName)),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return pairOf(certificate, serverKeys);
    },
  };
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

async function pairOf(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<IssuedPair> {
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: new SecretText(`${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`),
  };
}

function alternativeName(host: string): { type: 'ip' | 'dns'; value: string } {
  return { type: isIP(host) === 0 ? 'dns' : 'ip', value: host };
}

// Positive (first bit 0) and without a leading zero byte, as DER wants it.
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
