// What is measured on the way: exchanges as they happen, records as they are when somebody asks.
import { isProblem } from '../problem.ts';
import { exchange, type Exchange } from '../registry/exchange.ts';
import type { Clock } from '../clock.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';
import type { Metrics, RecordCount } from '../server/metrics.ts';

export function measuredExchange(metrics: Pick<Metrics, 'exchange'>, clock: Clock): Exchange {
  return async (call, input) => {
    const startedAt = clock.monotonic();
    const seconds = () => (clock.monotonic() - startedAt) / 1000;
    const rule = input.planned.rule.name;
    try {
      const credential = await exchange(call, input);
      metrics.exchange(rule, 'issued', seconds());
      return credential;
    } catch (error) {
      if (isProblem(error)) metrics.exchange(rule, error.code, seconds());
      throw error;
    }
  };
}

/** Records by rule and state; of the ready ones the seconds until the first one ends. */
export function recordCounts(records: Iterable<PullCredentialRecord>, now: number): RecordCount[] {
  const counts = new Map<string, { rule: string; state: string; count: number; secondsToExpiry?: number }>();
  for (const { rule, status } of records) {
    const state = status?.isReady ? 'ready' : (status?.reason ?? 'pending');
    const key = JSON.stringify([rule, state]);
    const counted = counts.get(key) ?? { rule, state, count: 0 };
    counted.count++;
    if (status?.isReady)
      counted.secondsToExpiry = Math.min(
        counted.secondsToExpiry ?? Infinity,
        (status.expiresAt - now) / 1000,
      );
    counts.set(key, counted);
  }
  return [...counts.values()];
}
