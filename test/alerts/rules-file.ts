// The alerts as they are shipped, and what PromQL speaks of: selectors with their matchers, and labels that it groups by.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** Of `serve`, whose metrics the dashboard shows too, and of the token server. */
export const alertsPath = 'charts/keyless-pull/files/alerts.yaml';
export const tokenServerAlertsPath = 'examples/token-server/alerts.yaml';

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}

export function readAlerts(path: string): Alert[] {
  const { groups } = parse(readFileSync(path, 'utf8')) as { groups: { rules: Alert[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

export interface Selector {
  readonly name: string;
  readonly matchers: readonly Matcher[];
}

/** Every series of ours or the API server's that an expression names. */
export function selectorsIn(expr: string): Selector[] {
  return [...expr.matchAll(/\b((?:keyless_pull|apiserver)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', inside = '']) => ({ name, matchers: matchersIn(inside) }),
  );
}

function matchersIn(text: string): Matcher[] {
  return [...text.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
    ([, label = '', operator = '=', value = '']) => ({
      label,
      operator: operator as Matcher['operator'], // one of the pattern's four
      value,
    }),
  );
}

/** What stands in `by (…)`, `on (…)` and `without (…)`. */
export function groupedBy(expr: string): string[] {
  return [...expr.matchAll(/\b(?:by|on|without)\s*\(([^)]*)\)/g)].flatMap(([, names = '']) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
  );
}
