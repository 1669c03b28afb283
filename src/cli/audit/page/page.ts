// One HTML page with everything in it: no request leaves it, and its own policy would stop one. It may be mailed, printed, and
// read without its script.
import { hash } from 'node:crypto';
import { notesOf } from '../notes.ts';
import { barChart, type Bar } from './charts.ts';
import { markup, NOTHING, trusted, type Markup } from './markup.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';
import { identitiesTable, inventoryTable } from './inventory-tables.ts';
import { byImpact, findingsTable } from './tables.ts';
import { WAYS, type AuditReport } from '../report.ts';

const sourceOf = (text: string) => `'sha256-${hash('sha256', text, 'base64')}'`;
const POLICY = [
  "default-src 'none'",
  `style-src ${sourceOf(STYLE)}`,
  `script-src ${sourceOf(SCRIPT)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const ORIGINS = { explicit: 'explicit: written in the object', inherited: 'inherited from the account' };
const WAY_NAMES = {
  explicit: 'explicit',
  inherited: 'inherited',
  none: 'none, or the node',
  ours: 'keyless-pull',
};

/** @param now epoch milliseconds */
export function pageOf(report: AuditReport, now: number): string {
  const { findings, inventory, identities, summary } = report;
  const notes = notesOf(report);
  const day = new Date(now).toISOString().replace('T', ' ').slice(0, 16);
  const page = markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="referrer" content="no-referrer" />
        <title>Static pull secrets: audit of ${day}</title>
        <style>${trusted(STYLE)}</style>
      </head>
      <body>
        <header>
          <div>
            <h1>Static pull secrets and registries</h1>
            <p class="soft">
              keyless-pull audit of ${summary.source === 'cluster' ? 'a running cluster' : 'files'}, ${day}
              UTC
            </p>
          </div>
          <button type="button" class="button" id="theme" data-scripted hidden>Dark</button>
        </header>
        <main>
          ${tilesOf(report)}
          ${
            notes.length > 0
              ? markup`<ul class="notes">
                  ${notes.map((note) => markup`<li>${note}</li>`)}
                </ul>`
              : NOTHING
          }
          ${chartsOf(report, now)}
          <h2>Findings</h2>
          ${findings.length > 0 ? findingsTable(byImpact(report), now) : markup`<p>No object uses a static pull secret.</p>`}
          <h2>Registries in use</h2>
          ${inventory.length > 0 ? inventoryTable(inventory) : markup`<p>No image names one.</p>`}
          ${
            identities.length > 0
              ? markup`<h2>Accounts with an identity in a cloud</h2>
                  ${identitiesTable(identities)}`
              : NOTHING
          }
          <h2>How to read this</h2>
          <dl>
            <dt>Static pull secret</dt>
            <dd>
              an entry of imagePullSecrets with a stored password, which keyless-pull neither made nor renews
            </dd>
            <dt>Explicit, inherited</dt>
            <dd>written in the object itself, or brought into its pods by the ServiceAccount</dd>
            <dt>Rule</dt>
            <dd>
              whether the config has a rule for every registry that is pulled from, so that pods could have
              credentials of their own
            </dd>
            <dt>Others</dt>
            <dd>other objects that use the same Secret: it can go when none is left</dd>
            <dt>To do</dt>
            <dd>what is missing for credentials of its own, and the line to remove then</dd>
          </dl>
        </main>
        <footer>
          The page has no password in it: of Secrets it knows type, age and registry hosts. Made by
          keyless-pull audit.
        </footer>
        <script>${trusted(SCRIPT)}</script>
      </body>
    </html> `;
  return page.html;
}

function tilesOf({ summary }: AuditReport): Markup {
  const { findings, exempt, secrets, namespaces, registries, covered, withConfig, looked } = summary;
  const tile = (number: number | string, what: string) => markup`<li><b>${number}</b>${what}</li>`;
  return markup`<ul class="tiles">
    ${tile(findings, exempt > 0 ? `findings, ${exempt} more exempt` : 'findings')}
    ${tile(secrets, 'static pull secrets')} ${tile(namespaces, 'namespaces with findings')}
    ${tile(withConfig ? covered : '?', 'findings covered by a rule')} ${tile(registries, 'registries in use')}
    ${tile(looked.pods, `pods looked at, ${looked.workloads} workloads`)}
  </ul>`;
}

function chartsOf({ findings, inventory }: AuditReport, now: number): Markup {
  const registries = inventory.map(({ host, ways }): Bar => ({
    label: host,
    parts: WAYS.map((way) => ({ kind: way, count: ways[way].workloads })),
  }));
  const spaces = new Map<string, { explicit: number; inherited: number }>();
  for (const { namespace, origin } of findings) {
    const counts = spaces.get(namespace) ?? { explicit: 0, inherited: 0 };
    counts[origin]++;
    spaces.set(namespace, counts);
  }
  const namespaces = [...spaces].map(([label, { explicit, inherited }]): Bar => ({
    label,
    parts: [
      { kind: 'explicit', count: explicit },
      { kind: 'inherited', count: inherited },
    ],
  }));
  const longest = (bars: readonly Bar[]) => bars.toSorted((one, other) => sizeOf(other) - sizeOf(one));
  return markup`<div class="charts">
    ${barChart('How objects get in, by registry', longest(registries), WAY_NAMES)}
    ${barChart('Findings by namespace', longest(namespaces), ORIGINS)}
    ${barChart('Age of the Secrets in use', agesOf(findings, now), {})}
  </div>`;
}

function sizeOf({ parts }: Bar): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}

const DAY_MS = 86_400_000;
const AGES: readonly (readonly [number, string])[] = [
  [30, 'under 30 days'],
  [90, '30 to 90 days'],
  [365, '90 days to a year'],
  [730, 'one to two years'],
  [Infinity, 'over two years'],
];

/** Each Secret once; none where no age is known. */
function agesOf(findings: AuditReport['findings'], now: number): Bar[] {
  const secrets = new Map(
    findings.flatMap(({ namespace, secret, secretCreatedAt: at }) =>
      at === null ? [] : [[`${namespace}/${secret}`, Date.parse(at)]],
    ),
  );
  if (secrets.size === 0) return [];
  const counts = new Map(AGES.map(([, label]) => [label, 0]));
  for (const createdAt of secrets.values()) {
    const [, label = ''] = AGES.find(([days]) => now - createdAt < days * DAY_MS) ?? [];
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].map(([label, count]) => ({ label, parts: [{ kind: 'accent', count }] }));
}
