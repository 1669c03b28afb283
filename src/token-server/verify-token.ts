// Is this ServiceAccount token good here, and whose is it? Says yes with an identity, or no with a sentence.
import type { JWTPayload } from 'jose';
import type { Clock } from '../clock.ts';
import type { SecretText } from '../secret-text.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import type { Fetch } from './json-call.ts';
import { createKeysCheck } from './keys-check.ts';
import { createReviewCheck } from './review-check.ts';
import type { TokenIdentity } from './service-account-claims.ts';
import { createTokenReviewer, keysOfReviewer } from './token-reviewer.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';
import type { UnverifiedToken } from './unverified-token.ts';
import { loginRefused, readUnverified } from './unverified-token.ts';

export interface VerifiedToken extends TokenIdentity {
  readonly issuer: string;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly claims: JWTPayload;
}

/** How the tokens of one issuer are checked. Each has its own memory, so that no issuer's bad day is another's. */
export interface IssuerCheck {
  verify(token: UnverifiedToken, signal: AbortSignal): Promise<VerifiedToken>;
  /** Asks what can be asked before any login. @throws the Problem that logins would meet */
  prepare(): Promise<void>;
}

export interface IssuerFailure {
  readonly issuer: string;
  readonly error: unknown;
}

export interface TokenVerifier {
  /**
   * Checks signature, issuer, audience, times and subject; all are mandatory, `nbf` and `iat` where present.
   * @throws Problem `login-refused` with a sentence that names the check that failed; `exchange-unreachable` or
   * `not-ready` when only the issuer could tell and cannot be asked now; `deadline` when `signal` was faster
   */
  verify(token: SecretText, signal: AbortSignal): Promise<VerifiedToken>;
  /** The issuer that is trusted here and that it claims to be of; undefined for anything else. Nothing of it is proven. */
  issuerOf(token: SecretText): string | undefined;
  /** Asks these issuers, or all, so that the first login need not. What went wrong; empty when nothing did. */
  prepare(issuers?: readonly string[]): Promise<readonly IssuerFailure[]>;
}

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
  const checks = new Map(issuers.map((trusted) => [trusted.issuer, createCheck(trusted, { clock, fetch })]));

  function checkFor({ issuer }: UnverifiedToken): IssuerCheck {
    const check = issuer === undefined ? undefined : checks.get(issuer);
    if (!check) throw loginRefused("the token's issuer is not trusted here");
    return check;
  }

  return {
    async verify(text, signal) {
      const token = readUnverified(text);
      return await checkFor(token).verify(token, signal);
    },

    issuerOf(text) {
      try {
        const { issuer } = readUnverified(text);
        return issuer !== undefined && checks.has(issuer) ? issuer : undefined;
      } catch {
        return undefined;
      }
    },

    async prepare(wanted = [...checks.keys()]) {
      const failures = wanted.map(async (issuer) => {
        const error: unknown = await checks
          .get(issuer)
          ?.prepare()
          .catch((reason: unknown) => reason);
        return error === undefined ? [] : [{ issuer, error }];
      });
      return (await Promise.all(failures)).flat();
    },
  };
}

function createCheck(trusted: TrustedIssuer, tools: { clock: Clock; fetch: Fetch | undefined }): IssuerCheck {
  const { clock } = tools;
  switch (trusted.check) {
    case 'keys':
      return createKeysCheck(createIssuerKeys(trusted, tools), trusted, clock);
    case 'tokenReview': {
      const keys = createIssuerKeys(keysOfReviewer(trusted), tools);
      return createReviewCheck(trusted, { reviewer: createTokenReviewer(trusted, tools), keys, clock });
    }
  }
}
