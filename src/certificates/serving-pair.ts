// What the Secret of our certificate must hold, and why it needs another pair: judged from texts and the time alone.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ServingTexts } from '../cluster/certificate-store.ts';

const DAY_MS = 86_400_000;
/** A pair is good for 30 days from when it was made, and renewed when 20 of them are over. */
export const LIFE_MS = 30 * DAY_MS;
const RENEW_BEFORE_END_MS = LIFE_MS / 3;
/**
 * As long before: a clock that is days ahead of the API server's, for once or for good, makes no certificate that is not valid
 * there yet.
 */
export const BACKDATED_MS = LIFE_MS;
/** Of earlier lives, and of leaders that died between two steps. */
const MOST_OTHERS = 10;

export type RenewalReason =
  | 'empty'
  | 'broken'
  | 'not-valid-yet'
  | 'expired'
  | 'due'
  | 'other-names'
  | 'not-covered';

/** Why the Secret needs another pair; undefined when it is good for a while. */
export function renewalReason(
  { caBundle, certificate, key }: ServingTexts,
  names: readonly string[],
  now: number,
): RenewalReason | undefined {
  if (certificate === '' || key.reveal() === '') return 'empty';
  const leaf = parse(certificate);
  if (!leaf || !isKeyOf(leaf, key.reveal())) return 'broken';
  const [from, to] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  if (now < from) return 'not-valid-yet';
  if (now >= to) return 'expired';
  if (to - now < RENEW_BEFORE_END_MS) return 'due';
  if (!names.every((name) => (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined))
    return 'other-names';
  if (!authoritiesIn(caBundle).some((pem) => hasSigned(pem, leaf))) return 'not-covered';
  return undefined;
}

/** The authorities of a bundle, one PEM text each; what is no certificate is left out. */
export function authoritiesIn(bundle: string): string[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.flatMap((pem) => (parse(pem) ? [`${pem}\n`] : []));
}

/**
 * The bundle with one more authority. Those that have ended go, long after: they prove nothing any more, and our clock may be
 * wrong. The one behind the certificate in use stays.
 */
export function extendedBundle(
  { caBundle, certificate }: Pick<ServingTexts, 'caBundle' | 'certificate'>,
  authority: string,
  now: number,
): string {
  const known = authoritiesIn(caBundle);
  const signer = signerOf(certificate, known);
  const others = known.filter(
    (pem) => pem !== signer && Date.parse(parse(pem)?.validTo ?? '') + LIFE_MS > now,
  );
  return bundleOf([...others.slice(-MOST_OTHERS), ...(signer === undefined ? [] : [signer]), authority]);
}

/** Each once, the newest at the end: the same set is always the same text. */
export function bundleOf(authorities: Iterable<string>): string {
  return [...new Set(authorities)]
    .map((pem) => ({ pem, from: Date.parse(parse(pem)?.validFrom ?? '') }))
    .toSorted((one, other) => one.from - other.from || (one.pem < other.pem ? -1 : 1))
    .map(({ pem }) => pem)
    .join('');
}

/** Of these, the one that the certificate comes from. */
export function signerOf(certificate: string, authorities: readonly string[]): string | undefined {
  const leaf = parse(certificate);
  return leaf && authorities.find((pem) => hasSigned(pem, leaf));
}

function hasSigned(pem: string, leaf: X509Certificate): boolean {
  const authority = parse(pem);
  return authority !== undefined && leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function isKeyOf(leaf: X509Certificate, key: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
