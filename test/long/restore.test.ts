// What comes back from a backup, and what another version has written: the worker brings everything right, and asks for no
// credential that is still good.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { apiClient, serviceAccountToken, type ApiRequest } from '../../tools/api-client.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena, type Program } from '../cluster/arena.ts';

const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/keyless-pull-worker`;
const DEAD = '00000000-0000-4000-8000-000000000000';

let arena: Arena;
let worker: Program;
/** With the worker's own token: the fences let nobody else write records. */
let asWorker: ApiRequest;

interface Stored {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: Record<string, unknown>;
  readonly status?: Record<string, unknown> & { readonly conditions: Record<string, unknown>[] };
  readonly data?: Record<string, string>;
}

async function must(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  who?: ApiRequest,
) {
  const answer = await (who ?? arena.controlPlane.admin)<Stored & { items: Stored[] }>(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const nameOf = (account: string) => secretNameFor(account, 'team', '', HOST);
const records = (namespace: string, account = '') =>
  `/apis/keyless-pull.dev/v1alpha1/namespaces/${namespace}/pullcredentials${account && `/${nameOf(account)}`}`;
const secrets = (namespace: string, account = '') =>
  `/api/v1/namespaces/${namespace}/secrets${account && `/${nameOf(account)}`}`;
const accountAt = (namespace: string, account: string) =>
  `/api/v1/namespaces/${namespace}/serviceaccounts/${account}`;

async function issued(namespace: string, account: string): Promise<{ record: Stored; secret: Stored }> {
  let found: { record: Stored; secret: Stored } | undefined;
  const { uid } = (await must('GET', accountAt(namespace, account))).metadata;
  await waitUntil(
    `${namespace}/${account} has a credential`,
    async () => {
      const record = await must('GET', records(namespace, account));
      const secret = await must('GET', secrets(namespace, account));
      const isOfThisLife = JSON.stringify(record.spec).includes(uid);
      const isReady = JSON.stringify(record.status ?? {}).includes('"reason":"issued"');
      const content = Buffer.from(secret.data?.['.dockerconfigjson'] ?? '', 'base64').toString('utf8');
      if (isOfThisLife && isReady && content.includes('password')) found = { record, secret };
      return found !== undefined;
    },
    { deadlineMs: 60_000 },
  );
  if (!found) throw new TypeError('waited for in vain');
  return found;
}

async function startWorker(): Promise<void> {
  worker = await arena.start(`worker-${Date.now()}`, 'worker');
  await waitUntil('it leads', async () => worker.isLeading(), { deadlineMs: 30_000 });
}

beforeAll(async () => {
  arena = await openArena();
  await arena.start('webhook', 'webhook');
  asWorker = apiClient(
    arena.controlPlane,
    await serviceAccountToken(arena.controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT),
  );
  await startWorker();
});
afterAll(() => arena?.[Symbol.asyncDispose]());

describe('a restore', () => {
  test('of a namespace by name, our Secrets left out: records are refused, pods pull as the new accounts', async () => {
    await arena.addNamespace('shop');
    await arena.addAccounts('shop', 1);
    await arena.addPods('shop', 1, 1);
    await arena.waitForRelease('shop', 30);
    const before = await issued('shop', 'account-0');
    expect(before.secret.metadata.labels?.['velero.io/exclude-from-backup'], 'Velero leaves it out').toBe(
      'true',
    );
    const [pod] = (await must('GET', '/api/v1/namespaces/shop/pods')).items;
    await must('DELETE', '/api/v1/namespaces/shop');
    await waitUntil(
      'the namespace is gone',
      async () => (await arena.controlPlane.admin('GET', '/api/v1/namespaces/shop')).status === 404,
      { deadlineMs: 60_000 },
    );

    await arena.addNamespace('shop');
    await arena.addAccounts('shop', 1);
    const { uid: _, resourceVersion: __, ...metadata } = before.record.metadata;
    const refused = await arena.controlPlane.admin<{ message: string }>('POST', records('shop'), {
      ...before.record,
      metadata,
    });
    const { name, labels, annotations } = pod?.metadata ?? { name: '' };
    const { nodeName: ___, ...spec } = pod?.spec ?? {};
    await must('POST', '/api/v1/namespaces/shop/pods', { metadata: { name, labels, annotations }, spec });
    await arena.waitForRelease('shop', 30);
    const after = await issued('shop', 'account-0');

    expect(refused.status).toBe(422);
    expect(refused.body.message).toContain('only keyless-pull may create PullCredentials');
    expect(after.record.metadata.uid).not.toBe(before.record.metadata.uid);
    const [restored] = await arena.pods('shop');
    expect(restored?.spec.imagePullSecrets?.map((each) => each.name)).toEqual([nameOf('account-0')]);
  });

  test('with records and Secrets of owners that are dead: they are collected, and the names used again', async () => {
    await arena.addNamespace('revived');
    await arena.addAccounts('revived', 1);
    const name = nameOf('account-0');
    const owner = { apiVersion: 'v1', kind: 'ServiceAccount', name: 'account-0', uid: DEAD };
    await must(
      'POST',
      records('revived'),
      {
        apiVersion: 'keyless-pull.dev/v1alpha1',
        kind: 'PullCredential',
        metadata: { name, ownerReferences: [owner] },
        spec: {
          serviceAccount: { name: 'account-0', uid: DEAD },
          rule: 'team',
          registry: HOST,
          secretName: name,
        },
      },
      asWorker,
    );
    const ownerOfSecret = {
      apiVersion: 'keyless-pull.dev/v1alpha1',
      kind: 'PullCredential',
      name,
      uid: DEAD,
    };
    await must(
      'POST',
      secrets('revived'),
      {
        metadata: { name, labels: { 'keyless-pull.dev/managed': 'true' }, ownerReferences: [ownerOfSecret] },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') },
      },
      asWorker,
    );

    await arena.addPods('revived', 1, 1);
    const { record } = await issued('revived', 'account-0');
    await arena.waitForRelease('revived', 60);

    expect(record.spec['serviceAccount']).toMatchObject({ uid: expect.not.stringContaining(DEAD) });
  });
});

describe('another version', () => {
  /** Tokens that the worker has had minted for an account, so far. */
  const mintedFor = (namespace: string, account: string) =>
    arena
      .calls()
      .filter((call) =>
        JSON.stringify(call).includes(`/namespaces/${namespace}/serviceaccounts/${account}/token`),
      ).length;

  const statusPath = (namespace: string, account: string) => `${records(namespace, account)}/status`;

  /** As that version left it. */
  async function rewriteStatus(
    namespace: string,
    account: string,
    change: (status: Record<string, unknown>) => object,
  ) {
    const { metadata, spec, status = {} } = await must('GET', records(namespace, account));
    const { name, resourceVersion } = metadata;
    const kind = { apiVersion: 'keyless-pull.dev/v1alpha1', kind: 'PullCredential' };
    const body = { ...kind, metadata: { name, namespace, resourceVersion }, spec, status: change(status) };
    await must('PUT', statusPath(namespace, account), body, asWorker);
  }

  test('the one before wrote no tokenKeyID and no gates-in: nothing is exchanged, what is due is renewed in place', async () => {
    await arena.addNamespace('older');
    await arena.addAccounts('older', 3);
    await arena.addPods('older', 2, 2);
    await arena.waitForRelease('older', 30);
    const before = [await issued('older', 'account-0'), await issued('older', 'account-1')];
    worker.kill('SIGTERM');
    await worker.ended();
    const withoutKey = (status: Record<string, unknown>) => ({ ...status, tokenKeyID: undefined });
    await rewriteStatus('older', 'account-0', withoutKey);
    await rewriteStatus('older', 'account-1', (status) => ({
      ...withoutKey(status),
      refreshAt: new Date(Date.now() - 1_000).toISOString().replace(/\.\d+Z/, 'Z'),
    }));
    await must('PATCH', LEASE, { metadata: { annotations: null }, spec: { holderIdentity: '' } });
    const count = () => [mintedFor('older', 'account-0'), mintedFor('older', 'account-1')];
    expect(count()).toEqual([1, 1]);

    await startWorker();
    await must('POST', '/api/v1/namespaces/older/pods', {
      metadata: { name: 'new' },
      spec: { serviceAccountName: 'account-2', containers: [{ name: 'app', image: `${HOST}/shop/web:1` }] },
    });
    await issued('older', 'account-2');
    await waitUntil(
      'what was due is renewed',
      async () => (await must('GET', records('older', 'account-1'))).status?.['tokenKeyID'] !== undefined,
      { deadlineMs: 30_000 },
    );

    const after = [await issued('older', 'account-0'), await issued('older', 'account-1')];
    expect(count(), 'one renewal, and no other exchange').toEqual([1, 2]);
    expect(after.map(({ record, secret }) => [record.metadata.uid, secret.metadata.uid])).toEqual(
      before.map(({ record, secret }) => [record.metadata.uid, secret.metadata.uid]),
    );
    expect(after[0]?.secret.data).toEqual(before[0]?.secret.data);
    expect(after[0]?.record.status?.['tokenKeyID'], 'not due, not written').toBeUndefined();
  });

  test('the one after adds fields, conditions, reasons and annotations: they are understood or left, and nothing is exchanged', async () => {
    await arena.addNamespace('newer');
    await arena.addAccounts('newer', 2);
    await arena.addPods('newer', 2, 2);
    await arena.waitForRelease('newer', 30);
    const before = [await issued('newer', 'account-0'), await issued('newer', 'account-1')];
    const crd = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pullcredentials.keyless-pull.dev';
    const { spec } = await must('GET', crd);
    const versions = JSON.parse(
      JSON.stringify(spec['versions']).replace(
        '"tokenKeyID":',
        '"futureField":{"type":"string"},"tokenKeyID":',
      ),
    ) as unknown;
    await must('PATCH', crd, { spec: { versions } });
    await waitUntil(
      'the newer CRD is served',
      async () => {
        await rewriteStatus('newer', 'account-0', (status) => ({ ...status, futureField: 'kept' }));
        return (await must('GET', records('newer', 'account-0'))).status?.['futureField'] === 'kept';
      },
      { deadlineMs: 30_000 },
    );
    worker.kill('SIGTERM');
    await worker.ended();
    const lastTransitionTime = new Date(0).toISOString().replace('.000', '');
    await rewriteStatus('newer', 'account-1', (status) => ({
      ...status,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'future-reason',
          message: 'of tomorrow',
          lastTransitionTime,
        },
        { type: 'Mirrored', status: 'True', reason: 'mirrored', message: 'of tomorrow', lastTransitionTime },
      ],
    }));
    for (const account of ['account-0', 'account-1'])
      await must('PATCH', records('newer', account), {
        metadata: { annotations: { 'keyless-pull.dev/future': 'yes' } },
      });
    await must('PATCH', LEASE, { metadata: { annotations: { 'keyless-pull.dev/future': 'yes' } } });

    await startWorker();
    await must('POST', '/api/v1/namespaces/newer/pods', {
      metadata: { name: 'more', annotations: { 'keyless-pull.dev/future-output': 'yes' } },
      spec: { serviceAccountName: 'account-1', containers: [{ name: 'app', image: `${HOST}/shop/web:2` }] },
    });
    await arena.waitForRelease('newer', 30);

    const [one, other] = [
      await must('GET', records('newer', 'account-0')),
      await must('GET', records('newer', 'account-1')),
    ];
    expect([mintedFor('newer', 'account-0'), mintedFor('newer', 'account-1')]).toEqual([1, 1]);
    expect(one.status?.['futureField'], 'what is not due is not written').toBe('kept');
    expect(other.status?.conditions.map(({ type }) => type)).toEqual(['Ready', 'Mirrored']);
    expect([one, other].map(({ metadata }) => metadata.annotations?.['keyless-pull.dev/future'])).toEqual([
      'yes',
      'yes',
    ]);
    const secret = await must('GET', secrets('newer', 'account-1'));
    expect(secret.data).toEqual(before[1]?.secret.data);
  });
});
