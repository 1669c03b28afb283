// What is measured on the way, and that nobody from outside can make series without end.
import supertest from 'supertest';
import { expect, test } from 'vitest';
import { coverage, gateOutcome, measuredExchange, recordCounts } from '../../src/cli/measured.ts';
import { Problem, problemCodes } from '../../src/problem.ts';
import { metricTable } from '../../src/server/metric-table.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import type { PullCredentialRecord, RecordStatus } from '../../src/core/pull-credential-record.ts';
import { createAdmissionWorld, podOf, reviewOf } from '../fakes/admission-routes.ts';
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const MINUTE_MS = 60_000;

function record(rule: string, status?: Partial<RecordStatus>): PullCredentialRecord {
  const whole = {
    isReady: false,
    reason: 'issued',
    message: '',
    changedAt: 0,
    issuedAt: 0,
    expiresAt: 0,
    refreshAt: 0,
    digest: '',
    tokenId: '',
    secretUid: '',
  } as const;
  return {
    namespace: 'team-a',
    name: 'keyless-pull-web',
    uid: 'uid',
    resourceVersion: '1',
    isDeleting: false,
    account: 'web',
    accountUid: 'uid-of-web',
    rule,
    principal: '',
    host: 'registry.team.example',
    secretName: 'keyless-pull-web',
    ...(status && { status: { ...whole, ...status } }),
  };
}

const covered = () => true;

const ready = (issuedAt: number, expiresAt: number, more: Partial<RecordStatus> = {}) => ({
  isReady: true,
  issuedAt,
  expiresAt,
  ...more,
});

test('records are counted by rule and state, with the least that ready ones have left', () => {
  const records = [
    record('team', ready(0, 60 * MINUTE_MS)),
    record('team', ready(0, 40 * MINUTE_MS)),
    record('team', { reason: 'exchange-refused' }),
    record('team'),
  ];

  const counts = recordCounts(records, covered, 30 * MINUTE_MS);

  expect(counts).toEqual([
    { rule: 'team', state: 'ready', count: 2, first: { secondsToExpiry: 600, lifeLeft: 0.25 } },
    { rule: 'team', state: 'exchange-refused', count: 1 },
    { rule: 'team', state: 'pending', count: 1 },
  ]);
});

test('a credential that has ended is counted as such, whatever its renewal stumbles over', () => {
  const ended = { issuedAt: 1, expiresAt: 0 };
  const records = [
    record('team', { ...ended, reason: 'credential-expired' }),
    record('team', { ...ended, reason: 'exchange-refused' }),
    record('team', { ...ended, reason: 'exchange-unreachable' }),
    // Nobody has got round to emptying it.
    record('team', ready(1, 10 * MINUTE_MS)),
  ];

  const counts = recordCounts(records, covered, 10 * MINUTE_MS);

  expect(counts).toEqual([{ rule: 'team', state: 'credential-expired', count: 4 }]);
});

test('an account that never had a credential, or whose Secret is another’s now, has lost none', () => {
  const records = [
    record('team', { reason: 'exchange-unreachable' }),
    record('team', { issuedAt: 1, reason: 'secret-not-ours' }),
  ];

  expect(recordCounts(records, covered, MINUTE_MS).map(({ state }) => state)).toEqual([
    'exchange-unreachable',
    'secret-not-ours',
  ]);
});

test('what no rule covers any more lives out its time, and ends, without waking anybody', () => {
  const rule = ruleFrom({
    name: 'team',
    hosts: ['registry.team.example'],
    subjects: [{ namespaceSelector: { matchLabels: { tier: 'web' } }, serviceAccounts: ['web'] }],
  });
  const ended = { issuedAt: 1, reason: 'credential-expired' } as const;
  const records = [
    record('team', ready(0, 10 * MINUTE_MS)),
    record('gone', ready(0, 10 * MINUTE_MS)),
    { ...record('team', ready(0, 10 * MINUTE_MS)), host: 'other.team.example' },
    { ...record('team', ended), account: 'deployer' },
    { ...record('team', ended), namespace: 'team-b' },
  ];
  const view = {
    namespace: (name: string) => ({
      name,
      labels: { ...(name === 'team-a' && { tier: 'web' }) },
      isTerminating: false,
    }),
  };

  const counts = recordCounts(records, coverage([rule], view), 9 * MINUTE_MS);

  expect(counts).toEqual([
    { rule: 'team', state: 'ready', count: 1, first: { secondsToExpiry: 60, lifeLeft: 0.1 } },
    { rule: '(other)', state: 'ready', count: 2 },
    { rule: '(other)', state: 'credential-expired', count: 2 },
  ]);
});

test('a gate’s end is ready, refused by somebody, or late', () => {
  expect(gateOutcome(undefined)).toBe('ready');
  expect(gateOutcome(new Problem('exchange-refused', 'no'))).toBe('refused');
  expect(gateOutcome(new Problem('namespace-refused', 'left'))).toBe('refused');
  expect(gateOutcome(new Problem('exchange-unreachable', 'away'))).toBe('late');
  expect(gateOutcome(new Problem('deadline', 'nothing came'))).toBe('late');
});

test('an exchange is counted by what became of it, and its failure goes on its way', async () => {
  const counted: unknown[] = [];
  const metrics = {
    exchange: (rule: string, result: string, seconds: number) => counted.push([rule, result, seconds]),
  };
  const refusal = new Problem('exchange-refused', 'no');
  const clock = createHandClock();
  const exchange = measuredExchange(() => Promise.reject(refusal), metrics, clock);
  const planned = plannedOf({ namespace: 'team-a', name: 'web', uid: 'uid' });

  const asked = exchange({} as never, { planned } as never);

  await expect(asked).rejects.toBe(refusal);
  expect(counted).toEqual([['team-registry', 'exchange-refused', 0]]);
});

test('whatever tenants send and write, there are no more series than the table allows', async () => {
  const metrics = createMetrics();
  const { handler, view, answers } = createAdmissionWorld({ metrics });
  const send = (path: string, body: string) =>
    supertest(handler).post(path).set('content-type', 'application/json').send(body);
  for (let at = 0; at < 210; at++) {
    const namespace = `tenant-${at}`;
    view.seen.namespaces.push({ name: namespace, labels: {}, isTerminating: false });
    const pod = podOf(`registry-${at}.example/app:1`, {
      serviceAccountName: `account-${at}`,
      imagePullSecrets: [{ name: `secret-${at}` }],
    });
    const review = reviewOf(pod, { namespace, name: `pod-${at}`, userInfo: { username: `user-${at}` } });
    await send('/validate/audit', JSON.stringify(review));
    await send(`/validate/enforce?mode=${at}`, JSON.stringify(review));
    const other = { group: `g${at}.example`, version: `v${at}`, kind: `Kind${at}` };
    await send(
      '/mutate',
      JSON.stringify(reviewOf({}, { kind: other, namespace, operation: `OPERATION-${at}` })),
    );
    await send(`/mutate/${at}`, JSON.stringify(review));
    await send('/mutate', `{"uid": "${at}"`);
  }
  const records = Array.from({ length: 1_000 }, (_, at) =>
    record(`rule-${at}`, {
      reason: `reason-${at}` as RecordStatus['reason'],
      isReady: at % 7 === 0,
      expiresAt: 1,
    }),
  );
  metrics.records(recordCounts(records, coverage([ruleFrom({ name: 'team-registry' })], view), 0));

  const { text } = await supertest(metrics.handler).get('/metrics');

  const series = text.split('\n').filter((line) => line.startsWith('keyless_pull_'));
  const countOf = (name: string) => series.filter((line) => line.startsWith(`keyless_pull_${name}{`)).length;
  expect(new Set(answers.map((answer) => answer.split(' ')[0])).size).toBe(3);
  expect(countOf('findings_total')).toBeGreaterThan(200);
  expect(countOf('findings_total')).toBeLessThanOrEqual(2 * 201);
  expect(countOf('credentials')).toBe(2);
  const reasons = Object.keys(problemCodes).length + 25;
  expect(countOf('admission_requests_total')).toBeLessThan(
    metricTable.admission_requests_total.labels.path.length * reasons,
  );
  expect(series.length).toBeLessThan(600);
  expect(text).not.toMatch(/tenant-209|account-\d|secret-\d|user-\d|rule-\d|reason-\d|Kind\d|OPERATION/);
});
