// How every double of a registry's token service judges a ServiceAccount token: as the real ones do, with its issuer's
// published keys. What is wrong with it has a name, so that each double can answer in its own protocol's words.
import { createLocalJWKSet, decodeJwt, errors, jwtVerify, type JWTPayload } from 'jose';
import type { Clock } from '../../src/clock.ts';
import type { FakeIssuer } from './fake-issuer.ts';

export type TokenFault =
  | 'malformed'
  | 'issuer'
  | 'unknown-key'
  | 'signature'
  | 'audience'
  | 'expired'
  | 'not-yet-valid'
  | 'subject'
  | 'claims';

export class TokenRefused extends Error {
  readonly fault: TokenFault;

  constructor(fault: TokenFault) {
    super(`the token's ${fault} is wrong`);
    this.fault = fault;
  }
}

export interface Trust {
  readonly issuer: FakeIssuer;
  /** Absent only for those that are known not to look. */
  readonly audience?: string;
  /** Subjects that are let in; compared letter by letter. */
  readonly subjects: readonly string[];
  readonly clock: Clock;
  /** Seconds; 0 unless the real service is known to allow some. */
  readonly leeway?: number;
}

/** @throws TokenRefused */
export async function judgeToken(token: string, trust: Trust): Promise<JWTPayload & { sub: string }> {
  const { issuer, audience, subjects, clock, leeway = 0 } = trust;
  try {
    if (decodeJwt(token).iss !== issuer.url) throw new TokenRefused('issuer');
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: issuer.publishedKeys }), {
      issuer: issuer.url,
      ...(audience !== undefined && { audience }),
      algorithms: ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'],
      requiredClaims: ['exp', 'iat', 'sub'],
      clockTolerance: leeway,
      currentDate: new Date(clock.now()),
    });
    if (!subjects.includes(String(payload.sub))) throw new TokenRefused('subject');
    return { ...payload, sub: String(payload.sub) };
  } catch (error) {
    throw error instanceof TokenRefused ? error : new TokenRefused(faultOf(error));
  }
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown-key';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return 'audience';
    if (error.claim === 'nbf') return 'not-yet-valid';
    return 'claims';
  }
  return 'malformed';
}
