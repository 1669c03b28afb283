// A certificate authority of the run's own, and server certificates under it: made in memory, needing no openssl.
import { createAuthority, type IssuedPair } from '../src/certificates/authority.ts';

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

// A run lasts minutes, but a demo may stay open over a weekend; the hour before now forgives a clock set back.
const LIFETIME_MS = 7 * 24 * 3600 * 1000;
const BACKDATED_MS = 3600 * 1000;

/** Makes a new authority named `commonName`; its certificates are valid from an hour ago for a week. */
export async function createCertificateAuthority(commonName: string): Promise<CertificateAuthority> {
  const now = Date.now();
  const authority = await createAuthority(commonName, {
    notBefore: now - BACKDATED_MS,
    notAfter: now + LIFETIME_MS,
  });
  return { ...plain(authority), issue: async (hosts) => plain(await authority.issue(hosts)) };
}

function plain({ certificate, key }: IssuedPair): CertificatePair {
  return { certificate, key: key.reveal() };
}
