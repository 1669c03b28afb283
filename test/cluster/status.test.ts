// status, explain and release as a user runs them, with the real API server, webhook and worker: a credential that is
// ready, one that is refused, and a pod that is held after the worker's death.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Snapshot } from '../../src/cli/status/snapshot.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, HOST, openArena, type Arena, type Program } from './arena.ts';

const NAMESPACE = 'shop';
const OTHER_HOST = 'other.team.example';
const GATE = 'keyless-pull.dev/credentials';
let arena: Arena;
let worker: Program;

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(...words: string[]): Promise<Told> {
  const flags = ['--kubeconfig', arena.controlPlane.kubeconfig];
  return promisify(execFile)(process.execPath, ['src/cli/main.ts', ...words, ...flags]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Told) => ({ code, stdout, stderr }),
  );
}

async function addPod(name: string, account: string, host: string): Promise<void> {
  const { status, body } = await arena.controlPlane.admin('POST', `/api/v1/namespaces/${NAMESPACE}/pods`, {
    metadata: { name },
    spec: { serviceAccountName: account, containers: [{ name: 'app', image: `${host}/shop/web:1` }] },
  });
  if (status >= 300) throw new Error(JSON.stringify(body));
}

const gatesOf = async (name: string) =>
  (await arena.pods(NAMESPACE)).find(({ metadata }) => metadata.name === name)?.spec.schedulingGates ?? [];

async function eventsNow(): Promise<string[]> {
  const { body } = await arena.controlPlane.admin<{ items: { reason: string }[] }>(
    'GET',
    `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`,
  );
  return body.items.map(({ reason }) => reason);
}

async function snapshot(...flags: string[]) {
  const { code, stdout, stderr } = await run('status', '-n', NAMESPACE, '--output', 'json', ...flags);
  expect(stderr).toBe('');
  expect(stdout, 'no token and no password is printed').not.toMatch(/eyJ[\w-]{10}/);
  return { code, ...(JSON.parse(stdout) as Snapshot) };
}

beforeAll(async () => {
  arena = await openArena();
  const exchange = { kind: 'pass-through' };
  const rules = [
    { name: 'team', hosts: [HOST], audience: AUDIENCE, exchange },
    // The fence does not let the worker ask for this one.
    { name: 'other', hosts: [OTHER_HOST], audience: 'https://other.team.example', exchange },
  ];
  writeFileSync(arena.configFile, stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules }));
  await arena.addNamespace(NAMESPACE);
  await arena.addAccounts(NAMESPACE, 3);
  await arena.start('webhook', 'webhook');
  worker = await arena.start('worker', 'worker');
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 30_000 });
  await arena.waitForGates(NAMESPACE);
});
afterAll(() => arena?.[Symbol.asyncDispose]());

test('a credential that is ready: status and explain are content, and end with 0', async () => {
  await addPod('good', 'account-0', HOST);
  await waitUntil('the pod is released', async () => (await gatesOf('good')).length === 0, {
    deadlineMs: 30_000,
  });

  // Events are written behind what they tell of.
  await waitUntil('the event is there', async () => (await eventsNow()).includes('CredentialIssued'), {
    deadlineMs: 30_000,
  });

  const { code, credentials, waiting, worker: line, summary } = await snapshot();
  const told = await run('explain', 'pod', 'good', '-n', NAMESPACE, '--config', arena.configFile);

  expect(credentials).toMatchObject([
    { account: 'account-0', rule: 'team', registry: HOST, ready: true, reason: 'issued', message: '' },
  ]);
  expect(Date.parse(credentials[0]?.expiresAt ?? '')).toBeGreaterThan(Date.now());
  expect({ code, waiting, state: line.state, ok: summary.ok }).toEqual({
    code: 0,
    waiting: [],
    state: 'alive',
    ok: true,
  });
  expect(told.stdout).toContain(`✓ credential  ${HOST}, rule team: good for `);
  expect(told.stdout).toContain(`→ team: its host ${HOST} is the most exact one`);
  expect(told.stdout).toContain(`– other: none of its hosts is this one: ${OTHER_HOST}`);
  expect(told.stdout).toMatch(/· event +\S+Z ServiceAccount\/account-0 CredentialIssued: /);
  expect(told).toMatchObject({ code: 0, stderr: '' });
});

test('a credential that is refused: status names the reason, explain the cure, and both end with 1', async () => {
  await addPod('refused', 'account-1', OTHER_HOST);
  await waitUntil(
    'the record says why',
    async () => (await snapshot()).credentials.some(({ ready, message }) => !ready && message !== ''),
    { deadlineMs: 30_000 },
  );

  const { code, credentials, summary } = await snapshot();
  const { stdout } = await run('status', '-n', NAMESPACE);
  const told = await run('explain', 'pod/refused', '-n', NAMESPACE);

  const line = credentials.find(({ rule }) => rule === 'other');
  expect(line).toMatchObject({ account: 'account-1', ready: false });
  expect({ code, ready: summary.ready, ok: summary.ok }).toEqual({ code: 1, ready: 1, ok: false });
  expect(stdout).toMatch(
    /^ACCOUNT +RULE +REGISTRY +PRINCIPAL +READY +REASON +EXPIRES IN +RENEWS IN +PROBLEM\n/,
  );
  expect(stdout).toContain('1 of 2 credentials ready');
  expect(told.stdout).toContain(`✗ credential  ${OTHER_HOST}, rule other: ${line?.reason}: `);
  expect(told.stdout).toContain(
    `now: keyless-pull doctor --config FILE --rule other --account ${NAMESPACE}/account-1`,
  );
  expect(told.code).toBe(1);
});

test('a pod that is held when the worker dies: status shows it waiting, release opens its gate by hand', async () => {
  worker.kill('SIGKILL');
  await worker.ended();
  await addPod('held', 'account-2', HOST);
  expect(await gatesOf('held')).toEqual([{ name: GATE }]);

  const { code, waiting } = await snapshot();
  const story = await run('explain', 'pod', 'held', '-n', NAMESPACE);
  const careless = await run('release', '--all', '-n', NAMESPACE);
  const dry = await run('release', '--all', '-n', NAMESPACE, '--dry-run');

  expect(code).toBe(1);
  expect(waiting).toMatchObject([
    { name: 'held', account: 'account-2', waitsFor: [{ reason: 'no PullCredential yet' }] },
  ]);
  expect(story.stdout).toMatch(/✗ gate +held for \d+s until its credentials exist/);
  expect(story.code).toBe(1);
  expect(careless).toMatchObject({ code: 64, stdout: '' });
  expect(dry).toMatchObject({ code: 0, stdout: 'shop/held  would be released\n1 would be released\n' });
  expect(await gatesOf('held')).toEqual([{ name: GATE }]);

  const released = await run('release', '--all', '-n', NAMESPACE, '--yes');
  const again = await run('release', 'pod', 'held', '-n', NAMESPACE);

  expect(released).toMatchObject({ code: 0, stdout: 'shop/held  released\n1 released\n' });
  expect(await gatesOf('held')).toEqual([]);
  expect(again).toMatchObject({ code: 0, stdout: 'shop/held  not held\n1 not held\n' });
  expect((await snapshot()).waiting).toEqual([]);
});

test('who has no rights is told so, and what is not there cannot be explained: 2', async () => {
  const nobody = await run('status', '-n', NAMESPACE, '--as', 'nobody');
  const missing = await run('explain', 'pod', 'none', '-n', NAMESPACE);
  const forbidden = await run('release', 'pod', 'good', '-n', NAMESPACE, '--as', 'nobody');

  expect(nobody).toMatchObject({ code: 2, stdout: '' });
  expect(nobody.stderr).toContain('(cluster-refused)');
  expect(missing).toMatchObject({ code: 2, stdout: '' });
  expect(missing.stderr).toBe('keyless-pull: there is no pod shop/none (cluster-missing)\n');
  expect(forbidden.code).toBe(2);
});
