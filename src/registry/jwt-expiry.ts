// When a password that is a JWT ends, read and not verified: it is the registry's own, and only shortens what we believe.
import type { SecretText } from '../secret-text.ts';

/**
 * Epoch milliseconds; undefined where the text is no JWT or has no `exp`; `unusable` where no docker config can carry it:
 * empty, with control characters, or longer than `most` bytes.
 */
export function jwtExpiry(password: SecretText, most: number): number | undefined | 'unusable' {
  const text = password.reveal();
  if (text === '' || text.length > most || /\p{Cc}/u.test(text)) return 'unusable';
  const { exp } = jwtClaims(password);
  return typeof exp === 'number' && Number.isFinite(exp) ? exp * 1000 : undefined;
}

/** The claims of a JWT, unverified; none where it is no JWT. */
export function jwtClaims(token: SecretText): Readonly<Record<string, unknown>> {
  const [, claims, signature] = token.reveal().split('.');
  if (claims === undefined || signature === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
