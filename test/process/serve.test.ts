// The real program as a process: what it says and how it ends when something is wrong from the start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { metricTable } from '../../src/server/metric-table.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { freePort, freePorts } from '../../tools/free-ports.ts';
import { waitUntil } from '../../tools/processes.ts';
import { labelsOf } from '../alerts/live-series.ts';
import { podObject } from '../cli/fake-user-cluster.ts';
import { writeKubeconfig } from '../cli/kubeconfig-file.ts';
import { startStubApiServer, type StubRequest } from '../cluster-edge/stub-api-server.ts';

let folder: string;
let certificate: readonly string[];
let nowhere: string;

const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const CONFIG = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team
    hosts: ["registry.team.example:5000"]
    audience: https://registry.team.example
    exchange: { kind: pass-through }
`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-process-'));
  const pair = await (await createCertificateAuthority('test')).issue(['127.0.0.1']);
  certificate = ['--tls-cert', file('tls.crt', pair.certificate), '--tls-key', file('tls.key', pair.key)];
  nowhere = file('kubeconfig', kubeconfigFor(await freePort()));
});

afterAll(() => rmSync(folder, { recursive: true }));

/** A cluster where nothing listens. */
function kubeconfigFor(port: number): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    clusters: [{ name: 'here', cluster: { server: `https://127.0.0.1:${port}` } }],
    users: [{ name: 'me', user: { token: 'unused' } }],
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
  });
}

function start(words: readonly string[], program = 'src/main.ts') {
  const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (printed.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (printed.err += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => Number(code));
  return { child, printed, ended };
}

async function run(words: readonly string[], program?: string) {
  const { printed, ended } = start(words, program);
  return { code: await ended, ...printed };
}

describe('keyless-pull serve, wrong from the start', () => {
  test('lists every fault of the config with its line, and ends with 2', async () => {
    const config = file(
      'faulty.yaml',
      CONFIG.replace('name: team', 'name: Team').replace('kind: pass-through', 'kind: magic'),
    );

    const { code, err } = await run(['--config', config, '--kubeconfig', nowhere, ...certificate]);

    expect(code).toBe(2);
    expect(err).toContain('has 2 faults');
    expect(err).toMatch(/faulty\.yaml:4: rules\[0\]\.name: /);
    expect(err).toMatch(/faulty\.yaml:7: rules\[0\]\.exchange\.kind: /);
  });

  test('says in one sentence that the certificate cannot be read, and ends with 2', async () => {
    const config = file('good.yaml', CONFIG);
    const tls = ['--tls-cert', join(folder, 'none.crt'), '--tls-key', join(folder, 'none.key')];
    const ports = ['--port', '0', '--metrics-port', '0'];

    const { code, err } = await run(['--config', config, '--kubeconfig', nowhere, ...ports, ...tls]);

    expect(code).toBe(2);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toContain('none.crt: there is no such file (certificate-unreadable)');
  });

  test('says in one sentence that the port is taken, and ends with 2', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const port = String((taken.address() as { port: number }).port);
    const config = file('good.yaml', CONFIG);
    const ports = ['--host', '127.0.0.1', '--port', port, '--metrics-port', '0'];

    const { code, err } = await run(['--config', config, '--kubeconfig', nowhere, ...ports, ...certificate]);

    taken.close();
    expect(code).toBe(2);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toContain(`port ${port}: another program listens there (port-taken)`);
  });

  test('without a certificate it says which flags to pass, and ends with 64', async () => {
    const { code, err } = await run([
      '--config',
      file('good.yaml', CONFIG),
      '--kubeconfig',
      nowhere,
      '--metrics-port',
      '0',
    ]);

    expect(code).toBe(64);
    expect(err).toContain('pass --tls-cert and --tls-key');
  });

  test('waits visibly for an API server that is away, and stops cleanly on SIGTERM', async () => {
    const [port, metricsPort] = await freePorts(2);
    const ports = ['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)];
    const { child, printed, ended } = start([
      '--config',
      file('good.yaml', CONFIG),
      '--kubeconfig',
      nowhere,
      ...ports,
      ...certificate,
    ]);
    await waitUntil('it has started', async () => printed.out.includes('"started"'), { deadlineMs: 60_000 });

    const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
    const reasons = await answer.text();
    const alive = await fetch(`http://127.0.0.1:${metricsPort}/healthz`);
    const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    child.kill('SIGTERM');

    expect(answer.status).toBe(503);
    expect(reasons).toContain('has not yet listed namespaces');
    expect(reasons).toContain('fences');
    expect(alive.status).toBe(200);
    const exposed = [...metrics.matchAll(/^# TYPE keyless_pull_(\w+) (\w+)$/gm)].map(([, name, type]) => [
      name,
      type,
    ]);
    expect(exposed).toEqual(Object.entries(metricTable).map(([name, { type }]) => [name, type]));
    for (const [, name = '', labels = ''] of metrics.matchAll(/^(keyless_pull_\w+)(?:\{(.*)\})? /gm))
      expect(labelsOf(name), name).toEqual(
        expect.arrayContaining([...labels.matchAll(/(\w+)="/g)].map(([, label]) => label)),
      );
    expect(await ended).toBe(0);
    expect(printed.err).toBe('');
  });
});

/** An API server that has one pod to release, and never answers to what that takes first. */
function handleWithOnePod(request: StubRequest, onHang: () => void): void {
  const { method, path, query } = request;
  const version = { resourceVersion: '10' };
  const list = (...items: object[]) => request.answer(200, { metadata: version, items });
  const labels = { 'keyless-pull.dev/inject': 'enabled' };
  if (query['watch']) request.watch();
  else if (method === 'POST' && path.endsWith('/pullcredentials')) onHang();
  else if (path.endsWith('/leases') && method === 'GET') list();
  else if (path.includes('/leases')) request.answer(201, { ...(request.body as object), metadata: version });
  else if (path.endsWith('/selfsubjectaccessreviews')) request.answer(201, { status: { allowed: true } });
  else if (method !== 'GET') request.refuse(403, 'Forbidden');
  else if (path.endsWith('/namespaces')) list({ metadata: { ...version, name: 'shop', labels } });
  else if (path.endsWith('/serviceaccounts'))
    list({ metadata: { ...version, namespace: 'shop', name: 'web', uid: 'uid-web' } });
  else if (path.endsWith('/pods'))
    list(podObject({ gated: true, image: 'registry.team.example:5000/web:1' }));
  else list();
}

test('a worker whose last call hangs keeps the webhook beside it from no drain: readiness fails at once', async () => {
  await using stub = await startStubApiServer();
  const hanging = Promise.withResolvers<void>();
  stub.handle = (request) => handleWithOnePod(request, hanging.resolve);
  const [port, metricsPort] = await freePorts(2);
  const { child, printed, ended } = start([
    ...['--config', file('trial.yaml', `${CONFIG}fences: optional\n`), '--kubeconfig', writeKubeconfig(stub)],
    ...['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)],
    ...['--linger-seconds', '600', ...certificate],
  ]);
  const readyz = () => fetch(`http://127.0.0.1:${metricsPort}/readyz`);
  await waitUntil('it is ready', async () => (await readyz()).ok, { deadlineMs: 60_000 });
  await hanging.promise;

  child.kill('SIGTERM');

  await waitUntil('it says that it stops', async () => (await (await readyz()).text()).includes('stopping'), {
    deadlineMs: 60_000,
  });
  // What it prints comes by another way than its answers.
  await waitUntil('it prints so', async () => printed.out.includes('"stopping"'), { deadlineMs: 60_000 });
  child.kill('SIGKILL');
  await ended;
});

describe('keyless-pull on the command line', () => {
  test('prints help that names every command, and ends with 0', async () => {
    const { code, out } = await run(['--help'], 'src/cli/main.ts');

    expect(code).toBe(0);
    for (const command of ['serve', 'token-server', 'render', 'check-config']) expect(out).toContain(command);
  });

  test.each([
    ['an unknown command', ['audit-everything'], "unknown command 'audit-everything'"],
    ['an unknown flag', ['render', '-f', 'x', '--config', 'y', '--frob'], "unknown option '--frob'"],
    ['a missing flag', ['check-config'], "'--config <file>' not specified"],
    [
      'a port that is none',
      ['serve', '--config', 'x', '--port', '70000'],
      'a port is a number from 0 to 65535',
    ],
  ])('%s is wrong use: one sentence, and 64', async (_what, words, sentence) => {
    const { code, out, err } = await run(words, 'src/cli/main.ts');

    expect(code).toBe(64);
    expect(out).toBe('');
    expect(err).toContain(sentence);
  });

  test('runs on the Node of the package, not of the machine', () => {
    expect(Number(process.versions.node.split('.')[0])).toBeGreaterThanOrEqual(24);
  });
});
