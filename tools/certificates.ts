// A certificate authority of the run's own, and server certificates under it: made in memory, needing no openssl.
// The x509 library wants the metadata polyfill to be there first.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** PEM texts of a certificate and its private key (PKCS#8, ECDSA P-256). */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: string;
}

/** An authority whose own certificate is `certificate` (PEM). */
export interface CertificateAuthority extends CertificatePair {
  /** A server certificate for these host names and IP addresses, valid as long as the authority. */
  issue(hosts: readonly string[]): Promise<CertificatePair>;
}

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

// A run lasts minutes, but a demo may stay open over a weekend; the hour before now forgives a clock set back.
const LIFETIME_MS = 7 * 24 * 3600 * 1000;
const BACKDATED_MS = 3600 * 1000;

/** Makes a new authority named `commonName`; its certificates are valid from an hour ago for a week. */
export async function createCertificateAuthority(commonName: string): Promise<CertificateAuthority> {
  const keys = await makeKeys();
  const validity = {
    notBefore: new Date(Date.now() - BACKDATED_MS),
    notAfter: new Date(Date.now() + LIFETIME_MS),
  };
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
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
        ...validity,
        serialNumber: serialNumber(),
        subject: `CN=${hosts[0] ?? 'server'}`,
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

async function pairOf(
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): Promise<CertificatePair> {
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`,
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
