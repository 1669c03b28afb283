// The token server's metrics. Label values are bounded: issuers are those of the config, and what a login claims is none.
import type { ProblemCode } from '../problem.ts';
import { createMetricSet, type MetricSet } from './metric-set.ts';
import { OTHER, tokenServerMetricTable } from './metric-table.ts';

type Rows = typeof tokenServerMetricTable;
export type LoginOutcome = Rows['token_server_logins_total']['labels']['outcome'][number];

export interface TokenServerMetrics extends Pick<MetricSet<Rows>, 'onScrape' | 'handler'> {
  /** `issuer`: one of the config; undefined for a login that claims none of them. */
  login(
    issuer: string | undefined,
    outcome: LoginOutcome,
    code: ProblemCode | undefined,
    seconds: number,
  ): void;
  issuer(issuer: string, isReady: boolean): void;
  certificate(daysLeft: number): void;
  signingCertificate(daysLeft: number): void;
}

export function createTokenServerMetrics(): TokenServerMetrics {
  const { counter, gauge, histogram, onScrape, handler } = createMetricSet(tokenServerMetricTable);
  const logins = counter('token_server_logins_total');
  const durations = histogram('token_server_login_duration_seconds');
  const issuers = gauge('token_server_issuer_ready');
  const certificateDays = gauge('token_server_certificate_days_left');
  const signingDays = gauge('token_server_signing_certificate_days_left');
  // Without TLS for good: a zero would wake people up.
  certificateDays.set(Number.NaN);
  return {
    login(issuer = OTHER, outcome, code, seconds) {
      logins.inc({ issuer, outcome, code: code ?? '' });
      durations.observe({ issuer, outcome }, seconds);
    },
    issuer: (issuer, isReady) => issuers.set({ issuer }, isReady ? 1 : 0),
    certificate: (daysLeft) => certificateDays.set(daysLeft),
    signingCertificate: (daysLeft) => signingDays.set(daysLeft),
    onScrape,
    handler,
  };
}
