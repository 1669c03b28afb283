// Is this ServiceAccount token good here, and whose is it? Says yes with an identity, or no with a sentence.
import type { JWTPayload, LocalJWKSet, ProtectedHeaderParameters } from 'jose';
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import type { Clock } from '../clock.ts';
import { Problem } from '../problem.ts';
import type { SecretText } from '../secret-text.ts';
import type { Fetch } from './fetch-key-set.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import type { TokenIdentity } from './service-account-claims.ts';
import { readServiceAccountClaims } from './service-account-claims.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';

export interface VerifiedToken extends TokenIdentity {
  readonly issuer: string;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly claims: JWTPayload;
}

export interface TokenVerifier {
  /**
   * Checks signature, issuer, audience, times and subject; all are mandatory, `nbf` and `iat` where present.
   * @throws Problem `login-refused` with a sentence that names the check that failed; `exchange-unreachable` when the
   * keys are not known and cannot be fetched; `deadline` when `signal` was faster
   */
  verify(token: SecretText, signal: AbortSignal): Promise<VerifiedToken>;
  /** Fetches the keys of every issuer, so that the first login need not. @throws the first Problem, see `fetchKeySet` */
  fetchKeys(): Promise<void>;
}

/** What an API server can sign with. HMAC would turn a public key into a password, and `none` needs none. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'];

/** Room for an API server's clock that is ahead: fresh tokens carry `nbf` of the moment they were made. */
export const CLOCK_TOLERANCE_SECONDS = 30;

/** A ServiceAccount token is 1 to 2 KiB; RSA 16384 and long names stay below this. */
const LONGEST_TOKEN = 16 * 1024;

const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** `fetch` replaces undici's in tests. */
export function createTokenVerifier({
  issuers,
  clock,
  fetch,
}: {
  issuers: readonly TrustedIssuer[];
  clock: Clock;
  fetch?: Fetch | undefined;
}): TokenVerifier {
  const checks = new Map(
    issuers.map((trusted) => {
      const check = createKeysCheck(createIssuerKeys(trusted, { clock, fetch }), trusted, clock);
      return [trusted.issuer, check];
    }),
  );

  async function verify(token: SecretText, signal: AbortSignal): Promise<VerifiedToken> {
    const text = token.reveal();
    if (text.length > LONGEST_TOKEN)
      throw refused('the password is longer than a ServiceAccount token can be');
    if (!COMPACT_JWS.test(text)) throw refused('the password is not a ServiceAccount token');
    const { header, issuer } = peek(text);
    const check = issuer === undefined ? undefined : checks.get(issuer);
    if (!check) throw refused("the token's issuer is not trusted here");
    return await check.verify(text, header, signal);
  }

  async function fetchKeys(): Promise<void> {
    await Promise.all([...checks.values()].map((check) => check.fetchKeys()));
  }

  return { verify, fetchKeys };
}

/** How the tokens of one issuer are checked; asking the API server instead will be another of these. */
interface IssuerCheck {
  verify(text: string, header: ProtectedHeaderParameters, signal: AbortSignal): Promise<VerifiedToken>;
  fetchKeys(): Promise<void>;
}

function createKeysCheck(keys: IssuerKeys, { issuer, audience }: TrustedIssuer, clock: Clock): IssuerCheck {
  async function verify(
    text: string,
    header: ProtectedHeaderParameters,
    signal: AbortSignal,
  ): Promise<VerifiedToken> {
    // Before any key is looked for, so that such a token cannot cause a fetch.
    if (!ALGORITHMS.includes(String(header.alg)))
      throw refused("the token's signature algorithm is not accepted");
    if (typeof header.kid !== 'string') throw refused('the token does not say which key signed it');
    const keySet = await keys.keysFor(header.kid, signal);
    const claims = await verifyWithAny(text, keySet, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(clock.now()),
    }).catch((error: unknown) => {
      throw refusal(error, audience);
    });
    if (!Number.isSafeInteger(claims.exp)) throw refused("the token's expiry is no whole number");
    return { ...readServiceAccountClaims(claims), issuer, expiresAt: Number(claims.exp) * 1000, claims };
  }
  return { verify, fetchKeys: () => keys.fetchNow() };
}

/** An issuer may publish two keys under one id, such as one key for two algorithms; either may be the right one. */
async function verifyWithAny(
  text: string,
  keySet: LocalJWKSet,
  options: NonNullable<Parameters<typeof jwtVerify>[2]>,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(text, keySet, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return (await jwtVerify(text, key, options)).payload;
      } catch (inner) {
        if (!(inner instanceof errors.JWSSignatureVerificationFailed)) throw inner;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** Unverified: good for choosing whom to ask, and for nothing else. */
function peek(text: string): { header: ProtectedHeaderParameters; issuer: string | undefined } {
  try {
    const { iss } = decodeJwt<{ iss?: unknown }>(text);
    return { header: decodeProtectedHeader(text), issuer: typeof iss === 'string' ? iss : undefined };
  } catch {
    throw refused('the password is not a ServiceAccount token');
  }
}

/** The error itself is dropped: jose's carry the claims. */
function refusal(error: unknown, audience: string): Problem {
  if (error instanceof errors.JWTExpired) return refused('the token has expired');
  if (error instanceof errors.JWKSNoMatchingKey)
    return refused('the token was signed with a key that its issuer does not publish');
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return refused("the token's signature is wrong");
  if (!(error instanceof errors.JWTClaimValidationFailed)) return refused('the token cannot be verified');
  if (error.reason === 'missing') return refused(`the token has no claim ${error.claim}`);
  if (error.claim === 'aud')
    return refused(`the token is meant for somebody else: its audience must be ${audience}`);
  if (error.claim === 'nbf' && error.reason === 'check_failed') return refused('the token is not valid yet');
  return refused(`the token's claim ${error.claim} is wrong`);
}

function refused(sentence: string): Problem {
  return new Problem('login-refused', sentence);
}
