// What alerts and dashboard speak of is there: the real program on a real API server, made to do and to fail at what
// is counted, and the series that both expose then.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { metricTable } from '../../src/server/metric-table.ts';
import { freePort } from '../../tools/free-ports.ts';
import { waitUntil } from '../../tools/processes.ts';
import { apiServerSeries, exposedIn, labelsOf, scrapedLabels } from '../alerts/live-series.ts';
import { alertsPath, readAlerts, selectorsIn } from '../alerts/rules-file.ts';
import { dashboardQueries } from '../alerts/dashboard.ts';
import { healthy, scenarios } from '../alerts/scenarios.ts';
import { openArena, type Arena, type Program } from '../cluster/arena.ts';

let arena: Arena;
let webhook: Program;
let worker: Program;
const texts: string[] = [];
/** Label names by series name, as each was seen. */
let exposed: ReadonlyMap<string, ReadonlySet<string>>;
/** Its process is another one: test/token-server. */
const TOKEN_SERVER = /^keyless_pull_token_server_/;

const post = (path: string, body: unknown) => arena.controlPlane.admin('POST', path, body);

async function addNamespace(name: string, labels: Record<string, string>): Promise<void> {
  await post('/api/v1/namespaces', { metadata: { name, labels } });
  await post(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'web' } });
}

const podOf = (name: string, image: string, more: object = {}) => ({
  metadata: { name },
  spec: { serviceAccountName: 'web', containers: [{ name: 'app', image }], ...more },
});

beforeAll(async () => {
  const away = `localhost:${await freePort()}`;
  arena = await openArena({
    audiences: ['https://away.example'],
    rules: [
      { name: 'away', hosts: [away], audience: 'https://away.example', exchange: { kind: 'token-realm' } },
    ],
    policy: {
      exemptions: [{ namespace: 'none', until: '2999-01-01', reason: 'so that there is one' }],
    },
  });
  webhook = await arena.start('webhook', 'webhook');
  worker = await arena.start('worker', 'worker');
  await waitUntil('it leads', async () => worker.isLeading(), { deadlineMs: 30_000 });
  await addNamespace('shop', { 'keyless-pull.dev/inject': 'enabled' });
  await addNamespace('legacy', { 'keyless-pull.dev/static-pull-secrets': 'warn' });
  await addNamespace('strict', { 'keyless-pull.dev/static-pull-secrets': 'enforce' });
  const isAsked = async () => {
    const answer = await post('/api/v1/namespaces/shop/pods?dryRun=All', podOf('probe', `${arena.host}/a:1`));
    return JSON.stringify(answer.body).includes('imagePullSecrets');
  };
  await waitUntil('the webhook is asked', isAsked, { deadlineMs: 60_000 });
  const statics = { imagePullSecrets: [{ name: 'nexus' }] };
  await post('/api/v1/namespaces/shop/pods', podOf('good', `${arena.host}/shop/web:1`));
  await post('/api/v1/namespaces/shop/pods', podOf('late', `${away}/shop/web:1`));
  await post('/api/v1/namespaces/legacy/pods', podOf('static', `${arena.host}/shop/web:1`, statics));
  await arena.waitForRelease('shop', 90);
  await waitUntil(
    'a failed exchange is counted',
    async () => /exchanges_total\{rule="away",outcome="failed"/.test(await worker.metrics()),
    { deadlineMs: 60_000 },
  );
  texts.push(await webhook.metrics(), await worker.metrics());
  // Nobody listens any more: entries that fail closed refuse, and those that fail open let pass.
  webhook.kill('SIGKILL');
  await webhook.ended();
  await post('/api/v1/namespaces/shop/pods', podOf('refused', `${arena.host}/shop/web:1`));
  await post('/api/v1/namespaces/legacy/pods', podOf('passed', `${arena.host}/shop/web:1`, statics));
  texts.push(String((await arena.controlPlane.admin<string>('GET', '/metrics')).body));
  exposed = exposedIn(texts.join('\n'));
});
afterAll(() => arena?.[Symbol.asyncDispose]());

test('every series that the rule tests are made of is exposed, with the same labels', () => {
  const series = [...Object.keys(healthy), ...scenarios.flatMap(({ scraped }) => Object.keys(scraped))];

  for (const one of series.flatMap(selectorsIn))
    if (!TOKEN_SERVER.test(one.name)) expect(exposed.get(one.name), one.name).toContain(scrapedLabels(one));
});

test('every series that an alert or the dashboard asks for is exposed', () => {
  const asked = [...readAlerts(alertsPath), ...dashboardQueries()].flatMap(({ expr }) => selectorsIn(expr));
  // Nothing was repaired, healed or ended here.
  const quiet = /^keyless_pull_(repairs|pod_healings|records_ended|watch_restarts)_total$/;

  for (const { name } of asked) if (!quiet.test(name)) expect([...exposed.keys()]).toContain(name);
});

test('what is exposed has the labels of the tables, ours and the API server’s', () => {
  for (const [name, seen] of exposed) {
    const labels = apiServerSeries[name] ?? labelsOf(name);
    if (labels) expect([...seen], name).toEqual([labels.toSorted().join()]);
    else expect(name).not.toMatch(/^keyless_pull_/);
  }
});

test('types are those of the table', () => {
  const types = new Map(
    texts.flatMap((text) =>
      [...text.matchAll(/^# TYPE keyless_pull_(\w+) (\w+)$/gm)].map(
        ([, name, type]) => [name, type] as const,
      ),
    ),
  );

  expect(types).toEqual(new Map(Object.entries(metricTable).map(([name, { type }]) => [name, type])));
});

test('the failures that alerts wait for are told as the alerts ask for them', () => {
  const all = texts.join('\n');

  expect(all).toMatch(
    /keyless_pull_exchanges_total\{rule="away",outcome="failed",code="exchange-unreachable"\} [1-9]/,
  );
  expect(all).toMatch(/keyless_pull_credentials\{rule="away",state="exchange-unreachable"\} 1/);
  expect(all).toMatch(/keyless_pull_credential_life_left_ratio\{rule="team"\} 0\.9/);
  expect(all).toMatch(
    /webhook_rejection_count\{error_type="calling_webhook_error",name="mutate\.keyless-pull\.dev"/,
  );
  expect(all).toMatch(/webhook_fail_open_count\{name="warn\.keyless-pull\.dev",type="validating"\} [1-9]/);
});
