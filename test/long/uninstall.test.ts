// uninstall on a real API server with the real webhook and worker: in any order no pod is blocked and nothing is stranded.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { runKubectl } from '../../tools/kubectl.ts';
import { applyManifests, OWN_NAMESPACE, readManifests } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { openArena, type Arena, type Program } from '../cluster/arena.ts';

const GROUP = '/apis/admissionregistration.k8s.io/v1';
const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pullcredentials.keyless-pull.dev';

let arena: Arena;
let worker: Program;
let webhook: Program;
const opened: Arena[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each[Symbol.asyncDispose]();
});

async function must(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown) {
  const answer = await arena.controlPlane.admin(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}
const status = async (path: string) => (await arena.controlPlane.admin('GET', path)).status;
const namesAt = async (path: string) =>
  ((await must('GET', path)) as { items: { metadata: { name: string } }[] }).items
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith('keyless-pull'));

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function uninstall(...flags: string[]): Promise<Told> {
  const words = ['src/cli/main.ts', 'uninstall', '--kubeconfig', arena.controlPlane.kubeconfig, ...flags];
  return promisify(execFile)(process.execPath, words).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Told) => ({ code, stdout, stderr }),
  );
}

interface Steps {
  readonly steps: readonly { step: string; outcome: string; objects: string[]; problem?: string }[];
  readonly lastCredentialEnds: string | null;
  readonly ok: boolean;
}

/** Two pods with credentials. The worker stops as a deleted Deployment would make it. */
async function open() {
  arena = await openArena();
  opened.push(arena);
  webhook = await arena.start('webhook', 'webhook');
  worker = await arena.start('worker', 'worker');
  await applyManifests(
    arena.controlPlane,
    readManifests('deployment.yaml').map((manifest) =>
      manifest.kind === 'Deployment'
        ? { ...manifest, spec: { ...(manifest['spec'] as object), replicas: 0 } }
        : manifest,
    ),
  );
  await arena.addNamespace('shop');
  await arena.addAccounts('shop', 2);
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 30_000 });
  await arena.addPods('shop', 2, 2);
  await arena.waitForRelease('shop', 30);
  await untilAllAreIssued(2);
}

interface StoredSecret {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Record<string, string>;
    readonly ownerReferences?: unknown[];
  };
  readonly data: Record<string, string>;
}

async function secrets(): Promise<StoredSecret[]> {
  const path = '/api/v1/namespaces/shop/secrets?labelSelector=keyless-pull.dev%2Fmanaged%3Dtrue';
  return ((await must('GET', path)) as { items: StoredSecret[] }).items;
}

function isFilled({ data }: StoredSecret): boolean {
  return Buffer.from(data['.dockerconfigjson'] ?? '', 'base64')
    .toString('utf8')
    .includes('password');
}

/** The token in it, as a registry would have it verified: by the API server, which knows that its Secret lives. */
async function isValid({ data }: StoredSecret): Promise<boolean> {
  const { auths } = JSON.parse(Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString('utf8')) as {
    auths: Record<string, { password: string }>;
  };
  const [login] = Object.values(auths);
  const { status: told } = (await must('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    spec: { token: login?.password, audiences: ['https://registry.team.example'] },
  })) as { status: { authenticated?: boolean } };
  return told.authenticated === true;
}

/** By everybody's own right: in the namespace that opted in. */
async function createPod(
  name: string,
  serviceAccountName = 'default',
): Promise<{ code: number; isHeld: boolean }> {
  const { status: code, body } = await arena.controlPlane.admin<{ spec?: { schedulingGates?: unknown[] } }>(
    'POST',
    '/api/v1/namespaces/shop/pods',
    {
      metadata: { name },
      spec: {
        serviceAccountName,
        containers: [{ name: 'app', image: 'registry.team.example:5000/shop/web:1' }],
      },
    },
  );
  return { code, isHeld: (body.spec?.schedulingGates?.length ?? 0) > 0 };
}

/** The API server hears of a configuration that is gone by its own watch. */
async function untilNobodyIsAsked(): Promise<void> {
  let count = 0;
  await waitUntil(
    'pods are admitted as they are',
    async () => {
      const { code, isHeld } = await createPod(`unasked-${count++}`);
      return code === 201 && !isHeld;
    },
    { deadlineMs: 60_000 },
  );
}

async function freshAccount(): Promise<string> {
  const name = `late-${late++}`;
  await must('POST', '/api/v1/namespaces/shop/serviceaccounts', { metadata: { name } });
  return name;
}
let late = 0;

/** A webhook looks for the worker's Lease every two seconds. */
async function untilPodsAreHeld(): Promise<void> {
  await waitUntil(
    'the webhook has seen that a worker works',
    async () => (await createPod(`early-${late}`, await freshAccount())).isHeld,
    { deadlineMs: 60_000 },
  );
  await arena.waitForRelease('shop', 30);
  await untilAllAreIssued(2);
}

/** Pods that are admitted before a webhook has seen a worker wait for nothing. */
async function untilAllAreIssued(least: number): Promise<void> {
  await waitUntil(
    'all are issued',
    async () => {
      const found = await secrets();
      return found.length >= least && found.every(isFilled);
    },
    { deadlineMs: 30_000 },
  );
}

const held = async () =>
  (await arena.pods('shop')).filter(({ spec }) => (spec.schedulingGates?.length ?? 0) > 0);

async function nothingIsLeft(): Promise<void> {
  for (const kind of [
    'mutatingwebhookconfigurations',
    'validatingwebhookconfigurations',
    'validatingadmissionpolicies',
    'validatingadmissionpolicybindings',
  ])
    expect(await namesAt(`${GROUP}/${kind}`), kind).toEqual([]);
  for (const kind of ['clusterroles', 'clusterrolebindings', 'rolebindings'])
    expect(await namesAt(`/apis/rbac.authorization.k8s.io/v1/${kind}`), kind).toEqual([]);
  await waitUntil('the CRD is gone', async () => (await status(CRD)) === 404, { deadlineMs: 30_000 });
}

describe('the command', () => {
  test('without --yes it is wrong use, with --dry-run it shows everything and changes nothing, and then leaves nothing', async () => {
    await open();
    const before = JSON.stringify(await secrets());

    expect(await uninstall()).toMatchObject({ code: 64, stdout: '' });
    const shown = await uninstall('--dry-run', '--output', 'json');
    expect(shown.code, shown.stderr).toBe(0);
    const { steps } = JSON.parse(shown.stdout) as Steps;
    expect(steps.map(({ step, outcome, objects }) => [step, outcome, objects.length])).toEqual([
      ['webhooks', 'would be done', 2],
      ['replicas', 'would be done', 2],
      ['gates', 'nothing to do', 0],
      ['secrets', 'would be done', 2],
      ['records', 'would be done', 2],
      ['rights', 'would be done', 8],
      ['fences', 'would be done', 16],
      ['crd', 'would be done', 1],
    ]);
    expect(JSON.stringify(await secrets()) === before, 'nothing has changed').toBe(true);

    worker.kill('SIGTERM');
    const { code, stdout } = await uninstall('--yes');

    expect(code, stdout).toBe(0);
    expect(stdout).toContain(`kubectl delete namespace ${OWN_NAMESPACE}`);
    expect(await secrets()).toEqual([]);
    await nothingIsLeft();
    await untilNobodyIsAsked();
    expect(await held()).toEqual([]);
    const again = await uninstall('--yes', '--output', 'json');
    expect(again.code, again.stderr).toBe(0);
    expect(
      (JSON.parse(again.stdout) as Steps).steps.filter(({ outcome }) => outcome !== 'nothing to do'),
    ).toEqual([]);
  });

  test('--keep-secrets: Secrets stay byte for byte, good, labelled and without an owner; nobody is blocked', async () => {
    await open();
    await untilPodsAreHeld();
    const before = await secrets();
    // The dead worker's last pods are held, and are let go.
    worker.kill('SIGKILL');
    await worker.ended();
    await createPod('held', await freshAccount());
    expect(await held()).toHaveLength(1);

    const { code, stdout, stderr } = await uninstall('--keep-secrets', '--yes', '--output', 'json');

    expect(code, stdout + stderr).toBe(0);
    const { steps, lastCredentialEnds } = JSON.parse(stdout) as Steps;
    expect(steps.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 8 }, () => 'done'));
    expect(steps.find(({ step }) => step === 'gates')?.objects).toEqual(['pods shop/held']);
    expect(Date.parse(lastCredentialEnds ?? '') - Date.now()).toBeGreaterThan(3_000_000);
    await nothingIsLeft();
    expect(await held()).toEqual([]);
    // The garbage collector has had its time when it has taken something else that has no owner any more.
    await collected();
    const after = await secrets();
    const shown = ({ metadata: { name, uid, labels }, data }: StoredSecret) => ({ name, uid, labels, data });
    expect(after.filter(isFilled).map(shown)).toEqual(before.filter(isFilled).map(shown));
    expect(after.every(({ metadata }) => metadata.ownerReferences === undefined)).toBe(true);
    for (const secret of after.filter(isFilled)) expect(await isValid(secret)).toBe(true);
    expect(await createPod('after')).toEqual({ code: 201, isHeld: false });
  });

  test('a worker that goes on elsewhere is told of, and nothing that it would make anew is deleted', async () => {
    await open();
    const before = await secrets();

    const { code, stdout } = await uninstall('--yes', '--output', 'json');

    expect(code).toBe(2);
    const { steps, ok } = JSON.parse(stdout) as Steps;
    expect(ok).toBe(false);
    expect(steps.map(({ outcome }) => outcome)).toEqual([
      'done',
      'refused',
      ...Array.from({ length: 6 }, () => 'stopped'),
    ]);
    expect(steps[1]?.problem).toMatch(/^a worker goes on working that is in no Deployment of keyless-pull/);
    expect((await secrets()).map(({ metadata }) => metadata.uid)).toEqual(
      before.map(({ metadata }) => metadata.uid),
    );
    await untilNobodyIsAsked();
  });
});

/** A Secret whose owner never was goes within seconds. */
async function collected(): Promise<void> {
  const dead = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: 'never',
    uid: '00000000-0000-0000-0000-000000000000',
  };
  const path = '/api/v1/namespaces/shop/configmaps';
  await must('POST', path, { metadata: { name: 'marker', ownerReferences: [dead] } });
  await waitUntil(
    'the garbage collector has been here',
    async () => (await status(`${path}/marker`)) === 404,
    {
      deadlineMs: 60_000,
    },
  );
}

describe('by hand, in whatever order', () => {
  const kubectl = async (...words: string[]) => {
    const { code, stderr } = await runKubectl(arena.controlPlane, words);
    if (code !== 0) throw new Error(stderr);
  };
  const all = () => kubectl('delete', '--ignore-not-found', '--wait=false', '-k', 'webhook-config');

  test.each([
    ['our namespace first', () => kubectl('delete', '--wait=false', 'namespace', OWN_NAMESPACE)],
    ['the CRD first', () => kubectl('delete', 'crd', 'pullcredentials.keyless-pull.dev')],
    ['the fences first', () => kubectl('delete', '-f', 'webhook-config/fences.yaml')],
    ['the rights first', () => kubectl('delete', '-f', 'webhook-config/rbac.yaml')],
    ['the worker dead', async () => worker.kill('SIGKILL')],
  ])(
    '%s: the emergency command lets pods in, and after the rest nothing is held or left',
    async (_, first) => {
      await open();

      await first();
      webhook.kill('SIGKILL');
      await webhook.ended();
      // The worst moment: nobody answers, and mutation fails closed.
      expect((await createPod('blocked')).code).toBe(500);
      const emergency = commandIn(
        'docs/operations.md',
        /kubectl (delete mutatingwebhookconfiguration,\S+ keyless-pull)/,
      );
      await kubectl(...emergency.split(' '));
      await untilNobodyIsAsked();
      worker.kill('SIGKILL');
      await all();
      const { code, stdout, stderr } = await uninstall('--yes');

      expect(code, stdout + stderr).toBe(0);
      expect(await held()).toEqual([]);
      expect(await secrets()).toEqual([]);
      await nothingIsLeft();
    },
  );
});

function commandIn(file: string, pattern: RegExp): string {
  const [, command] = pattern.exec(readFileSync(file, 'utf8')) ?? [];
  if (command === undefined) throw new Error(`${file} has no ${pattern}`);
  return command;
}
