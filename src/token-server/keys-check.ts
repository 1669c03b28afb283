// Checks the tokens of one issuer with the keys that it publishes.
import type { CryptoKey, FlattenedJWSInput, JWSHeaderParameters, LocalJWKSet } from 'jose';
import { compactVerify, errors, jwtVerify } from 'jose';
import type { Clock } from '../clock.ts';
import type { Problem } from '../problem.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import { readServiceAccountClaims } from './service-account-claims.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';
import type { UnverifiedToken } from './unverified-token.ts';
import { loginRefused } from './unverified-token.ts';
import type { IssuerCheck } from './verify-token.ts';

/** What an API server can sign with. HMAC would turn a public key into a password, and `none` needs none. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'];

/** Room for an API server's clock that is ahead: fresh tokens carry `nbf` of the moment they were made. */
export const CLOCK_TOLERANCE_SECONDS = 30;

export function createKeysCheck(
  keys: IssuerKeys,
  { issuer, audience }: TrustedIssuer,
  clock: Clock,
): IssuerCheck {
  return {
    async verify(token, signal) {
      const keyId = keyIdOf(token);
      const options = {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(clock.now()),
      };
      const keySet = await keys.keysFor(keyId, signal);
      const { payload: claims } = await withAnyKey(keySet, (key) =>
        jwtVerify(token.text.reveal(), key, options),
      ).catch((error: unknown) => {
        throw refusal(error, audience);
      });
      if (!Number.isSafeInteger(claims.exp)) throw loginRefused("the token's expiry is no whole number");
      return { ...readServiceAccountClaims(claims), issuer, expiresAt: Number(claims.exp) * 1000, claims };
    },
    prepare: () => keys.fetchNow(),
  };
}

/**
 * What the keys at hand say of a token's signature alone; `unknown` when they lack its key.
 * @throws Problem `login-refused` for a header that no API server writes
 */
export async function signatureStanding(
  token: UnverifiedToken,
  keys: IssuerKeys,
  signal: AbortSignal,
): Promise<'right' | 'wrong' | 'unknown'> {
  const keyId = keyIdOf(token);
  const keySet = await keys.keysFor(keyId, signal).catch(() => undefined);
  if (!keySet?.jwks().keys.some(({ kid }) => kid === keyId)) return 'unknown';
  try {
    await withAnyKey(keySet, (key) => compactVerify(token.text.reveal(), key, { algorithms: ALGORITHMS }));
    return 'right';
  } catch {
    return 'wrong';
  }
}

/** Looked at before any key is looked for, so that such a token cannot cause a fetch. */
function keyIdOf({ header }: UnverifiedToken): string {
  if (!ALGORITHMS.includes(String(header.alg)))
    throw loginRefused("the token's signature algorithm is not accepted");
  if (typeof header.kid !== 'string') throw loginRefused('the token does not say which key signed it');
  return header.kid;
}

type KeyFinder = (header?: JWSHeaderParameters, token?: FlattenedJWSInput) => Promise<CryptoKey>;

/** An issuer may publish two keys under one id, such as one key for two algorithms; either may be the right one. */
async function withAnyKey<Result>(
  keySet: LocalJWKSet,
  attempt: (find: KeyFinder) => Promise<Result>,
): Promise<Result> {
  try {
    return await attempt(keySet);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return await attempt(async () => key);
      } catch (inner) {
        if (!(inner instanceof errors.JWSSignatureVerificationFailed)) throw inner;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** The error itself is dropped: jose's carry the claims. */
function refusal(error: unknown, audience: string): Problem {
  if (error instanceof errors.JWTExpired) return loginRefused('the token has expired');
  if (error instanceof errors.JWKSNoMatchingKey)
    return loginRefused('the token was signed with a key that its issuer does not publish');
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return loginRefused("the token's signature is wrong");
  if (!(error instanceof errors.JWTClaimValidationFailed))
    return loginRefused('the token cannot be verified');
  if (error.reason === 'missing') return loginRefused(`the token has no claim ${error.claim}`);
  if (error.claim === 'aud')
    return loginRefused(`the token is meant for somebody else: its audience must be ${audience}`);
  if (error.claim === 'nbf' && error.reason === 'check_failed')
    return loginRefused('the token is not valid yet');
  return loginRefused(`the token's claim ${error.claim} is wrong`);
}
