// The token that a registry accepts, as distribution 2.8 (libtrust) and 3.x (go-jose) both read it.
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Clock } from '../clock.ts';
import { SecretText } from '../secret-text.ts';
import type { RegistryScope } from './registry-scope.ts';
import type { SigningKeys } from './signing-keys.ts';

/** The least that clients reckon with when they read `expires_in` (distribution, token authentication specification). */
const SHORTEST_TOKEN_SECONDS = 60;

export interface RegistryToken {
  readonly token: SecretText;
  /** Epoch milliseconds, whole seconds. */
  readonly issuedAt: number;
  readonly lifetimeSeconds: number;
}

export interface TokenGrant {
  /** Goes into `sub`, which the registry writes into its log and its notifications. */
  readonly subject: string;
  readonly access: readonly RegistryScope[];
  /** When the login itself ends, epoch milliseconds. */
  readonly loginExpiresAt: number;
}

export type RegistryTokenSigner = (grant: TokenGrant) => Promise<RegistryToken>;

/**
 * Signs for one registry: `issuer` and `service` as in its `auth.token`. A token lives `tokenSeconds`, or as long as
 * the login if that ends sooner, but at least 60 seconds.
 *
 * `aud` is a string and times are whole, because 2.8 calls all else malformed; `x5c` carries the chain for both lines,
 * `kid` the libtrust id for who pinned the key itself. A registry that knows keys by a `jwks` file alone refuses every
 * token with `x5c`, so `header: 'kid'` leaves it out.
 * @throws Problem `not-ready` when no signing certificate is valid any more
 */
export function createRegistryTokenSigner({
  issuer,
  service,
  tokenSeconds,
  header,
  keys,
  clock,
}: {
  issuer: string;
  service: string;
  tokenSeconds: number;
  header: 'x5c' | 'kid';
  keys: Pick<SigningKeys, 'current'>;
  clock: Clock;
}): RegistryTokenSigner {
  return async ({ subject, access, loginExpiresAt }) => {
    const { privateKey, keyId, certificates } = keys.current();
    const now = Math.floor(clock.now() / 1000);
    const remaining = Math.floor(loginExpiresAt / 1000) - now;
    const lifetimeSeconds = Math.max(Math.min(tokenSeconds, remaining), SHORTEST_TOKEN_SECONDS);
    const token = await new SignJWT({ access })
      .setProtectedHeader({
        alg: 'ES256',
        typ: 'JWT',
        kid: keyId,
        ...(header === 'x5c' && { x5c: [...certificates] }),
      })
      .setIssuer(issuer)
      .setSubject(subject)
      .setAudience(service)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + lifetimeSeconds)
      .setJti(randomUUID())
      .sign(privateKey);
    return { token: new SecretText(token), issuedAt: now * 1000, lifetimeSeconds };
  };
}
