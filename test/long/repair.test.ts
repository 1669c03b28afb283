// Repair and the end of life on a real API server and its garbage collector. There is no kubelet: what one would write into
// a pod's status is written by the administrator.
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { applyManifests, readManifests } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { awakeNow } from '../awake-clock.ts';
import { HOST, openArena, type Arena } from '../cluster/arena.ts';

const NAME = secretNameFor('account-0', 'team', '', HOST);
const RECORDS = '/apis/keyless-pull.dev/v1alpha1/namespaces';

interface Found {
  readonly metadata: { readonly uid: string; readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly status?: {
    readonly issuedAt?: string;
    readonly conditions: readonly { readonly type: string; readonly reason: string }[];
  };
}

let arena: Arena;

/** Pods that wait for what no waiting cures stay held for longer than that. */
const GATE_SECONDS = 5;

beforeAll(async () => {
  arena = await openArena();
  const config = parse(readFileSync(arena.configFile, 'utf8')) as object;
  writeFileSync(arena.configFile, stringify({ ...config, worker: { gateSeconds: GATE_SECONDS } }));
  await arena.start('webhook', 'webhook');
  const worker = await arena.start('worker', 'worker');
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 60_000 });
  await openTeam('deleted');
  await openTeam('emptied');
});

afterAll(() => arena[Symbol.asyncDispose]());

async function must(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<void> {
  const answer = await arena.controlPlane.admin(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

async function find(path: string): Promise<Found | undefined> {
  const { status, body } = await arena.controlPlane.admin<Found>('GET', path);
  return status === 200 ? body : undefined;
}

const secretPath = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets/${NAME}`;
const recordPath = (namespace: string) => `${RECORDS}/${namespace}/pullcredentials/${NAME}`;

async function isFilled(namespace: string): Promise<boolean> {
  const secret = await find(secretPath(namespace));
  return Buffer.from(secret?.data?.['.dockerconfigjson'] ?? '', 'base64')
    .toString()
    .includes(HOST);
}

/** A namespace with one account and one pod, whose credential is there. */
async function openTeam(namespace: string): Promise<void> {
  await arena.addNamespace(namespace);
  await arena.addAccounts(namespace, 1);
  await arena.addPods(namespace, 1, 1);
  await arena.waitForRelease(namespace, 30);
  // A pod that came before the webhook knew of the worker has no gate.
  await until('the Secret is filled', () => isFilled(namespace));
}

async function failPull(namespace: string): Promise<void> {
  const waiting = { reason: 'ImagePullBackOff', message: 'Back-off pulling image' };
  const { image, ...container } = { name: 'app', image: `${HOST}/shop/web:1` };
  const status = { ...container, image, imageID: '', ready: false, restartCount: 0, state: { waiting } };
  await must('PATCH', `/api/v1/namespaces/${namespace}/pods/pod-0/status`, {
    status: { phase: 'Pending', containerStatuses: [status] },
  });
}

/** The garbage collector looks every 30 s which kinds there are. */
const until = (what: string, look: () => Promise<boolean>, seconds = 90) =>
  waitUntil(what, look, { deadlineMs: seconds * 1000, everyMs: 200 });

const isGone = async (namespace: string) =>
  (await find(recordPath(namespace))) === undefined && (await find(secretPath(namespace))) === undefined;

test('a namespace that leaves loses its records and Secrets', async () => {
  await openTeam('leaving');

  const labels = { 'keyless-pull.dev/inject': null };
  await must('PATCH', '/api/v1/namespaces/leaving', { metadata: { labels } });

  await until('record and Secret are gone', () => isGone('leaving'));
});

test('an account that is deleted takes its record and Secret along', async () => {
  await openTeam('account-gone');

  await must('DELETE', '/api/v1/namespaces/account-gone/serviceaccounts/account-0');

  await until('record and Secret are gone', () => isGone('account-gone'));
});

test('a record that has lost its owner goes all the same when its account is gone', async () => {
  await openTeam('orphaned');
  await must('PATCH', recordPath('orphaned'), { metadata: { ownerReferences: null } });

  await must('DELETE', '/api/v1/namespaces/orphaned/serviceaccounts/account-0');

  await until('record and Secret are gone', () => isGone('orphaned'));
});

/** As an administrator, who takes a fence away for what it forbids to everybody. */
async function withoutTenantFence(work: () => Promise<void>): Promise<void> {
  const fence = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings';
  await must('DELETE', `${fence}/keyless-pull-tenant-secrets`);
  try {
    await work();
  } finally {
    await applyManifests(arena.controlPlane, readManifests('fences.yaml').filter(isTenantSecrets));
  }
}

const isTenantSecrets = ({ kind, metadata }: { kind: string; metadata: { name: string } }) =>
  kind === 'ValidatingAdmissionPolicyBinding' && metadata.name === 'keyless-pull-tenant-secrets';

/** Somebody else has the name first. */
async function addForeign(namespace: string): Promise<Found | undefined> {
  const body = { type: 'Opaque', metadata: { name: NAME }, data: { own: 'eWVz' } };
  await until('somebody else has the name', async () => {
    const { status } = await arena.controlPlane.admin(
      'POST',
      `/api/v1/namespaces/${namespace}/secrets`,
      body,
    );
    return status === 201;
  });
  return find(secretPath(namespace));
}

const saysNotOurs = async (namespace: string) => {
  const conditions = (await find(recordPath(namespace)))?.status?.conditions ?? [];
  return conditions.some(({ reason }) => reason === 'secret-not-ours');
};

test('a Secret of somebody else under our name stays byte for byte when it stands where ours was', async () => {
  await openTeam('foreign');
  await withoutTenantFence(async () => {
    await must('DELETE', secretPath('foreign'));
    const before = await addForeign('foreign');

    await failPull('foreign');
    await until('the record says so', () => saysNotOurs('foreign'), 75);

    expect(before).toBeDefined();
    expect(await find(secretPath('foreign'))).toEqual(before);
  });
});

test('a Secret of somebody else under our name that was there first stays byte for byte, its pod stays held, and events say where it is', async () => {
  await arena.addNamespace('foreign-first');
  await arena.addAccounts('foreign-first', 1);
  await withoutTenantFence(async () => {
    const before = await addForeign('foreign-first');
    await arena.addPods('foreign-first', 1, 1);
    const addedAt = systemClock.now();
    const eventsNow = async () => {
      const path = '/apis/events.k8s.io/v1/namespaces/foreign-first/events';
      const { body } = await arena.controlPlane.admin<{ items: StoredEvent[] }>('GET', path);
      return body.items;
    };

    await until('the record says so', () => saysNotOurs('foreign-first'));
    await until('account and pod are told', async () => (await eventsNow()).length >= 2);
    await systemClock.sleep(Math.max(0, addedAt + 6 * GATE_SECONDS * 1000 - systemClock.now()));

    const [pod] = await arena.pods('foreign-first');
    const events = await eventsNow();
    expect(before).toBeDefined();
    expect(await find(secretPath('foreign-first'))).toEqual(before);
    expect(pod?.spec.schedulingGates).toHaveLength(1);
    const told = events.map(({ reason, regarding }) => `${reason} ${regarding.kind} ${regarding.name}`);
    // On the account again whenever the count of failures has doubled.
    expect(new Set(told)).toEqual(
      new Set(['SecretNotOurs Pod pod-0', 'SecretNotOurs ServiceAccount account-0']),
    );
    expect(told.filter((one) => one.includes('Pod'))).toHaveLength(1);
    for (const { note } of events)
      expect(note).toContain(`Secret foreign-first/${NAME} exists and is not ours`);
  });

  await must('DELETE', secretPath('foreign-first'));
  await must('DELETE', recordPath('foreign-first'));

  await arena.waitForRelease('foreign-first', 60);
  expect(await isFilled('foreign-first')).toBe(true);
});

interface StoredEvent {
  readonly reason: string;
  readonly note: string;
  readonly regarding: { readonly kind: string; readonly name: string };
}

test('a quota that leaves no room is named in the record', async () => {
  await arena.addNamespace('full');
  await arena.addAccounts('full', 1);
  const quotas = '/api/v1/namespaces/full/resourcequotas';
  await must('POST', quotas, { metadata: { name: 'none' }, spec: { hard: { secrets: '0' } } });
  await until('the quota is counted', async () => {
    const { body } = await arena.controlPlane.admin<{ status?: { used?: object } }>('GET', `${quotas}/none`);
    return body.status?.used !== undefined;
  });

  await arena.addPods('full', 1, 1);

  await until('the record says so', async () => {
    const conditions = (await find(recordPath('full')))?.status?.conditions ?? [];
    return conditions.some(({ reason }) => reason === 'quota-exceeded');
  });
});

const emptied = { data: { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') } };
const empty = (namespace: string) =>
  until('the Secret is emptied', async () => {
    const { status } = await arena.controlPlane.admin('PATCH', secretPath(namespace), emptied);
    return status === 200;
  });

/** @returns seconds from the first pull that fails until the Secret is good */
async function timeToRepair(namespace: string): Promise<number> {
  const failedAt = awakeNow();
  await failPull(namespace);
  await until('the Secret is good again', () => isFilled(namespace));
  return (awakeNow() - failedAt) / 1000;
}

test('a Secret that was deleted or emptied in its first minute is good again a minute after the first failed pull', async () => {
  await openTeam('young-deleted');
  await openTeam('young-emptied');
  const before = await find(secretPath('young-emptied'));
  await withoutTenantFence(() => empty('young-emptied'));
  await must('DELETE', secretPath('young-deleted'));

  const seconds = await Promise.all(['young-deleted', 'young-emptied'].map(timeToRepair));

  console.log(`taken away young, back after ${seconds.map((one) => one.toFixed(1)).join(' and ')} s`);
  for (const one of seconds) expect(one).toBeLessThanOrEqual(60);
  expect((await find(secretPath('young-emptied')))?.metadata.uid).toBe(before?.metadata.uid);
});

test('a Secret that was deleted or emptied by hand is back, and filled, within seconds of a failed pull', async () => {
  // What is younger has just been written, and is given its time.
  for (const namespace of ['deleted', 'emptied']) {
    await until('the credential is a minute old', async () => {
      const { issuedAt = '' } = (await find(recordPath(namespace)))?.status ?? {};
      return systemClock.now() - Date.parse(issuedAt) > 61_000;
    });
  }
  const before = await find(secretPath('deleted'));
  const beforeEmptied = await find(secretPath('emptied'));
  await must('DELETE', secretPath('deleted'));
  await withoutTenantFence(() => empty('emptied'));

  const seconds = await Promise.all(['deleted', 'emptied'].map(timeToRepair));

  for (const one of seconds) expect(one).toBeLessThanOrEqual(10);
  expect((await find(secretPath('deleted')))?.metadata.uid).not.toBe(before?.metadata.uid);
  expect((await find(secretPath('emptied')))?.metadata.uid).toBe(beforeEmptied?.metadata.uid);
});
