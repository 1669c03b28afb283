// audit against the real API server: the same content by cluster, by dump and by manifests gives the same findings, with no
// right but to list, and without any on Secrets.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { LISTED } from '../../src/cli/audit/live-objects.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { readAuditLog } from '../../tools/audit-log.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { applyManifests, installManifests } from '../../tools/install.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { waitUntil } from '../../tools/processes.ts';
import {
  account,
  CONFIG,
  cronJob,
  deployment,
  MARK,
  namespace,
  pod,
  podSpec,
  pullSecret,
  TEAM,
} from '../cli/audit/shop.ts';
import type { AuditReport } from '../../src/cli/audit/report.ts';

const OURS = secretNameFor('web', 'team-registry', '', TEAM);
const RECORDED = 'keyless-pull-recorded';
const AUDITOR = 'auditor';
/** Everything that the dump has to have. */
const DUMPED =
  'namespaces,serviceaccounts,secrets,deployments,statefulsets,daemonsets,replicasets,jobs,cronjobs,pods,pullcredentials';

let controlPlane: ControlPlane;
let configFile: string;
let manifests: readonly object[];

const statefulSet = {
  ...deployment('legacy', 'db', { secrets: ['regcred'] }),
  kind: 'StatefulSet',
};
const job = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { namespace: 'legacy', name: 'once' },
  spec: { template: { spec: { ...podSpec({ secrets: ['regcred'] }), restartPolicy: 'Never' } } },
};

const objects = [
  namespace('shop', { 'keyless-pull.dev/inject': 'enabled' }),
  namespace('legacy'),
  account('shop', 'web', {
    secrets: ['regcred'],
    annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::111122223333:role/web' },
  }),
  account('shop', 'plain'),
  pullSecret('shop', 'regcred', [TEAM]),
  pullSecret('legacy', 'regcred', [TEAM, 'https://index.docker.io/v1/']),
  deployment('shop', 'inheriting', { account: 'web', images: [`${TEAM}/web:1`, 'nginx'] }, 2),
  deployment('shop', 'explicit', { account: 'web', secrets: ['regcred', 'gone'] }, 1),
  deployment('legacy', 'asleep', { secrets: ['regcred'] }, 0),
  statefulSet,
  job,
  cronJob('legacy', 'nightly', { images: ['nginx'], secrets: ['regcred'] }),
  pod('legacy', 'bare', { secrets: ['regcred'] }),
  pod('shop', 'ours', { account: 'web', secrets: [OURS] }),
  pod('shop', 'recorded', { account: 'plain', secrets: [RECORDED] }),
];

async function run(...words: string[]) {
  const told = await promisify(execFile)(
    process.execPath,
    ['src/cli/main.ts', 'audit', '--output', 'json', '--config', configFile, ...words],
    { maxBuffer: 2 ** 26 },
  ).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );
  expect(told.stderr).toBe('');
  expect(told.stdout, 'no password is printed').not.toContain(MARK);
  return { code: told.code, report: JSON.parse(told.stdout) as AuditReport };
}

const live = (...words: string[]) => run('-A', '--kubeconfig', controlPlane.kubeconfig, ...words);

/** All that does not depend on what an API server alone knows: when a Secret was made, and which pods run. */
const comparable = ({ findings }: AuditReport) =>
  findings.map((finding) => ({
    ...finding,
    secretCreatedAt: '',
    pods: 0,
    secretState: finding.secretState === 'read',
  }));

beforeAll(async () => {
  controlPlane = await startControlPlane({
    audit: true,
    identities: [{ name: AUDITOR, user: AUDITOR, groups: [] }],
  });
  await installManifests(controlPlane, { audiences: [], parts: ['crd'] });
  await applyManifests(controlPlane, objects.slice(0, 6));
  const { body } = await controlPlane.admin<{ metadata: { uid: string } }>(
    'GET',
    '/api/v1/namespaces/shop/serviceaccounts/plain',
  );
  const record = {
    apiVersion: 'keyless-pull.dev/v1alpha1',
    kind: 'PullCredential',
    metadata: { namespace: 'shop', name: RECORDED },
    spec: {
      serviceAccount: { name: 'plain', uid: body.metadata.uid },
      rule: 'another',
      registry: TEAM,
      secretName: RECORDED,
    },
  };
  manifests = [...objects, record];
  configFile = join(controlPlane.folder, 'keyless-pull.yaml');
  writeFileSync(configFile, CONFIG);
  await waitUntil(
    'the accounts of both namespaces are there',
    async () => {
      const { stdout } = await runKubectl(controlPlane, ['get', 'sa', '-A', '-o', 'name']);
      return stdout.split('default').length > 6;
    },
    { deadlineMs: 60_000, everyMs: 250 },
  );
  await applyManifests(controlPlane, manifests.slice(6));
  await waitUntil(
    'every controller has made its pods',
    async () => (await live()).report.summary.looked.pods === 8,
    {
      deadlineMs: 90_000,
      everyMs: 500,
    },
  );
});
afterAll(() => controlPlane?.stop());

test('by cluster, by dump and by manifests the findings are the same', async () => {
  const { code, report } = await live();

  const dumpFile = join(controlPlane.folder, 'dump.json');
  const dump = await runKubectl(controlPlane, ['get', DUMPED, '-A', '-o', 'json']);
  writeFileSync(dumpFile, dump.stdout);
  const manifestFile = join(controlPlane.folder, 'manifests.yaml');
  writeFileSync(manifestFile, manifests.map((object) => `---\n${stringify(object)}`).join(''));
  const byDump = await run('-f', dumpFile);
  const byManifests = await run('-f', manifestFile);

  expect(
    report.findings.map(({ namespace: of, owner, kind, name, origin, secret, covered, pods }) => [
      of,
      owner ?? `${kind}/${name}`,
      secret,
      origin,
      covered,
      pods,
    ]),
  ).toEqual([
    ['legacy', 'CronJob/nightly', 'regcred', 'explicit', false, 0],
    ['legacy', 'Deployment/asleep', 'regcred', 'explicit', true, 0],
    ['legacy', 'Job/once', 'regcred', 'explicit', true, 1],
    ['legacy', 'Pod/bare', 'regcred', 'explicit', true, 1],
    ['legacy', 'StatefulSet/db', 'regcred', 'explicit', true, 1],
    ['shop', 'Deployment/explicit', 'gone', 'explicit', true, 1],
    ['shop', 'Deployment/explicit', 'regcred', 'explicit', true, 1],
    ['shop', 'Deployment/inheriting', 'regcred', 'inherited', true, 2],
    ['shop', 'ServiceAccount/web', 'regcred', 'explicit', true, 3],
  ]);
  expect(report.findings.find(({ secret }) => secret === 'gone')?.secretState).toBe('absent');
  expect(report.findings.find(({ secret }) => secret === 'regcred')?.secretCreatedAt).toMatch(/^20\d\d-/);
  expect(comparable(byDump.report)).toEqual(comparable(report));
  expect(comparable(byManifests.report)).toEqual(comparable(report));
  expect(byDump.report.inventory).toEqual(report.inventory);
  expect(byDump.report.identities).toEqual(report.identities);
  expect(byManifests.report.identities).toEqual(report.identities);
  expect([code, byDump.code, byManifests.code]).toEqual([1, 1, 1]);
});

test('the inventory tells the ways apart', async () => {
  const { report } = await live();

  expect(
    report.inventory.map(({ host, ways }) => [
      host,
      ways.explicit.workloads,
      ways.inherited.workloads,
      ways.none.workloads,
      ways.ours.workloads,
    ]),
  ).toEqual([
    [TEAM, 5, 1, 0, 2],
    ['docker.io', 1, 0, 1, 0],
  ]);
  expect(report.identities).toMatchObject([
    { account: 'web', cloud: 'Amazon EKS', couldBeAcceptedBy: ['ecr'] },
  ]);
});

test('the right to list is all that is needed, and used; without that on Secrets --without-secrets does', async () => {
  const groups = ['', 'apps', 'batch', 'keyless-pull.dev'];
  const resources = LISTED.filter((plural) => plural !== 'secrets');
  await applyManifests(controlPlane, [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: AUDITOR },
      rules: [{ apiGroups: groups, resources, verbs: ['list'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: AUDITOR },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: AUDITOR },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: AUDITOR }],
    },
  ]);
  const asAuditor = ['-A', '--kubeconfig', controlPlane.kubeconfigFor({ identity: AUDITOR })];
  await waitUntil(
    'the right is known',
    async () => (await run(...asAuditor)).report.summary.notSeen.join() === 'secrets',
    { deadlineMs: 30_000, everyMs: 250 },
  );

  const partly = await run(...asAuditor);
  const without = await run(...asAuditor, '--without-secrets');

  expect(partly.code).toBe(2);
  expect(without).toMatchObject({ code: 1, report: { summary: { notSeen: [], withSecrets: false } } });
  expect(without.report.findings.map(({ owner, secret }) => [owner, secret])).toEqual(
    (await live()).report.findings.map(({ owner, secret }) => [owner, secret]),
  );
  const events = readAuditLog(controlPlane.auditLog ?? '').filter(({ user }) => user === AUDITOR);
  expect(new Set(events.map(({ verb }) => verb))).toEqual(new Set(['list']));
});

test('one namespace', async () => {
  const { report } = await run('-n', 'legacy', '--kubeconfig', controlPlane.kubeconfig);

  expect(new Set(report.findings.map(({ namespace: of }) => of))).toEqual(new Set(['legacy']));
  expect(report.findings[0]?.missing).toContain('namespace label keyless-pull.dev/inject=enabled');
});
