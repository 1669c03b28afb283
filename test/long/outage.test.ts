// Every replica is dead, on a real API server: what is held up, what is not, who gets through, and that our own pods come back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyManifests, OWN_NAMESPACE, readManifests } from '../../tools/install.ts';
import { apiClient, type ApiRequest } from '../../tools/api-client.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openServiceArena } from '../cluster/service-arena.ts';
import type { ServiceArena, ServiceProgram } from '../cluster/service-arena.ts';

const PODS = 25;

let arena: ServiceArena;
let replicas: ServiceProgram[];
/** May create pods everywhere, and is no administrator. */
let tenant: ApiRequest;

beforeAll(async () => {
  arena = await openServiceArena({ identities: ['tenant'] });
  tenant = apiClient(arena.controlPlane, arena.controlPlane.tokens['tenant'] ?? '');
  await applyManifests(arena.controlPlane, [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'tenants' },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['create', 'delete'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'tenants' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'tenants' },
      subjects: [{ kind: 'User', name: 'tenant', apiGroup: 'rbac.authorization.k8s.io' }],
    },
    namespace('plain', {}),
    namespace('opted-in', { 'keyless-pull.dev/inject': 'enabled' }),
    namespace('draining', { 'keyless-pull.dev/inject': 'draining' }),
    ...['enforce', 'warn', 'audit'].map((mode) =>
      namespace(mode, { 'keyless-pull.dev/static-pull-secrets': mode }),
    ),
  ]);
  replicas = [await arena.start('one'), await arena.start('two', { role: 'webhook' })];
  await arena.route(replicas);
  for (const name of ['plain', 'opted-in', 'draining', 'enforce', 'warn', 'audit']) {
    await waitUntil(
      `${name} has its default account`,
      async () => {
        const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
        return (await arena.controlPlane.admin('GET', path)).status === 200;
      },
      { deadlineMs: 30_000 },
    );
  }
  await waitUntil(
    'pods go through',
    async () => (await create(tenant, 'opted-in', 'before')).status === 201,
    {
      deadlineMs: 30_000,
    },
  );
  for (const replica of replicas) replica.kill('SIGKILL');
  await Promise.all(replicas.map((replica) => replica.ended()));
});
afterAll(() => arena?.[Symbol.asyncDispose]());

function namespace(name: string, labels: Record<string, string>) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function create(who: ApiRequest, of: string, name: string) {
  return who<{ message?: string }>('POST', `/api/v1/namespaces/${of}/pods`, {
    metadata: { name },
    spec: { serviceAccountName: 'default', containers: [{ name: 'app', image: `${HOST}/shop/web:1` }] },
  });
}

/** How many of the pods were admitted. */
async function admitted(who: ApiRequest, of: string): Promise<number> {
  const names = Array.from({ length: PODS }, (_, at) => `pod-${at}-${Math.round(performance.now())}`);
  const answers = await Promise.all(names.map((name) => create(who, of, name)));
  return answers.filter(({ status }) => status === 201).length;
}

describe('while every replica is dead', () => {
  test.each(['kube-system', 'kube-public', 'kube-node-lease', 'plain', 'draining', 'warn', 'audit'])(
    'every pod in %s is admitted',
    async (name) => {
      // Kubernetes' own namespaces have a default account too, which its controllers make in their time.
      await waitUntil(
        `${name} has its default account`,
        async () => {
          const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
          return (await arena.controlPlane.admin('GET', path)).status === 200;
        },
        { deadlineMs: 30_000 },
      );

      const count = await admitted(tenant, name);

      console.log(`${name}: ${count} of ${PODS} admitted`);
      expect(count).toBe(PODS);
    },
  );

  test.each(['opted-in', 'enforce'])(
    'no pod in %s is admitted, and who asks is told that we are away',
    async (name) => {
      const answer = await create(tenant, name, 'refused');

      expect(await admitted(tenant, name)).toBe(0);
      expect(answer.status).toBe(500);
      expect(answer.body.message).toContain('keyless-pull.dev');
    },
  );

  test("an administrator's pods get through enforcement: the glass is broken", async () => {
    expect(await admitted(arena.controlPlane.admin, 'enforce')).toBe(PODS);
  });

  test('our own pods can be made: what heals us does not wait for us', async () => {
    await applyManifests(
      arena.controlPlane,
      ['service-accounts.yaml', 'config.yaml', 'deployment.yaml'].flatMap(readManifests),
    );

    await waitUntil(
      'the Deployment has its pods',
      async () => {
        const { items } = (await arena.must(
          'GET',
          `/api/v1/namespaces/${OWN_NAMESPACE}/pods?labelSelector=app.kubernetes.io/name%3Dkeyless-pull`,
        )) as { items: object[] };
        return items.length === 2;
      },
      { deadlineMs: 30_000 },
    );
  });
});

test('when a replica is back, pods are admitted again, and nobody did anything', async () => {
  const startedAt = performance.now();
  const back = await arena.start('three');
  await arena.route([back]);

  await waitUntil('pods are admitted', async () => (await admitted(tenant, 'opted-in')) === PODS, {
    deadlineMs: 30_000,
  });

  console.log(
    `admitted again ${((performance.now() - startedAt) / 1000).toFixed(1)} s after the start of one process`,
  );
  expect(await admitted(tenant, 'enforce')).toBe(PODS);
});
