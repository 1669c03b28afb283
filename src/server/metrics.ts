// Every metric of the program, with functions that record them. Label values are bounded: names come from the config or
// from tables here, and namespaces are counted by name only up to a number.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
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
  finding(
    mode: 'enforce' | 'warn' | 'audit',
    namespace: string,
    origin: 'explicit' | 'inherited',
    exempt: boolean,
  ): void;
  /** Replaces what was known of all records. */
  records(counts: Iterable<RecordCount>): void;
  certificateDaysLeft(days: number): void;
  /** Of the exemption that ends first; infinite without any. */
  exemptionDaysLeft(days: number): void;
  watchRestart(watch: string): void;
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
  /** `ready`, or the problem's code. */
  readonly state: string;
  readonly count: number;
  /** Of the ready one that ends first; absent where none is ready. */
  readonly secondsToExpiry?: number;
}

/** The API server's own edges (apiserver_admission_webhook_admission_duration_seconds), so that both can be laid side by side. */
const ADMISSION_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25];
const EXCHANGE_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Up to gateSeconds' default of 30 s, and the 120 s for needs that are only queued. */
const GATE_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** A metric per namespace and mode is 600 series at most; later namespaces are counted together. */
const MOST_NAMESPACES = 200;
const OTHER = '(other)';

/** @returns a set of its own: two in one process do not meet */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name: `keyless_pull_${name}`, help, labelNames, registers });
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `keyless_pull_${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    buckets: number[],
  ) => new Histogram({ name: `keyless_pull_${name}`, help, labelNames, buckets, registers });

  const requests = counter('admission_requests_total', 'Reviews, by path, outcome and reason', [
    'path',
    'outcome',
    'reason',
  ]);
  const durations = histogram(
    'admission_duration_seconds',
    'Time from request to answer',
    ['path'],
    ADMISSION_SECONDS,
  );
  const exchanges = counter('exchanges_total', 'Credentials asked for at registries', [
    'rule',
    'outcome',
    'code',
  ]);
  const exchangeTimes = histogram(
    'exchange_duration_seconds',
    'Time of one exchange',
    ['rule', 'outcome'],
    EXCHANGE_SECONDS,
  );
  const gates = histogram(
    'gate_seconds',
    'How long pods were held until their credentials were there',
    ['outcome'],
    GATE_SECONDS,
  );
  const findings = counter('findings_total', 'Static pull secrets in reviewed pods', [
    'mode',
    'namespace',
    'origin',
    'exempt',
  ]);
  const recordCounts = gauge('credentials', 'PullCredentials, by rule and state', ['rule', 'state']);
  const expiries = gauge(
    'credential_expiry_seconds',
    'Seconds until the first ready credential of the rule ends',
    ['rule'],
  );
  const certificateDays = gauge('certificate_days_left', 'Days until the serving certificate ends', []);
  const exemptionDays = gauge('exemption_days_left', 'Days until the next exemption ends', []);
  const restarts = counter('watch_restarts_total', 'Watches that had to begin again', ['watch']);
  const leading = gauge('leader', 'Whether this worker is the one that works', []);
  const fenceStates = gauge('fence_up', 'Whether the fence refused what it must refuse', ['fence']);
  const reloads = counter('config_reloads_total', 'Changed configuration files that were read', ['outcome']);
  const configGood = gauge(
    'config_reload_ok',
    'Whether the configuration file on disk is the one in use',
    [],
  );
  configGood.set(1);
  // Until somebody knows: a zero would wake people up.
  certificateDays.set(Number.NaN);
  exemptionDays.set(Number.POSITIVE_INFINITY);

  const namespaces = new Set<string>();
  const namespaceLabel = (name: string) => {
    if (namespaces.size < MOST_NAMESPACES) namespaces.add(name);
    return namespaces.has(name) ? name : OTHER;
  };
  const scrapeListeners: (() => void)[] = [];

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
    gate: (outcome, seconds) => gates.observe({ outcome }, seconds),
    finding(mode, namespace, origin, exempt) {
      findings.inc({ mode, namespace: namespaceLabel(namespace), origin, exempt: String(exempt) });
    },
    records(counts) {
      recordCounts.reset();
      expiries.reset();
      const nearest = new Map<string, number>();
      for (const { rule, state, count, secondsToExpiry } of counts) {
        recordCounts.inc({ rule, state }, count);
        if (secondsToExpiry !== undefined)
          nearest.set(rule, Math.min(secondsToExpiry, nearest.get(rule) ?? Infinity));
      }
      for (const [rule, seconds] of nearest) expiries.set({ rule }, seconds);
    },
    certificateDaysLeft: (days) => certificateDays.set(days),
    exemptionDaysLeft: (days) => exemptionDays.set(days),
    watchRestart: (watch) => restarts.inc({ watch }),
    leader: (isLeader) => leading.set(isLeader ? 1 : 0),
    fences(all, missing) {
      fenceStates.reset();
      for (const fence of all) fenceStates.set({ fence }, missing.includes(fence) ? 0 : 1);
    },
    configReload(isTaken) {
      reloads.inc({ outcome: isTaken ? 'taken' : 'refused' });
      configGood.set(isTaken ? 1 : 0);
    },
    onScrape: (listener) => void scrapeListeners.push(listener),
    handler: (_request, response) => {
      for (const listener of scrapeListeners) listener();
      void answer(registry, response);
    },
  };
}

async function answer(registry: Registry, response: ServerResponse<IncomingMessage>): Promise<void> {
  const text = await registry.metrics();
  response.writeHead(200, {
    'content-type': registry.contentType,
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
