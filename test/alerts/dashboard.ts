// The dashboard as it is shipped, and its queries as Prometheus would be sent them.
import { readFileSync } from 'node:fs';

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

export interface Dashboard {
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
  readonly panels: readonly Panel[];
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync('charts/keyless-pull/files/dashboard.json', 'utf8')) as Dashboard;
}

/** With Grafana's variables filled in. */
export function dashboardQueries(): { title: string; expr: string; legend: string }[] {
  return readDashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      title,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$rule', '.*'),
      legend: legendFormat,
    })),
  );
}
