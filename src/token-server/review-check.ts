// Checks the tokens of one issuer by asking its API server, which also knows what was deleted; answers live seconds.
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { Problem, isProblem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import { CLOCK_TOLERANCE_SECONDS, signatureStanding } from './keys-check.ts';
import { createReviewBudget } from './review-budget.ts';
import { readServiceAccountClaims } from './service-account-claims.ts';
import type { TokenIdentity } from './service-account-claims.ts';
import type { ReviewStatus, TokenReviewer } from './token-reviewer.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';
import { unlessAborted } from './unless-aborted.ts';
import type { UnverifiedToken } from './unverified-token.ts';
import { loginRefused } from './unverified-token.ts';
import type { IssuerCheck } from './verify-token.ts';

/** With the 10 s that kube-apiserver itself remembers a good token, what is deleted is shut out after 15 s at most. */
export const GOOD_MS = 5000;

/** Short, because a token can also be too fresh: made on one API server, asked about on another. */
export const BAD_MS = 2000;

/** An answer is a hash and a few words; about 1 MB when full. */
const MOST_ANSWERS = 4096;

const GONE = 'the cluster does not accept the token: it ended, or what it was bound to is gone';

/**
 * A token is asked about only when it looks right, and at most once in `GOOD_MS`. Where the API server's keys can be
 * read, a wrong signature is refused without asking; where they cannot tell, a budget bounds what is asked.
 */
export function createReviewCheck(
  { issuer, audience }: TrustedIssuer,
  { reviewer, keys, clock }: { reviewer: TokenReviewer; keys: IssuerKeys; clock: Clock },
): IssuerCheck {
  const answers = new LRUCache<string, 'good' | Problem>({
    max: MOST_ANSWERS,
    ttl: GOOD_MS,
    ttlResolution: 0,
    // Not the wall clock, which can be set back; and not from 0, at which lru-cache never expires anything.
    perf: { now: () => clock.monotonic() + 1 },
  });
  const flights = new Map<string, Promise<void>>();
  const budget = createReviewBudget(clock);

  /** Resolves when the token is good. Shared, so no caller's signal ends it. */
  async function review(token: UnverifiedToken, identity: TokenIdentity, digest: string): Promise<void> {
    const standing = await signatureStanding(token, keys, new AbortController().signal);
    if (standing === 'wrong') throw loginRefused("the token's signature is wrong");
    if (standing === 'unknown') budget.take();
    const status = await reviewer.ask(token.text).catch((cause: unknown) => {
      throw new Problem('exchange-unreachable', `the API server of ${issuer} cannot be asked at the moment`, {
        cause,
      });
    });
    const fault = faultOf(status, identity, audience);
    answers.set(digest, fault ?? 'good', { ttl: fault ? BAD_MS : GOOD_MS });
    if (fault) throw fault;
  }

  return {
    async verify(token, signal) {
      const identity = readServiceAccountClaims(token.claims);
      const expiresAt = claimedExpiry(token, audience, clock.now());
      const digest = createHash('sha256').update(token.text.reveal()).digest('base64url');
      const answer = answers.get(digest);
      if (isProblem(answer)) throw answer;
      if (answer === undefined) {
        let flight = flights.get(digest);
        if (!flight) {
          flight = review(token, identity, digest).finally(() => flights.delete(digest));
          flights.set(digest, flight);
        }
        await unlessAborted(flight, signal, 'the API server took too long to answer');
      }
      return { ...identity, issuer, expiresAt, claims: token.claims };
    },

    async prepare() {
      // What it answers does not matter, only that we may ask.
      const asked = reviewer.ask(new SecretText('a question at the start'));
      await Promise.all([asked, keys.fetchNow()]);
    },
  };
}

/** What a good token would say of audience and times; whether it is true, the API server will tell. Epoch milliseconds. */
function claimedExpiry({ claims }: UnverifiedToken, audience: string, now: number): number {
  const { aud, exp, nbf = 0 }: { aud?: unknown; exp?: unknown; nbf?: unknown } = claims; // jose's type says what should be
  if (!(Array.isArray(aud) ? aud.includes(audience) : aud === audience))
    throw loginRefused(`the token is meant for somebody else: its audience must be ${audience}`);
  if (!Number.isSafeInteger(exp)) throw loginRefused("the token's expiry is no whole number");
  const seconds = now / 1000;
  if (Number(exp) + CLOCK_TOLERANCE_SECONDS <= seconds) throw loginRefused('the token has expired');
  // Written so that a time that is no number is refused too.
  if (!(Number(nbf) - CLOCK_TOLERANCE_SECONDS <= seconds)) throw loginRefused('the token is not valid yet');
  return Number(exp) * 1000;
}

/** An API server that does not know audiences answers without them, and then says nothing about ours. */
function faultOf(
  { authenticated, user, audiences }: ReviewStatus,
  { namespace, serviceAccount, uid }: TokenIdentity,
  audience: string,
): Problem | undefined {
  if (!authenticated) return loginRefused(GONE);
  if (!audiences?.includes(audience))
    return loginRefused('the cluster does not confirm the audience of the token');
  const isSame =
    user.username === `system:serviceaccount:${namespace}:${serviceAccount}` &&
    (uid === undefined || uid === user.uid);
  return isSame ? undefined : loginRefused('the cluster knows the token as somebody else');
}
