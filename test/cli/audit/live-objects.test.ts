// What audit asks an API server for: pages, rights that are missing, lists that take longer than they are remembered.
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { audit, type AuditOptions } from '../../../src/cli/audit.ts';
import { LISTED } from '../../../src/cli/audit/live-objects.ts';
import { openUserCluster, type UserCluster } from '../../../src/cluster/user-cluster.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { startStubApiServer, type StubApiServer } from '../../cluster-edge/stub-api-server.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import { writeKubeconfig } from '../kubeconfig-file.ts';
import { pod } from './shop.ts';
import type { AuditReport } from '../../../src/cli/audit/report.ts';

let stub: StubApiServer;
let cluster: UserCluster;

beforeEach(async () => {
  stub = await startStubApiServer();
  cluster = await openUserCluster(
    { kubeconfig: writeKubeconfig(stub, { proxy: '' }) },
    { clock: stub.clock, signal: new AbortController().signal },
  );
});
afterEach(() => stub[Symbol.asyncDispose]());

async function run(options: Partial<AuditOptions> = {}) {
  const io = createPrinted();
  const code = await audit({ output: 'json', color: false, ...options }, io, { cluster, clock: stub.clock });
  return { code, report: JSON.parse(io.stdout) as AuditReport };
}

const paths = () => [...new Set(stub.requests.map(({ path }) => path))];

test('every kind of one namespace is listed, 500 at a time, and nothing else is asked', async () => {
  stub.handle = ({ path, answer }) =>
    answer(200, path.endsWith('/shop') ? { metadata: { name: 'shop' } } : { items: [] });

  expect((await run()).code).toBe(0);
  expect(paths()).toEqual([
    '/api/v1/namespaces/shop',
    '/api/v1/namespaces/shop/secrets',
    '/apis/keyless-pull.dev/v1alpha1/namespaces/shop/pullcredentials',
    '/api/v1/namespaces/shop/serviceaccounts',
    ...['deployments', 'statefulsets', 'daemonsets', 'replicasets'].map(
      (plural) => `/apis/apps/v1/namespaces/shop/${plural}`,
    ),
    '/api/v1/namespaces/shop/replicationcontrollers',
    ...['cronjobs', 'jobs'].map((plural) => `/apis/batch/v1/namespaces/shop/${plural}`),
    '/api/v1/namespaces/shop/pods',
  ]);
  expect(new Set(stub.requests.map(({ method }) => method))).toEqual(new Set(['GET']));
  expect(
    stub.requests.flatMap(({ path, query }) => (path.endsWith('/secrets') ? query['fieldSelector'] : [])),
  ).toEqual(['type=kubernetes.io/dockerconfigjson', 'type=kubernetes.io/dockercfg']);
  for (const { path, query } of stub.requests.slice(1)) expect(query['limit'], path).toBe('500');
});

test('with -A all of them are listed, with --without-secrets no Secret', async () => {
  stub.handle = ({ answer }) => answer(200, { items: [] });
  await run({ allNamespaces: true, withoutSecrets: true });

  expect(paths()).toHaveLength(LISTED.length - 1);
  for (const path of paths()) expect(path).not.toMatch(/secrets|namespaces\//);
});

test('a list that the API server has forgotten goes on where it was, without a pod twice', async () => {
  stub.handle = ({ path, query, answer }) => {
    if (!path.endsWith('/pods')) return answer(200, { items: [] });
    const page = (name: string, more?: string) =>
      answer(200, { metadata: { continue: more }, items: [pod('shop', name, { secrets: ['a'] })] });
    if (query['continue'] === undefined) return page('first', 'old');
    if (query['continue'] === 'new') return page('second');
    return answer(410, { kind: 'Status', reason: 'Expired', metadata: { continue: 'new' } });
  };

  const { report } = await run();

  expect(report.findings.map(({ name }) => name)).toEqual(['first', 'second']);
});

test('an API server that forgets at once and for ever is asked twice', async () => {
  stub.handle = ({ answer }) =>
    answer(410, { kind: 'Status', reason: 'Expired', metadata: { continue: 'new' } });

  await expect(run({ allNamespaces: true })).rejects.toMatchObject({ code: 'cluster-refused' });
  expect(stub.requests).toHaveLength(2);
});

test('what the user may not list is named, the rest is judged, and the end says that this is not all: 2', async () => {
  stub.handle = ({ path, answer, refuse }) => {
    if (/secrets$|cronjobs$/.test(path)) refuse(403, 'Forbidden');
    else answer(200, { items: path.endsWith('/pods') ? [pod('shop', 'web', { secrets: ['a'] })] : [] });
  };

  const { code, report } = await run();

  expect(code).toBe(2);
  expect(report.summary.notSeen).toEqual(['secrets', 'cronjobs']);
  expect(report.findings).toMatchObject([{ name: 'web', secretState: 'unknown' }]);
});

test('the label of a namespace that may not be read is not said to be missing', async () => {
  stub.handle = ({ path, answer, refuse }) => {
    if (path.startsWith('/api/v1/namespaces') && !path.includes('/shop/')) refuse(403, 'Forbidden');
    else answer(200, { items: path.endsWith('/pods') ? [pod('shop', 'web', { secrets: ['a'] })] : [] });
  };

  expect((await run()).report.findings[0]?.missing).toEqual([
    'namespace label keyless-pull.dev/inject=enabled, unless it is there: you may not read the namespace',
  ]);
});

test('a Secret that is not among all of them does not exist', async () => {
  stub.handle = ({ path, answer }) =>
    answer(200, { items: path.endsWith('/pods') ? [pod('shop', 'web', { secrets: ['a'] })] : [] });

  expect((await run()).report.findings).toMatchObject([{ secret: 'a', secretState: 'absent' }]);
});

test('a cluster without keyless-pull has no records, and that is no fault', async () => {
  stub.handle = ({ path, answer, refuse }) =>
    path.endsWith('/pullcredentials') ? refuse(404, 'NotFound') : answer(200, { items: [] });

  expect(await run()).toMatchObject({ code: 0, report: { summary: { notSeen: [] } } });
});

test('a namespace that is not there is no audit at all', async () => {
  stub.handle = ({ path, answer, refuse }) =>
    path.endsWith('/shop') ? refuse(404, 'NotFound') : answer(200, { items: [] });

  await expect(run()).rejects.toMatchObject({
    code: 'cluster-missing',
    message: 'there is no namespace "shop"',
  });
});

test('an API server that fails is no audit at all', async () => {
  stub.handle = ({ refuse }) => refuse(500, 'InternalError');

  await expect(run()).rejects.toMatchObject({ code: 'cluster-unreachable' });
});

test('help names every kind that is listed', async () => {
  const io = createPrinted();
  await runProgram('keyless-pull', ['audit', '--help'], io);

  for (const plural of LISTED) expect(io.stdout).toContain(plural);
});

test('help and docs/audit.md make the same dump', async () => {
  const io = createPrinted();
  await runProgram('keyless-pull', ['audit', '--help'], io);
  const [dump] = /kubectl get \S+ -A -o json/.exec(readFileSync('docs/audit.md', 'utf8')) ?? [''];

  expect(dump).not.toBe('');
  expect(io.stdout).toContain(dump);
});
