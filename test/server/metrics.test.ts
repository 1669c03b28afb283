import supertest from 'supertest';
import { expect, test } from 'vitest';
import { createMetrics } from '../../src/server/metrics.ts';

async function scrape(metrics: ReturnType<typeof createMetrics>): Promise<string> {
  const answer = await supertest(metrics.handler).get('/metrics');
  expect(answer.headers['content-type']).toContain('text/plain');
  return answer.text;
}

test('reviews are counted by path, outcome and reason, with the API server’s own bucket edges', async () => {
  const metrics = createMetrics();

  metrics.admission('mutate', 'patch', 'gated', 0.003);

  const text = await scrape(metrics);
  expect(text).toContain(
    'keyless_pull_admission_requests_total{path="mutate",outcome="patch",reason="gated"} 1',
  );
  const edges = [...text.matchAll(/keyless_pull_admission_duration_seconds_bucket\{le="([^"]+)"/g)].map(
    ([, edge]) => edge,
  );
  expect(edges).toEqual(['0.005', '0.025', '0.1', '0.5', '1', '2.5', '10', '25', '+Inf']);
});

test('exchanges, gates, findings, watches, leader, fences and reloads have their metrics', async () => {
  const metrics = createMetrics();

  metrics.exchange('team', 'issued', 0.2);
  metrics.exchange('team', 'exchange-refused', 0.2);
  metrics.gate('ready', 1);
  metrics.finding('enforce', 'team-a', 'explicit', false);
  metrics.repair('team', 'issued');
  metrics.healing('evicted');
  metrics.recordEnd('unused');
  metrics.watchRestart('namespaces');
  metrics.watchSilences(new Map([['namespaces', 61]]));
  metrics.leader(true);
  metrics.fences(['secrets', 'pods'], ['pods']);
  metrics.configReload(false);
  metrics.certificate(30, false);
  metrics.exemptionDaysLeft(3);

  const text = await scrape(metrics);
  for (const line of [
    'exchanges_total{rule="team",outcome="issued",code=""} 1',
    'exchanges_total{rule="team",outcome="failed",code="exchange-refused"} 1',
    'exchange_duration_seconds_count{rule="team",outcome="issued"} 1',
    'gate_seconds_count{outcome="ready"} 1',
    'findings_total{mode="enforce",namespace="team-a",origin="explicit",exempt="false"} 1',
    'watch_restarts_total{watch="namespaces"} 1',
    'watch_silent_seconds{watch="namespaces"} 61',
    'repairs_total{rule="team",code=""} 1',
    'pod_healings_total{outcome="evicted"} 1',
    'records_ended_total{reason="unused"} 1',
    'leader 1',
    'fence_up{fence="secrets"} 1',
    'fence_up{fence="pods"} 0',
    'config_reload_ok 0',
    'certificate_days_left 30',
    'exemption_days_left 3',
  ]) {
    expect(text).toContain(`keyless_pull_${line}`);
  }
});

test('the records of a moment replace those of the moment before', async () => {
  const metrics = createMetrics();
  metrics.records([
    { rule: 'gone', state: 'ready', count: 5, first: { secondsToExpiry: 10, lifeLeft: 0.1 } },
  ]);

  metrics.records([
    { rule: 'team', state: 'ready', count: 3, first: { secondsToExpiry: 300, lifeLeft: 0.5 } },
    { rule: 'team', state: 'exchange-refused', count: 1 },
  ]);

  const text = await scrape(metrics);
  expect(text).toContain('keyless_pull_credentials{rule="team",state="ready"} 3');
  expect(text).toContain('keyless_pull_credential_expiry_seconds{rule="team"} 300');
  expect(text).toContain('keyless_pull_credential_life_left_ratio{rule="team"} 0.5');
  expect(text).not.toContain('gone');
});

test('namespaces are counted by name only up to two hundred', async () => {
  const metrics = createMetrics();

  for (let at = 0; at < 1_000; at++) metrics.finding('warn', `n${at}`, 'inherited', true);

  const text = await scrape(metrics);
  expect(text.match(/^keyless_pull_findings_total\{/gm)).toHaveLength(201);
  expect(text).toContain('namespace="(other)",origin="inherited",exempt="true"} 800');
});

test('gauges are brought up to date when somebody looks', async () => {
  const metrics = createMetrics();
  let days = 10;
  metrics.onScrape(() => metrics.certificate(days--, true));

  expect(await scrape(metrics)).toContain('keyless_pull_certificate_days_left 10');
  expect(await scrape(metrics)).toContain('keyless_pull_certificate_days_left 9');
});

test('what nobody knows yet is no zero that would wake people up', async () => {
  const text = await scrape(createMetrics());

  expect(text).toContain('keyless_pull_certificate_days_left Nan');
  expect(text).toContain('keyless_pull_exemption_days_left +Inf');
});

test('what an alert watches is there from the start, so that the first late pod is a change', async () => {
  const text = await scrape(createMetrics());

  for (const outcome of ['ready', 'refused', 'late'])
    expect(text).toContain(`keyless_pull_gate_seconds_count{outcome="${outcome}"} 0`);
});
