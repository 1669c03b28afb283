// Bounds how often an API server is asked about tokens that nobody else can tell from good ones.
import type { Clock } from '../clock.ts';
import { Problem } from '../problem.ts';

/** Nothing to an API server, and enough for all nodes of a large cluster within its half minute of a new key. */
const REVIEWS_PER_SECOND = 20;
const REVIEWS_AT_ONCE = 40;

export interface ReviewBudget {
  /** @throws Problem `not-ready` with the time to wait: whoever asks may well be good */
  take(): void;
}

export function createReviewBudget(clock: Clock): ReviewBudget {
  let left = REVIEWS_AT_ONCE;
  let countedAt = clock.monotonic();

  return {
    take() {
      const now = clock.monotonic();
      left = Math.min(REVIEWS_AT_ONCE, left + ((now - countedAt) / 1000) * REVIEWS_PER_SECOND);
      countedAt = now;
      if (left < 1) {
        const message = 'too many tokens of unknown keys are asked about at the moment';
        throw new Problem('not-ready', message, { details: { retryAfterMs: 1000 } });
      }
      left -= 1;
    },
  };
}
