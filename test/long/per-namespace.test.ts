// webhook-config/per-namespace on a real API server, as a user applies it: the worker has its rights in the namespaces that
// were given to it and nowhere else, says so where they are missing, and works there as soon as they are given.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import {
  applyManifests,
  isRefusedBy,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
  type Manifest,
} from '../../tools/install.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { waitUntil } from '../../tools/processes.ts';
import { openArena, type Arena, type Program } from '../cluster/arena.ts';
import { rightsOf } from '../cluster/own-rights.ts';
import type { ApiRequest } from '../../tools/api-client.ts';

const FOLDER = fileURLToPath(new URL('../../webhook-config', import.meta.url));
const SECRETS_FENCE = 'keyless-pull-worker-secrets';
const LOOKS = [
  'create events.k8s.io/events',
  'get admissionregistration.k8s.io/mutatingwebhookconfigurations keyless-pull',
  'get admissionregistration.k8s.io/validatingwebhookconfigurations keyless-pull',
  'list /namespaces',
  'list /pods',
  'list /serviceaccounts',
  'list keyless-pull.dev/pullcredentials',
  'update admissionregistration.k8s.io/mutatingwebhookconfigurations keyless-pull',
  'update admissionregistration.k8s.io/validatingwebhookconfigurations keyless-pull',
  'watch /namespaces',
  'watch /pods',
  'watch /serviceaccounts',
  'watch keyless-pull.dev/pullcredentials',
];
const WRITES = [
  'create /secrets',
  'create /serviceaccounts/token',
  'create keyless-pull.dev/pullcredentials',
  'delete keyless-pull.dev/pullcredentials',
  'patch /pods',
  'update /secrets',
  'update keyless-pull.dev/pullcredentials/status',
];

interface StoredEvent {
  readonly reason: string;
  readonly type: string;
  readonly note: string;
  readonly regarding: { readonly kind: string; readonly name: string };
}

let arena: Arena;
let admin: ApiRequest;
/** With the worker's own token. */
let worker: ApiRequest;

beforeAll(async () => {
  arena = await openArena();
  ({ admin } = arena.controlPlane);
  const token = await serviceAccountToken(arena.controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
  worker = apiClient(arena.controlPlane, token);
});
afterAll(() => arena?.[Symbol.asyncDispose]());

describe('with the rights in the whole cluster', () => {
  test('a worker is ready while its fences stand, and not once the one on Secrets is gone', () =>
    seesItsFences('default'));
});

describe('with the rights per namespace', () => {
  let program: Program;
  let webhook: Program;

  beforeAll(async () => {
    const manifests = await render('variant', 'webhook-config', 'webhook-config/per-namespace');
    await applyManifests(
      arena.controlPlane,
      manifests.filter(({ kind }) => kind === 'ClusterRole'),
    );
    for (const name of ['given', 'closed']) {
      await arena.addNamespace(name);
      await arena.addAccounts(name, 1);
    }
    await waitUntil(
      'the wide rights are gone',
      async () => !(await rightsOf(worker, 'given')).includes('patch /pods'),
      {
        deadlineMs: 60_000,
      },
    );
  });

  test('kubectl kustomize renders it: the same objects, a narrower role, one role more that nobody has', async () => {
    const plain = await render('plain', 'webhook-config');
    const variant = await render('variant', 'webhook-config', 'webhook-config/per-namespace');

    const namesOf = (all: readonly Manifest[]) =>
      all.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted();
    const added = 'ClusterRole keyless-pull-worker-namespaced';
    expect(namesOf(variant)).toEqual([...namesOf(plain), added].toSorted());
    const text = (all: readonly Manifest[]) => new Set(all.map((manifest) => JSON.stringify(manifest)));
    const changed = variant.filter((manifest) => !text(plain).has(JSON.stringify(manifest)));
    expect(namesOf(changed)).toEqual(['ClusterRole keyless-pull-worker', added]);
  });

  test('the worker may look everywhere, and write nowhere', async () => {
    expect(await rightsOf(worker, 'given')).toEqual(LOOKS);
    expect(await rightsOf(worker, 'default')).toEqual(LOOKS);
  });

  test('with rights nowhere there is nothing to fence: the worker is ready, and says so', async () => {
    webhook = await arena.start('webhook', 'webhook');
    program = await arena.start('worker', 'worker');

    await waitUntil('the worker is ready', async () => (await program.readyz()).status === 200, {
      deadlineMs: 60_000,
    });
    await waitUntil('the worker leads', async () => program.isLeading(), { deadlineMs: 60_000 });
    expect(program.output()).toContain('the rights that these fences guard in no namespace');
    // The webhook has read the Lease of the worker before, which had its rights everywhere.
    await waitUntil('webhooks hold no pods', async () => !(await tryPod('given')).isHeld, {
      deadlineMs: 30_000,
    });
  });

  test('one RoleBinding opens one namespace: its pod is held, gets its credential and is let go', async () => {
    await give('given');

    expect(await rightsOf(worker, 'given')).toEqual([...LOOKS, ...WRITES].toSorted());
    expect(await rightsOf(worker, 'closed')).toEqual(LOOKS);
    // The worker looks at its own rights twice a minute, and a webhook at the worker's Lease every two seconds.
    await waitUntil('webhooks hold pods there', async () => (await tryPod('given')).isHeld, {
      deadlineMs: 90_000,
    });
    expect(await gatesIn()).toBe('given');
    await arena.addPods('given', 1, 1);
    await arena.waitForRelease('given', 60);

    expect(await filledSecrets('given')).toHaveLength(1);
    await waitUntil(
      'the events tell of it',
      async () => {
        const reasons = (await events('given')).map(({ reason }) => reason);
        return reasons.includes('CredentialIssued') && reasons.includes('PodReleased');
      },
      { deadlineMs: 60_000 },
    );
  });

  test('a pod where the worker has no right is not held, and its people are told what is missing', async () => {
    const { warnings, isHeld } = await tryPod('closed');
    await arena.addPods('closed', 1, 1);
    await waitUntil(
      'event and log tell of it',
      async () => (await events('closed')).length > 0 && failures() > 0,
      { deadlineMs: 60_000 },
    );

    expect(isHeld).toBe(false);
    expect(warnings.join()).toContain('the worker has no right to open gates in closed');
    const [pod] = await arena.pods('closed');
    expect(pod?.spec.schedulingGates).toBeUndefined();
    expect(pod?.spec.imagePullSecrets).toHaveLength(1);
    const sentence =
      'the worker has no right to create pullcredentials in namespace closed: ' +
      'webhook-config/per-namespace/namespace gives it in one namespace, webhook-config/rbac.yaml in all of them';
    for (const event of await events('closed')) {
      expect(event).toMatchObject({
        reason: 'CredentialRefused',
        type: 'Warning',
        note: `no credential for ${arena.host} (cluster-refused): ${sentence}`,
        regarding: { kind: 'ServiceAccount', name: 'account-0' },
      });
    }
    const line = program
      .output()
      .split('\n')
      .find((each) => each.includes('credential not issued'));
    expect(line).toContain('cluster-refused');
    expect(line).toContain(sentence);
    expect(await filledSecrets('closed')).toEqual([]);
  });

  test('and gets its credential within a minute of the RoleBinding, without a restart of anything', async () => {
    await waitUntil('the worker has tried more than once', async () => failures() > 1, {
      deadlineMs: 120_000,
    });

    await give('closed');
    const givenAt = Date.now();
    await waitUntil('the Secret is filled', async () => (await filledSecrets('closed')).length === 1, {
      deadlineMs: 120_000,
    });

    console.log(`from the RoleBinding to the credential: ${((Date.now() - givenAt) / 1000).toFixed(0)} s`);
    expect(program.output()).not.toContain('"message":"stopped"');
    expect((await program.readyz()).status).toBe(200);
    await waitUntil('the Lease names both', async () => (await gatesIn()) === 'closed,given', {
      deadlineMs: 90_000,
    });
  });

  test('the fences hold in a namespace that was given as everywhere', async () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata: { name: 'x' } };

    const inGiven = await worker<{ message?: string }>('POST', '/api/v1/namespaces/given/secrets', secret);
    const elsewhere = await worker<{ message?: string }>(
      'POST',
      '/api/v1/namespaces/default/secrets',
      secret,
    );

    expect(isRefusedBy(SECRETS_FENCE, inGiven)).toBe(true);
    expect(elsewhere.status).toBe(403);
    expect(elsewhere.body.message).not.toContain('ValidatingAdmissionPolicy');
  });

  test('a worker is ready while its fences stand, and not once the one on Secrets is gone', async () => {
    for (const each of [program, webhook]) each.kill('SIGTERM');
    await Promise.all([program.ended(), webhook.ended()]);

    await seesItsFences('given');
  });

  async function give(name: string): Promise<void> {
    const folder = join(FOLDER, 'per-namespace', 'namespace');
    const { code, stderr } = await runKubectl(arena.controlPlane, ['apply', '-n', name, '-k', folder]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await waitUntil(
      `the right in ${name}`,
      async () => (await rightsOf(worker, name)).includes('patch /pods'),
      {
        deadlineMs: 60_000,
      },
    );
  }

  /** What would become of a pod: nothing is stored. */
  async function tryPod(namespace: string): Promise<{ isHeld: boolean; warnings: readonly string[] }> {
    const { body, warnings } = await admin<{ spec: { schedulingGates?: unknown[] } }>(
      'POST',
      `/api/v1/namespaces/${namespace}/pods?dryRun=All`,
      {
        metadata: { name: 'tried' },
        spec: {
          serviceAccountName: 'account-0',
          containers: [{ name: 'app', image: `${arena.host}/shop/web:1` }],
        },
      },
    );
    return { isHeld: (body.spec.schedulingGates ?? []).length > 0, warnings };
  }

  function failures(): number {
    return program.output().split('credential not issued').length - 1;
  }

  async function gatesIn(): Promise<string | undefined> {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/keyless-pull-worker`;
    const { body } = await admin<{ metadata: { annotations?: Record<string, string> } }>('GET', path);
    return body.metadata.annotations?.['keyless-pull.dev/gates-in'];
  }
});

/**
 * Two workers of the real program: one starts while all is well, one while the binding of a fence is missing.
 * @param where a namespace in which the worker has the right that the fence guards
 */
async function seesItsFences(where: string): Promise<void> {
  const well = await arena.start('well', 'worker');
  await waitUntil('ready', async () => (await well.readyz()).status === 200, { deadlineMs: 60_000 });
  well.kill('SIGTERM');
  const bindings = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings';
  await admin('DELETE', `${bindings}/${SECRETS_FENCE}`);
  // The API server takes it up a moment later, and a worker that has seen its fences stand looks again in an hour.
  const secret = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata: { name: 'x' } };
  const tryIt = () => worker('POST', `/api/v1/namespaces/${where}/secrets?dryRun=All`, secret);
  await waitUntil('the fence is gone', async () => (await tryIt()).status === 201, { deadlineMs: 60_000 });
  const exposed = await arena.start('exposed', 'worker');
  const said = () => exposed.readyz().then(({ text }) => text);
  await waitUntil('the missing fence is seen', async () => (await said()).includes('fence-missing'), {
    deadlineMs: 90_000,
  });
  const { status, text } = await exposed.readyz();

  const binding = readManifests('fences.yaml').filter(
    ({ kind, metadata }) => kind.endsWith('Binding') && metadata.name === SECRETS_FENCE,
  );
  await applyManifests(arena.controlPlane, binding);
  await waitUntil('ready again', async () => (await exposed.readyz()).status === 200, { deadlineMs: 90_000 });
  exposed.kill('SIGTERM');
  await Promise.all([well.ended(), exposed.ended()]);

  expect(status).toBe(503);
  expect(text).toContain('nothing refused what the secrets policies must forbid');
}

/** What kubectl makes of a kustomization of one's own, with this repository's folder beside it. */
async function render(name: string, resource: string, component?: string): Promise<Manifest[]> {
  const folder = join(arena.controlPlane.folder, name);
  mkdirSync(folder, { recursive: true });
  cpSync(FOLDER, join(folder, 'webhook-config'), { recursive: true });
  const lines = [
    `resources: [${resource}]`,
    ...(component === undefined ? [] : [`components: [${component}]`]),
  ];
  writeFileSync(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
  const { code, stdout, stderr } = await runKubectl(arena.controlPlane, ['kustomize', folder]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return parseAllDocuments(stdout).map((document): Manifest => document.toJS());
}

async function events(namespace: string): Promise<StoredEvent[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  const { body } = await admin<{ items: (StoredEvent & { reportingController?: string })[] }>('GET', path);
  return body.items.filter(({ reportingController = '' }) => reportingController.startsWith('keyless-pull'));
}

/** Names of the managed Secrets that carry a login for the registry. */
async function filledSecrets(namespace: string): Promise<string[]> {
  const { body } = await admin<{ items: { metadata: { name: string }; data?: Record<string, string> }[] }>(
    'GET',
    `/api/v1/namespaces/${namespace}/secrets?labelSelector=keyless-pull.dev%2Fmanaged%3Dtrue`,
  );
  return body.items
    .filter(({ data }) => Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64').includes(arena.host))
    .map(({ metadata }) => metadata.name);
}
