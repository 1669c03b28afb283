// The token server's metrics port, on real sockets.
import { Agent, fetch as undiciFetch } from 'undici';
import { expect, test } from 'vitest';
import { runTokenServer } from '../../src/cli/token-server.ts';
import { createLog } from '../../src/log.ts';
import { tokenServerMetricTable } from '../../src/server/metric-table.ts';
import { exposedIn, scrapedLabels } from '../alerts/live-series.ts';
import { selectorsIn } from '../alerts/rules-file.ts';
import { healthy, scenarios } from '../alerts/scenarios.ts';
import { freePort } from '../../tools/free-ports.ts';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { problemOf, setUpTrust, until } from './set-up.ts';

const DAY_MS = 86_400_000;

async function setUp() {
  const trust = await setUpTrust();
  const { folder, issuer, clock } = trust;
  const authority = await createTestAuthority();
  const pair = await authority.issue('token server');
  const keyFile = folder.write('key.pem', pair.keyPem);
  const certificateFile = folder.write('chain.pem', pair.certificatePem);
  const files = { keyFile, certificateFile };
  const config = folder.write(
    'config.yaml',
    JSON.stringify({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'TokenServerConfig',
      registry: { service: 'registry.team.example', issuer: 'keyless-pull' },
      signing: { keys: [files] },
      tls: files,
      listen: { host: '127.0.0.1', port: 0 },
      issuers: [
        {
          issuer: issuer.url,
          audience: issuer.audience,
          certificateAuthorityFile: trust.trusted.certificateAuthorityFile,
        },
      ],
    }),
  );
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const metricsPort = await freePort();
  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}${path}`, {
      headers: { connection: 'close' },
    });
    return { status: answer.status, text: await answer.text() };
  };
  return {
    clock,
    issuer,
    lines,
    authorityPem: authority.certificatePem,
    get,
    start: () => runTokenServer({ config, metricsPort }, { clock, log }),
    [Symbol.asyncDispose]: trust[Symbol.asyncDispose],
  };
}

test('it answers probes and exposes every metric of the table', async () => {
  await using world = await setUp();
  await using _server = await world.start();

  const { text } = await world.get('/metrics');

  const types = [...text.matchAll(/^# TYPE keyless_pull_(\w+) (\w+)$/gm)].map(([, name, type]) => [
    name,
    type,
  ]);
  expect(types).toEqual(Object.entries(tokenServerMetricTable).map(([name, { type }]) => [name, type]));
  expect(text).toContain(`token_server_issuer_ready{issuer="${world.issuer.url}"} 1`);
  for (const name of ['certificate', 'signing_certificate'])
    expect(
      Number(new RegExp(`^keyless_pull_token_server_${name}_days_left (.+)$`, 'm').exec(text)?.[1]),
    ).toBeGreaterThan(0);
  expect((await world.get('/healthz')).status).toBe(200);
  expect(await world.get('/readyz')).toEqual({ status: 200, text: '{"status":"ready"}\n' });
});

test('every series that its alerts are tested with is exposed, with the same labels', async () => {
  await using world = await setUp();
  await using server = await world.start();
  const dispatcher = new Agent({ allowH2: false, connect: { ca: world.authorityPem } });
  await undiciFetch(`${server.url}/auth/token`, {
    headers: { authorization: `Basic ${btoa('team-a/builder:wrong')}` },
    dispatcher,
  });
  await dispatcher.close();

  const exposed = exposedIn((await world.get('/metrics')).text);

  const series = [...Object.keys(healthy), ...scenarios.flatMap(({ scraped }) => Object.keys(scraped))];
  const ours = series
    .flatMap(selectorsIn)
    .filter(({ name }) => name.startsWith('keyless_pull_token_server_'));
  expect(ours.length).toBeGreaterThan(0);
  for (const one of ours) expect(exposed.get(one.name), one.name).toContain(scrapedLabels(one));
});

test('it is not ready while no issuer can be asked, says why, and needs no login to become so', async () => {
  await using world = await setUp();
  world.issuer.mood = 'dropping';
  await using _server = await world.start();

  const before = await world.get('/readyz');
  const unready = await world.get('/metrics');
  world.issuer.mood = 'well';
  await world.clock.advance(5000);
  await until(() => world.lines.join().includes('the issuer can be asked now'));
  const after = await world.get('/readyz');

  expect(before.status).toBe(503);
  expect(before.text).toContain(`"issuers":"no issuer can be asked yet: ${world.issuer.url}: `);
  expect(unready.text).toContain(`token_server_issuer_ready{issuer="${world.issuer.url}"} 0`);
  expect(after.status).toBe(200);
  expect((await world.get('/metrics')).text).toContain(`issuer_ready{issuer="${world.issuer.url}"} 1`);
});

test('it stays ready through an outage of an issuer that could be asked once', async () => {
  await using world = await setUp();
  await using _server = await world.start();
  world.issuer.mood = 'dropping';
  await world.clock.advance(60_000);

  expect((await world.get('/readyz')).status).toBe(200);
});

test('it is alive and not ready when the certificates have ended', async () => {
  await using world = await setUp();
  await using _server = await world.start();
  world.clock.turn(100 * 365 * DAY_MS);

  const { status, text } = await world.get('/readyz');

  expect(status).toBe(503);
  expect(JSON.parse(text)).toEqual({
    status: 'waiting',
    waiting: {
      'signing-key': 'the certificate that registry tokens are signed with has expired',
      certificate: 'the serving certificate has expired',
    },
  });
  expect((await world.get('/metrics')).text).toMatch(/token_server_certificate_days_left -\d/);
  expect((await world.get('/healthz')).status).toBe(200);
});

test('it says that the token server is stopping, as long as an answer is on its way', async () => {
  await using world = await setUp();
  const server = await world.start();
  const dispatcher = new Agent({ allowH2: false, connect: { ca: world.authorityPem } });
  const login = () =>
    undiciFetch(`${server.url}/auth/token`, {
      headers: { authorization: `Basic ${btoa('team-a/builder:wrong')}` },
      dispatcher,
    });
  for (let time = 0; time < 5; time++) await login();
  const seen = world.lines.length;
  const held = login();
  await until(() => world.lines.length > seen);

  const stopped = server[Symbol.asyncDispose]();
  const { status, text } = await world.get('/readyz');
  await world.clock.advance(250);

  expect([status, JSON.parse(text)]).toEqual([
    503,
    { status: 'waiting', waiting: { stopping: 'this replica is stopping' } },
  ]);
  expect((await held).status).toBe(401);
  await stopped;
  await dispatcher.close();
});

test('it closes with the token server', async () => {
  await using world = await setUp();
  const server = await world.start();
  await server[Symbol.asyncDispose]();

  await expect(world.get('/healthz')).rejects.toThrow();
});

test('a second one on the same port is refused, by the port that is taken', async () => {
  await using world = await setUp();
  await using _server = await world.start();

  const problem = await problemOf(world.start());

  expect(problem.code).toBe('port-taken');
  expect(problem.message).toContain('metrics port');
});
