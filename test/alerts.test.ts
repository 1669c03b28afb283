// Alerts and dashboard speak of metrics that there are, and every alert has its runbook. That each fires is tried with
// Prometheus' own program in test/long.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { metricTable } from '../src/server/metric-table.ts';
import { dashboardQueries, readDashboard, type Panel } from './alerts/dashboard.ts';
import { apiServerSeries, faultsOf, labelsOf } from './alerts/live-series.ts';
import {
  alertsPath,
  groupedBy,
  readAlerts,
  selectorsIn,
  tokenServerAlertsPath,
} from './alerts/rules-file.ts';
import { healthy, scenarios } from './alerts/scenarios.ts';

const alerts = [...readAlerts(alertsPath), ...readAlerts(tokenServerAlertsPath)];
const runbooks = readFileSync('docs/runbooks.md', 'utf8');
const sectionsOf = (text: string) => [...text.matchAll(/^## (KeylessPull\w+)$/gm)].map(([, name]) => name);

/** Labels that an expression may group by: those of its series, and the scrape's. */
function ungroupable(expr: string): string[] {
  const known = selectorsIn(expr).flatMap(({ name }) => apiServerSeries[name] ?? labelsOf(name) ?? []);
  return groupedBy(expr).filter((label) => ![...known, 'pod'].includes(label));
}

describe.each(alerts)('$alert', ({ alert, expr, for: pending, labels, annotations }) => {
  test('says how bad it is, in a sentence what is wrong, and where to read on', () => {
    expect(alert).toMatch(/^KeylessPull[A-Z]\w+$/);
    expect(['critical', 'warning', 'info']).toContain(labels.severity);
    expect(pending).toMatch(/^\d+m$/);
    expect(annotations.summary).toMatch(/^.{20,110}\.$/);
    expect(annotations.description).toMatch(/\.$/);
    expect(annotations.runbook_url).toMatch(new RegExp(`/docs/runbooks\\.md#${alert.toLowerCase()}$`));
  });

  test('speaks of series that there can be', () => {
    const selectors = selectorsIn(expr);

    expect(selectors.length).toBeGreaterThan(0);
    expect(selectors.flatMap(faultsOf)).toEqual([]);
    expect(ungroupable(expr)).toEqual([]);
  });

  test('shows only labels that its expression leaves', () => {
    const left = groupedBy(expr);

    for (const [, label] of Object.values(annotations)
      .join(' ')
      .matchAll(/\$labels\.(\w+)/g))
      expect(left).toContain(label);
  });

  test('has a scenario in which it fires', () => {
    expect(scenarios.map((scenario) => scenario.alert)).toContain(alert);
  });
});

test('every alert has its runbook, and every runbook its alert', () => {
  expect(new Set(sectionsOf(runbooks))).toEqual(new Set(alerts.map(({ alert }) => alert)));
  expect(sectionsOf(runbooks)).toHaveLength(alerts.length);
});

test('the table of runbooks has every alert with its severity, in their order', () => {
  const rows = [...runbooks.matchAll(/^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \|/gm)].map((row) => row.slice(1));

  expect(rows).toEqual(
    alerts.map(({ alert, labels }) => [alert, alert.toLowerCase(), labels['severity'] ?? '']),
  );
});

test('every runbook says what it means, how to look, what to do, and when it is over', () => {
  const sections = runbooks.split(/^## (?=KeylessPull)/m).slice(1);

  for (const section of sections) {
    const [name = ''] = section.split('\n');
    for (const part of ['**Means.**', '**Look.**', '**Do.**', '**Over** '])
      expect(section, name).toContain(part);
    expect(section, name).toMatch(/```sh\n/);
  }
});

test('the scenarios are made of series that there can be, with all their labels', () => {
  const series = [...Object.keys(healthy), ...scenarios.flatMap(({ scraped }) => Object.keys(scraped))];

  for (const text of series) {
    const [selector] = selectorsIn(text);
    if (!selector) throw new Error(`${text} is no series of ours`);
    expect(faultsOf(selector), text).toEqual([]);
    const labels = selector.matchers.map(({ label }) => label).filter((label) => label !== 'pod');
    expect(new Set(labels), text).toEqual(new Set(apiServerSeries[selector.name] ?? labelsOf(selector.name)));
  }
});

test('what there cannot be is noticed', () => {
  const faults = (expr: string) => selectorsIn(expr).flatMap(faultsOf);

  expect(faults('keyless_pull_leaders')).toEqual(['there is no metric keyless_pull_leaders']);
  expect(faults('keyless_pull_gate_seconds')).toEqual(['there is no metric keyless_pull_gate_seconds']);
  expect(faults('keyless_pull_gate_seconds_count{result="late"}')).toEqual([
    'keyless_pull_gate_seconds_count has no label result',
  ]);
  expect(faults('keyless_pull_gate_seconds_count{outcome="later"}')).toHaveLength(1);
  expect(faults('keyless_pull_admission_duration_seconds_bucket{le="0.2"}')).toHaveLength(1);
  expect(faults('keyless_pull_exchanges_total{code=~"exchange-(refused|odd)"}')).toHaveLength(1);
});

describe('the dashboard', () => {
  const { panels, templating } = readDashboard();

  test('asks for series that there can be, and names what its legends show', () => {
    for (const { title, expr, legend } of dashboardQueries()) {
      expect(selectorsIn(expr).flatMap(faultsOf), title).toEqual([]);
      expect(ungroupable(expr), title).toEqual([]);
      for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g))
        expect(groupedBy(expr), title).toContain(label);
    }
  });

  test('shows every metric that there is, but for the one that only counts', () => {
    const shown = dashboardQueries()
      .map(({ expr }) => expr)
      .join(' ');
    const hidden = Object.keys(metricTable).filter((name) => !shown.includes(`keyless_pull_${name}`));

    expect(hidden).toEqual(['config_reloads_total']);
  });

  test('asks whatever data source is chosen', () => {
    expect(templating.list).toContainEqual(
      expect.objectContaining({ name: 'datasource', type: 'datasource' }),
    );
    for (const { datasource, targets = [], type, title } of panels) {
      if (type === 'row') continue;
      expect(targets.length, title).toBeGreaterThan(0);
      for (const source of [datasource, ...targets.map((target) => target.datasource)])
        expect(source?.uid, title).toBe('${datasource}');
    }
  });

  test('has rows for credentials, admission, exchanges, the worker and certificates', () => {
    const rows = panels.filter(({ type }) => type === 'row').map(({ title }) => title);

    expect(rows).toEqual(['Credentials', 'Admission', 'Exchanges', 'Worker', 'Certificates, fences, config']);
  });

  test('gives every panel an id and a place of its own', () => {
    const overlaps = (one: Panel, other: Panel) => {
      const [a, b] = [one.gridPos, other.gridPos];
      return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    };

    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const [at, panel] of panels.entries()) {
      expect(panel.gridPos.x + panel.gridPos.w, panel.title).toBeLessThanOrEqual(24);
      for (const other of panels.slice(at + 1)) expect(overlaps(panel, other), other.title).toBe(false);
    }
  });
});
