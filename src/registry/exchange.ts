// The port to registries: a ServiceAccount token in, a credential out; and the table of families.
import { Problem } from '../problem.ts';
import type { Credential } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { ExchangeKind } from '../core/registry-rule.ts';
import type { SecretText } from '../secret-text.ts';
import type { Clock } from '../clock.ts';
import { passThrough } from './pass-through.ts';

export interface ExchangeCall {
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** What an exchange may read of the ServiceAccount token's making. Instants are epoch milliseconds. */
export interface ExchangeInput {
  readonly token: SecretText;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly planned: PlannedNeed;
}

/** @throws Problem of the exchange-… family, or credential-already-expired */
export type Exchange = (call: ExchangeCall, input: ExchangeInput) => Promise<Credential>;

/** A new family is one file and one line here. */
const families: Partial<Record<ExchangeKind, Exchange>> = {
  'pass-through': passThrough,
};

/** Exchanges at the registry that the rule names. An answer that is expired on arrival is a fault of the other side. */
export async function exchange(call: ExchangeCall, input: ExchangeInput): Promise<Credential> {
  const { kind } = input.planned.rule.exchange;
  const family = families[kind];
  if (!family) throw new Problem('not-built', `exchange kind ${kind} is not built in this version`);
  const credential = await family(call, input);
  if (credential.expiresAt <= call.clock.now()) {
    throw new Problem(
      'credential-already-expired',
      `${input.planned.need.host} answered with a credential that is already expired`,
    );
  }
  return credential;
}
