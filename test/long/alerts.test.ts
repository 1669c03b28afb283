// Each alert fires when it should, alone, and ends when all is well again: Prometheus' own promtool runs the rules over
// what it would have scraped.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { findParts } from '../../tools/parts.ts';
import { alertsPath, readAlerts, tokenServerAlertsPath } from '../alerts/rules-file.ts';
import { healthy, scenarios, type Scenario, type Scraped } from '../alerts/scenarios.ts';
import { dashboardQueries } from '../alerts/dashboard.ts';

let promtool: string;
let folder: string;
beforeAll(async () => {
  ({ promtool } = await findParts(['promtool']));
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-alerts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const paths = [alertsPath, tokenServerAlertsPath];
const severityOf = (name: string) =>
  paths.flatMap(readAlerts).find(({ alert }) => alert === name)?.labels.severity ?? '';

/** A rule test that says which alerts fire at which minutes, and that no others do. */
function ruleTest(name: string, scraped: Scraped, firing: ReadonlyMap<number, readonly object[]>) {
  return {
    name,
    interval: '1m',
    input_series: Object.entries({ ...healthy, ...scraped }).map(([series, values]) => ({ series, values })),
    promql_expr_test: [...firing].map(([minute, alerts]) => ({
      expr: 'ALERTS{alertstate="firing"}',
      eval_time: `${minute}m`,
      exp_samples: alerts.map((labels) => ({ labels: seriesOf(labels), value: 1 })),
    })),
  };
}

function seriesOf(labels: object): string {
  const pairs = Object.entries({ ...labels, alertstate: 'firing' }).map(
    ([label, value]) => `${label}="${value}"`,
  );
  return `ALERTS{${pairs.join(',')}}`;
}

function run(name: string, tests: readonly object[]) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    stringify(
      { rule_files: paths.map((path) => resolve(path)), evaluation_interval: '1m', tests },
      { lineWidth: 0 },
    ),
  );
  const { status, stdout, stderr } = spawnSync(promtool, ['test', 'rules', file], { encoding: 'utf8' });
  return { status, printed: stdout + stderr };
}

test.each(paths)('the rules in %s are rules', (path) => {
  const printed = execFileSync(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', path], {
    encoding: 'utf8',
  });

  expect(printed).toContain(`SUCCESS: ${readAlerts(path).length} rules found`);
});

test('nothing fires in three hours in which all is well', () => {
  const never = new Map([1, 10, 30, 60, 120, 179].map((minute) => [minute, []]));

  expect(run('healthy', [ruleTest('healthy', {}, never)])).toMatchObject({ status: 0 });
});

test.each(scenarios.map((scenario) => ({ title: `${scenario.alert}: ${scenario.what}`, scenario })))(
  '$title',
  ({ scenario }) => {
    const { alert: alertname, labels, notYet, fires, over } = scenario;
    const alert = { alertname, severity: severityOf(alertname), ...labels };

    const { status, printed } = run('scenario', [
      ruleTest(
        alertname,
        scenario.scraped,
        new Map<number, object[]>([
          [notYet, []],
          [fires, [alert]],
          [over, []],
        ]),
      ),
    ]);

    expect(printed).toContain('SUCCESS');
    expect(status).toBe(0);
  },
);

test('a rule test that expects the wrong thing fails, so that those above say something', () => {
  const { alert, scraped, fires } = scenarios[0] as Scenario;

  const { status, printed } = run('wrong', [ruleTest(alert, scraped, new Map([[fires, []]]))]);

  expect(status).toBe(1);
  expect(printed).toContain('KeylessPullWorkerMissing');
});

test('every query of the dashboard is PromQL', () => {
  for (const { expr } of dashboardQueries()) {
    const { status, stderr } = spawnSync(promtool, ['--experimental', 'promql', 'format', expr], {
      encoding: 'utf8',
    });
    expect(stderr, expr).toBe('');
    expect(status, expr).toBe(0);
  }
});
