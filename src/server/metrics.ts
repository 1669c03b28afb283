// Every metric of webhook and worker, with functions that record them. Label values are bounded: names come from the config or
// from tables here, and namespaces are counted by name only up to a number.
import type { RequestListener } from 'node:http';
import { createMetricSet } from './metric-set.ts';
import { metricTable } from './metric-table.ts';
import { createNamespaceLabel } from './namespace-label.ts';
import type { ProblemCode } from '../problem.ts';

export interface Metrics {
  /** One answered review. `path` is its path without the slash. */
  admission(
    path: string,
    outcome: 'allow' | 'patch' | 'deny' | 'refused',
    reason: string,
    seconds: number,
  ): void;
  exchange(rule: string, result: 'issued' | ProblemCode, seconds: number): void;
  /** How long a gate held a pod, and whether it was opened because all was ready. */
  gate(outcome: 'ready' | 'refused' | 'late', seconds: number): void;
  /** One Secret that was written again for pods that cannot pull. */
  repair(rule: string, result: 'issued' | ProblemCode): void;
  /** A pod that lacks its credential: reported once, and what became of evicting it. */
  healing(outcome: 'reported' | 'evicted' | 'held' | 'failed'): void;
  recordEnd(reason: 'unused' | 'account-gone' | 'namespace-left' | 'superseded'): void;
  finding(
    mode: 'enforce' | 'warn' | 'audit',
    namespace: string,
    origin: 'explicit' | 'inherited',
    exempt: boolean,
  ): void;
  /** Replaces what was known of all records. */
  records(counts: Iterable<RecordCount>): void;
  certificate(daysLeft: number, isLatest: boolean): void;
  /** Of the exemption that ends first; infinite without any. */
  exemptionDaysLeft(days: number): void;
  watchRestart(watch: string): void;
  /** Replaces what was known of all watches. */
  watchSilences(seconds: ReadonlyMap<string, number>): void;
  leader(isLeader: boolean): void;
  /** Names of all fences, and of those that did not stand when tried. */
  fences(all: readonly string[], missing: readonly string[]): void;
  configReload(isTaken: boolean): void;
  /** Called before each scrape, to bring gauges up to date. */
  onScrape(listener: () => void): void;
  /** Answers GET /metrics on any path. */
  readonly handler: RequestListener;
}

export interface RecordCount {
  readonly rule: string;
  /** `ready`, `pending`, or the problem's code. */
  readonly state: string;
  readonly count: number;
  /** The least of what the ready ones have left; absent where none is ready. */
  readonly first?: { readonly secondsToExpiry: number; readonly lifeLeft: number };
}

/** @returns a set of its own: two in one process do not meet */
export function createMetrics(): Metrics {
  const { counter, gauge, histogram, onScrape, handler } = createMetricSet(metricTable);
  const requests = counter('admission_requests_total');
  const durations = histogram('admission_duration_seconds');
  const exchanges = counter('exchanges_total');
  const exchangeTimes = histogram('exchange_duration_seconds');
  const gates = histogram('gate_seconds');
  const repairs = counter('repairs_total');
  const healings = counter('pod_healings_total');
  const ends = counter('records_ended_total');
  const findings = counter('findings_total');
  const recordCounts = gauge('credentials');
  const expiries = gauge('credential_expiry_seconds');
  const livesLeft = gauge('credential_life_left_ratio');
  const certificateDays = gauge('certificate_days_left');
  const certificateGood = gauge('certificate_reload_ok');
  const exemptionDays = gauge('exemption_days_left');
  const restarts = counter('watch_restarts_total');
  const silences = gauge('watch_silent_seconds');
  const leading = gauge('leader');
  const fenceStates = gauge('fence_up');
  const reloads = counter('config_reloads_total');
  const configGood = gauge('config_reload_ok');
  // A rate sees no change in what begins with 1.
  for (const outcome of metricTable.gate_seconds.labels.outcome) gates.zero({ outcome });
  configGood.set(1);
  // Until somebody knows: a zero would wake people up.
  for (const unknown of [certificateDays, certificateGood]) unknown.set(Number.NaN);
  exemptionDays.set(Number.POSITIVE_INFINITY);

  const namespaceLabel = createNamespaceLabel();

  return {
    admission(path, outcome, reason, seconds) {
      requests.inc({ path, outcome, reason });
      durations.observe({ path }, seconds);
    },
    exchange(rule, result, seconds) {
      const outcome = result === 'issued' ? 'issued' : 'failed';
      exchanges.inc({ rule, outcome, code: result === 'issued' ? '' : result });
      exchangeTimes.observe({ rule, outcome }, seconds);
    },
    repair: (rule, result) => repairs.inc({ rule, code: result === 'issued' ? '' : result }),
    healing: (outcome) => healings.inc({ outcome }),
    recordEnd: (reason) => ends.inc({ reason }),
    gate: (outcome, seconds) => gates.observe({ outcome }, seconds),
    finding(mode, namespace, origin, exempt) {
      findings.inc({ mode, namespace: namespaceLabel(namespace), origin, exempt: String(exempt) });
    },
    records(counts) {
      for (const gone of [recordCounts, expiries, livesLeft]) gone.reset();
      for (const { rule, state, count, first } of counts) {
        recordCounts.inc({ rule, state }, count);
        if (!first) continue;
        expiries.set({ rule }, first.secondsToExpiry);
        livesLeft.set({ rule }, first.lifeLeft);
      }
    },
    certificate(daysLeft, isLatest) {
      certificateDays.set(daysLeft);
      certificateGood.set(isLatest ? 1 : 0);
    },
    exemptionDaysLeft: (days) => exemptionDays.set(days),
    watchRestart: (watch) => restarts.inc({ watch }),
    watchSilences(seconds) {
      for (const [watch, value] of seconds) silences.set({ watch }, value);
    },
    leader: (isLeader) => leading.set(isLeader ? 1 : 0),
    fences(all, missing) {
      fenceStates.reset();
      for (const fence of all) fenceStates.set({ fence }, missing.includes(fence) ? 0 : 1);
    },
    configReload(isTaken) {
      reloads.inc({ outcome: isTaken ? 'taken' : 'refused' });
      configGood.set(isTaken ? 1 : 0);
    },
    onScrape,
    handler,
  };
}
