// placeholder types, filled in next
import type { Need } from '../core/pull-credential.ts';
import type { ProblemCode } from '../problem.ts';

/** What is known of a need, without asking anybody. */
export type Standing =
  | { readonly kind: 'ready'; readonly expiresAt: number }
  | { readonly kind: 'pending' }
  | { readonly kind: 'refused'; readonly code: ProblemCode; readonly message: string };

export interface Keeper {
  /** Answers from memory and from the records that the watch has seen; never waits. */
  standingOf(need: Need): Standing;
}
