// An audit of a hundred thousand pods: from a dump of several hundred MB on stdin, in one pass and bounded memory, as a
// process of its own whose peak is measured.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { deployment, namespace, ownedBy, pod, pullSecret, TEAM } from '../cli/audit/shop.ts';
import type { AuditReport } from '../../src/cli/audit/report.ts';

const PODS = 100_000;
const [NAMESPACES, PER_DEPLOYMENT] = [100, 20];
/** Node itself with zod and yaml takes 120 MB; what is kept of 5,000 workloads and their pods is the rest. */
const PEAK_MB = 320;
/** What a stored pod has besides, as large as in a real dump. */
const BALLAST = { managedFields: [{ manager: 'kubelet', fieldsV1: { 'f:status': 'x'.repeat(3_000) } }] };

test('a dump of 100,000 pods is audited in one pass, in bounded memory', async () => {
  const program = [
    "import { runInProcess } from './src/cli/process-io.ts';",
    "await runInProcess(['audit', '-f', '-', '--output', 'json']);",
    'console.error(`peak ${Math.round(process.resourceUsage().maxRSS / 1024)}`);',
  ].join('\n');
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const printed = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  const startedAt = performance.now();
  let bytes = 0;
  const write = async (piece: string) => {
    bytes += Buffer.byteLength(piece);
    if (!child.stdin.write(piece)) await once(child.stdin, 'drain');
  };

  await write('{\n    "apiVersion": "v1",\n    "items": [\n');
  for (let space = 0; space < NAMESPACES; space++) await write(`${itemsOf(`team-${space}`)},\n`);
  await write(`${JSON.stringify(namespace('last'))}\n    ],\n    "kind": "List"\n}\n`);
  child.stdin.end();
  const [stdout, stderr] = await printed;

  const seconds = (performance.now() - startedAt) / 1000;
  const peak = Number(/^peak (\d+)$/m.exec(stderr)?.[1]);
  console.log(`${PODS} pods, ${Math.round(bytes / 1e6)} MB: ${seconds.toFixed(1)} s, peak ${peak} MB`);
  const { findings, inventory, summary } = JSON.parse(stdout) as AuditReport;
  expect(summary.looked.pods).toBe(PODS);
  expect(findings).toHaveLength(PODS / PER_DEPLOYMENT);
  expect(findings[0]).toMatchObject({
    kind: 'Deployment',
    owner: 'Deployment/app-0',
    pods: PER_DEPLOYMENT,
    hosts: [TEAM],
  });
  expect(inventory).toMatchObject([{ host: TEAM, pods: PODS, workloads: PODS / PER_DEPLOYMENT }]);
  expect(peak).toBeLessThan(PEAK_MB);
});

/** One namespace's share: Deployments, their ReplicaSets, their pods. */
function itemsOf(of: string): string {
  const items: object[] = [namespace(of), pullSecret(of, 'regcred', [TEAM], '2026-01-01T00:00:00Z')];
  for (let at = 0; at < PODS / NAMESPACES / PER_DEPLOYMENT; at++) {
    const name = `app-${at}`;
    const wish = { secrets: ['regcred'], images: [`${TEAM}/${of}/${name}:1`] };
    const made = { ...ownedBy('Deployment', name), namespace: of, name: `${name}-5d4` };
    items.push(deployment(of, name, wish), {
      ...deployment(of, name, wish),
      kind: 'ReplicaSet',
      metadata: made,
    });
    for (let number = 0; number < PER_DEPLOYMENT; number++)
      items.push(pod(of, `${name}-5d4-${number}`, wish, { ...ownedBy('ReplicaSet', made.name), ...BALLAST }));
  }
  return items.map((item) => JSON.stringify(item)).join(',\n');
}
