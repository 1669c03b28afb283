// The real control plane: what tests and the demo rely on, and that nothing of it is left afterwards.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import { readAuditLog } from '../../tools/audit-log.ts';
import { startControlPlane } from '../../tools/control-plane.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { isStillRunning } from '../../tools/process-identity.ts';
import type { RunRecord } from '../../tools/run-folder.ts';
import { startHeldRun } from './held-run.ts';

test('a control plane serves kubectl, tokens, its issuer and an audit log, survives a restart, and leaves nothing', async () => {
  await using controlPlane = await startControlPlane({
    audit: true,
    identities: [{ name: 'somebody', user: 'somebody', groups: ['people'] }],
  });
  const { folder, admin, url, issuer, tokens } = controlPlane;

  const namespaces = await runKubectl(controlPlane, ['get', 'namespaces', '-o', 'name']);
  expect(namespaces).toMatchObject({ code: 0, stderr: '' });
  expect(namespaces.stdout).toContain('namespace/default\n');

  const input = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: applied }\n';
  expect(await runKubectl(controlPlane, ['apply', '-f', '-'], { input })).toMatchObject({
    code: 0,
    stdout: 'configmap/applied created\n',
  });

  const kubeconfig = controlPlane.kubeconfigFor({ identity: 'somebody' }, 'kube-system');
  const refused = await runKubectl(controlPlane, ['get', 'pods'], { kubeconfig });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('User "somebody" cannot list resource "pods"');
  expect(refused.stderr).toContain('namespace "kube-system"');

  const token = await serviceAccountToken(controlPlane, 'default', 'default', {
    audiences: ['registry.test'],
    expirationSeconds: 600,
  });
  expect(decodeJwt(token)).toMatchObject({
    iss: issuer,
    aud: ['registry.test'],
    sub: 'system:serviceaccount:default:default',
  });
  await expect(serviceAccountToken(controlPlane, 'default', 'nobody')).rejects.toThrow(
    'no token for default/nobody: 404 serviceaccounts "nobody" not found',
  );

  const account = apiClient(controlPlane, await serviceAccountToken(controlPlane, 'default', 'default'));
  expect(await account('GET', '/.well-known/openid-configuration')).toMatchObject({
    status: 200,
    body: { issuer, jwks_uri: `${url}/openid/v1/jwks` },
  });
  expect(await account('GET', '/openid/v1/jwks')).toMatchObject({ status: 200 });

  const events = await admin<string>('GET', '/api/v1/namespaces?watch=1&timeoutSeconds=1');
  expect(events.body.trim().split('\n').length).toBeGreaterThanOrEqual(4);

  const node = apiClient(controlPlane, tokens['node-a'] ?? '');
  expect(await node('GET', '/api/v1/namespaces/default/secrets')).toMatchObject({ status: 403 });
  expect(
    readAuditLog(controlPlane.auditLog ?? '').filter((event) => event.user === 'system:node:node-a'),
  ).toEqual([
    expect.objectContaining({ verb: 'list', resource: 'secrets', namespace: 'default', status: 403 }),
  ]);

  expect(
    await admin('PATCH', '/api/v1/namespaces/default', { metadata: { labels: { kept: 'yes' } } }),
  ).toMatchObject({
    status: 200,
  });
  await controlPlane.restartApiServer();
  expect(await admin('GET', '/api/v1/namespaces/default')).toMatchObject({
    body: { metadata: { labels: { kept: 'yes' } } },
  });

  const record = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as RunRecord;
  expect(record.children).toHaveLength(3);
  await controlPlane.stop();
  expect(record.children.filter(isStillRunning)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});

test('Ctrl-C in a program with a control plane leaves neither processes nor files', async () => {
  const held = await startHeldRun('control-plane', 'wait');
  expect(held.children).toHaveLength(3);

  held.kill('SIGINT');

  expect(await held.ended).toBe('SIGINT');
  expect(held.children.filter(isStillRunning)).toEqual([]);
  expect(existsSync(held.folder)).toBe(false);
});
