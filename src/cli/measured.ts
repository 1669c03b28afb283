// What is measured on the way: exchanges as they happen, records as they are when somebody asks.
import { ruleCovers, type RegistryRule } from '../core/registry-rule.ts';
import { mayPass } from '../credentials/attempt.ts';
import { isProblem, problemCodes, type Problem } from '../problem.ts';
import { OTHER } from '../server/metric-table.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { Exchange } from '../registry/exchange.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';
import type { Metrics, RecordCount } from '../server/metrics.ts';

export function measuredExchange(
  exchange: Exchange,
  metrics: Pick<Metrics, 'exchange'>,
  clock: Clock,
): Exchange {
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

/** Whether the rule that made a record still covers it, under these rules. */
export function coverage(
  rules: readonly RegistryRule[],
  view: Pick<ClusterView, 'namespace'>,
): (record: PullCredentialRecord) => boolean {
  const byName = new Map(rules.map((rule) => [rule.name, rule]));
  return (record) => {
    const rule = byName.get(record.rule);
    return rule !== undefined && ruleCovers(rule, record, view.namespace(record.namespace)?.labels ?? {});
  };
}

/**
 * Records by rule and state, and the least that ready ones have left. Series are few whatever records say: who could write
 * one would choose its words.
 */
export function recordCounts(
  records: Iterable<PullCredentialRecord>,
  isCovered: (record: PullCredentialRecord) => boolean,
  now: number,
): RecordCount[] {
  const counts = new Map<string, { -readonly [Key in keyof RecordCount]: RecordCount[Key] }>();
  for (const record of records) {
    // What no rule covers lives out its time: nobody need be woken for it, nor for its end.
    const rule = isCovered(record) ? record.rule : OTHER;
    const state = stateOf(record, now);
    const key = JSON.stringify([rule, state]);
    const counted = counts.get(key) ?? { rule, state, count: 0 };
    counted.count++;
    if (state === 'ready' && rule !== OTHER && record.status)
      counted.first = least(counted.first, record.status, now);
    counts.set(key, counted);
  }
  return [...counts.values()];
}

function stateOf({ status }: PullCredentialRecord, now: number): string {
  if (!status) return 'pending';
  if (status.isReady && now < status.expiresAt) return 'ready';
  // The reason is soon that of the next attempt, and would say nothing of what the account has lost.
  if (status.issuedAt > 0 && status.reason !== 'secret-not-ours') return 'credential-expired';
  return Object.hasOwn(problemCodes, status.reason) ? status.reason : OTHER;
}

function least(
  before: RecordCount['first'],
  { issuedAt, expiresAt }: { readonly issuedAt: number; readonly expiresAt: number },
  now: number,
): NonNullable<RecordCount['first']> {
  const left = expiresAt - now;
  return {
    secondsToExpiry: Math.min(before?.secondsToExpiry ?? Infinity, left / 1000),
    lifeLeft: Math.min(before?.lifeLeft ?? 1, left / Math.max(1, expiresAt - issuedAt)),
  };
}

/** A pod that a refusal let go need not have waited; one whose time was up has. */
export function gateOutcome(late: Problem | undefined): 'ready' | 'refused' | 'late' {
  if (!late) return 'ready';
  return late.code === 'deadline' || mayPass(late.code) ? 'late' : 'refused';
}
