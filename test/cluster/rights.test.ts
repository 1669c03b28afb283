// Every right of webhook-config/rbac.yaml is needed: it is taken away by itself on a real API server, and what it is for
// ends. And nothing more is granted than that.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { createKubeCluster, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { createLog } from '../../src/log.ts';
import { isProblem } from '../../src/problem.ts';
import { apiClient, serviceAccountToken, type ApiRequest } from '../../tools/api-client.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import {
  applyManifests,
  installManifests,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
  type Manifest,
} from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { TEST_AUDIENCE, TEST_HOST } from '../fakes/builders.ts';
import { rightsOf } from './own-rights.ts';
import { startReplica } from './replica.ts';
import { behaviours, type Behaviour, type Holder } from './right-behaviours.ts';

const NAMESPACE = 'team';
/** Run apart from the worker, as service-accounts.yaml says. */
const WEBHOOK_ACCOUNT = 'keyless-pull-webhook';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}
type Role = Manifest & { readonly rules: readonly Rule[] };
interface Binding extends Manifest {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

interface Right {
  readonly holder: Holder;
  readonly role: Role;
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  /** Absent: all of them. */
  readonly name?: string;
}

const HOLDER_OF: Readonly<Record<string, Holder>> = {
  'keyless-pull-webhook': 'webhook',
  'keyless-pull-worker': 'worker',
  'keyless-pull-evictions': 'worker',
  'keyless-pull-view': 'viewer',
  'keyless-pull-delete': 'deleter',
};

const manifests = [...readManifests('rbac.yaml'), ...readManifests('evictions/rbac.yaml')];
const roles = manifests.filter(({ kind }) => kind.endsWith('Role')) as Role[];
const bindings = manifests.filter(({ kind }) => kind.endsWith('Binding')) as Binding[];
const rights = roles.flatMap(rightsIn);

function rightsIn(role: Role): Right[] {
  const holder = HOLDER_OF[role.metadata.name];
  if (!holder) throw new TypeError(`whose role is ${role.metadata.name}?`);
  return role.rules.flatMap(({ apiGroups, resources, verbs, resourceNames }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.flatMap((verb) =>
          (resourceNames ?? [undefined]).map((name) => ({
            holder,
            role,
            group,
            resource,
            verb,
            ...(name !== undefined && { name }),
          })),
        ),
      ),
    ),
  );
}

function keyOf({ holder, verb, group, resource, name }: Right): string {
  return `${holder} ${verb} ${group}/${resource}${name === undefined ? '' : ` ${name}`}`;
}

function without({ role, ...right }: Right): Rule[] {
  return rightsIn(role)
    .filter((other) => keyOf(other) !== keyOf({ role, ...right }))
    .map(({ group, resource, verb, name }) => ({
      apiGroups: [group],
      resources: [resource],
      verbs: [verb],
      ...(name !== undefined && { resourceNames: [name] }),
    }));
}

const opened = new AsyncDisposableStack();
let controlPlane: ControlPlane;
let admin: ApiRequest;
let helper: KubeCluster;
let replica: Promise<unknown> | undefined;
let count = 0;
/** What the behaviour that is tried now was refused, as the API server says it. */
let refusals: string[] = [];

const NO_RIGHT = /no right to ([a-z]+ [a-z./]+)/g;
const log = createLog('debug', {
  write: (line) => void refusals.push(...[...line.matchAll(NO_RIGHT)].map(([, right = '']) => right)),
});

beforeAll(async () => {
  const identities = ['viewer', 'deleter'].map((name) => ({ name, user: name, groups: [] }));
  controlPlane = opened.use(await startControlPlane({ identities }));
  ({ admin } = controlPlane);
  await installManifests(controlPlane, { audiences: [TEST_AUDIENCE], parts: ['crd', 'rights', 'fences'] });
  const account = (name: string) => ({ kind: 'ServiceAccount', name, namespace: OWN_NAMESPACE });
  await applyManifests(controlPlane, [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: WEBHOOK_ACCOUNT, namespace: OWN_NAMESPACE },
    },
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE, labels: { 'keyless-pull.dev/inject': 'enabled' } },
    },
    ...readManifests('evictions/rbac.yaml'),
    ...readManifests('secret.yaml'),
    // Nobody answers here, and nobody is asked.
    ...readManifests('webhooks.yaml').map((manifest) => ({
      ...manifest,
      webhooks: (manifest['webhooks'] as object[]).map((hook) => ({
        ...hook,
        objectSelector: { matchLabels: { 'test.example/asked': 'never' } },
      })),
    })),
    ...bindings.map((binding) =>
      HOLDER_OF[binding.roleRef.name] === 'webhook'
        ? { ...binding, subjects: [account(WEBHOOK_ACCOUNT)] }
        : binding,
    ),
    ...(['viewer', 'deleter'] as const).map((user) => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: user, namespace: NAMESPACE },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: user === 'viewer' ? 'keyless-pull-view' : 'keyless-pull-delete',
      },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
    })),
  ]);
  for (const right of rights) await decided(right, true);
  helper = await open('worker', opened);
});
afterAll(() => opened.disposeAsync());

test('each right has a behaviour, and no behaviour needs a right that is not there', () => {
  expect(Object.keys(behaviours).toSorted()).toEqual([...new Set(rights.map(keyOf))].toSorted());
});

test('the bindings give our account the roles that stand beside them, and no other', () => {
  const own = { kind: 'ServiceAccount', name: WORKER_ACCOUNT, namespace: OWN_NAMESPACE };
  const named = new Set(roles.map(({ kind, metadata }) => `${kind} ${metadata.name}`));

  for (const { metadata, roleRef, subjects } of bindings) {
    expect(subjects, metadata.name).toEqual([own]);
    expect(named, metadata.name).toContain(`${roleRef.kind} ${roleRef.name}`);
  }
});

test('the rights per namespace are a part of those in the whole cluster, and together they are the same', () => {
  const wide = roles.find(
    ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'keyless-pull-worker',
  );
  const parts = ['worker-role.yaml', 'namespaced-role.yaml'].flatMap((file) =>
    readManifests(`per-namespace/${file}`).flatMap((role) => (role as Role).rules),
  );

  const keys = (rules: readonly Rule[]) =>
    rightsIn({ ...wide, rules } as Role)
      .map(keyOf)
      .toSorted();
  expect(keys(parts)).toEqual(keys(wide?.rules ?? []));
});

test.each([
  ['webhook', WEBHOOK_ACCOUNT],
  ['worker', WORKER_ACCOUNT],
] as const)(
  'the %s has these rights and no other, by the word of the API server',
  async (holder, account) => {
    const token = await serviceAccountToken(controlPlane, OWN_NAMESPACE, account);

    const granted = await rightsOf(apiClient(controlPlane, token), OWN_NAMESPACE);

    const wanted = rights
      .filter((right) => right.holder === holder)
      .map(({ verb, group, resource, name = '' }) => `${verb} ${group}/${resource} ${name}`.trimEnd());
    expect(granted).toEqual([...new Set(wanted)].toSorted());
  },
);

/** In the order of the table of behaviours, which knows what disturbs what. */
const order = Object.keys(behaviours);
const cases = rights
  .map((right) => ({ right, key: keyOf(right), at: order.indexOf(keyOf(right)) }))
  .sort((one, other) => one.at - other.at);

describe('with all rights it works, and without this one alone it does not', () => {
  test.each(cases)('$key', async ({ right, key }) => {
    const behaviour = behaviours[key];
    if (!behaviour) throw new Error(`nothing needs the right: ${key}`);
    await using wider = new AsyncDisposableStack();
    const wide = rights.find((other) => keyOf(other) === behaviour.unless);
    if (wide) {
      wider.defer(() => give(wide));
      await take(wide);
    }

    expect(await outcomeOf(behaviour), behaviour.what).toBe('works');
    let reduced = '';
    try {
      await take(right);
      reduced = await outcomeOf(behaviour);
    } finally {
      await give(right);
    }

    expect(reduced, behaviour.what).toBe(`refused: ${right.verb} ${right.resource}`);
  });
});

/** Which of the two comes first: it has happened, or the API server has refused something. */
async function outcomeOf(behaviour: Behaviour): Promise<string> {
  await using stack = new AsyncDisposableStack();
  refusals = [];
  let hasHappened: () => boolean | Promise<boolean> = () => false;
  try {
    hasHappened = await behaviour.begin({
      admin,
      person:
        (holder) =>
        async (method, path, ...more) => {
          const answer = await apiClient(controlPlane, controlPlane.tokens[holder] ?? '')(
            method,
            path,
            ...more,
          );
          const told = /cannot ([a-z]+) resource "([a-z./]+)"/.exec(
            JSON.stringify(answer.body).replaceAll('\\', ''),
          );
          if (answer.status === 403 && told) refusals.push(`${told[1]} ${told[2]}`);
          return answer as never;
        },
      log,
      opened: stack,
      namespace: NAMESPACE,
      freshName: () => `n${count++}`,
      open: (holder) => open(holder, stack),
      replica: () => (replica ??= startOne()).then(() => undefined),
      helper,
    });
  } catch (error) {
    if (!remember(error)) throw error;
  }
  let outcome = '';
  await waitUntil(
    `${behaviour.what}, or is refused`,
    async () => {
      if (await hasHappened()) outcome = 'works';
      else if (refusals[0] !== undefined) outcome = `refused: ${refusals[0]}`;
      return outcome !== '';
    },
    { deadlineMs: 30_000, everyMs: 20 },
  );
  return outcome;
}

async function open(holder: 'webhook' | 'worker', stack: AsyncDisposableStack): Promise<KubeCluster> {
  const account = holder === 'worker' ? WORKER_ACCOUNT : WEBHOOK_ACCOUNT;
  const token = await serviceAccountToken(controlPlane, OWN_NAMESPACE, account);
  const cluster = await createKubeCluster(
    { kubeconfig: controlPlane.kubeconfigFor({ token }, OWN_NAMESPACE) },
    { pods: holder === 'worker' },
    { clock: systemClock, log, onWatchRestart: () => undefined },
  );
  const stop = new AbortController();
  const running = cluster.run(stop.signal);
  stack.defer(async () => {
    stop.abort();
    await running;
    await cluster[Symbol.asyncDispose]();
  });
  return cluster;
}

async function startOne(): Promise<void> {
  const configFile = join(controlPlane.folder, 'config.yaml');
  const rule = {
    name: 'team-registry',
    hosts: [TEST_HOST],
    audience: TEST_AUDIENCE,
    exchange: { kind: 'pass-through' },
  };
  writeFileSync(configFile, stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule] }));
  await admin(
    'DELETE',
    `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/keyless-pull-worker`,
  );
  const change = (cluster: KubeCluster) => {
    const watched = (
      name:
        | 'createRecord'
        | 'createSecret'
        | 'updateSecret'
        | 'mintToken'
        | 'removeGate'
        | 'updateRecordStatus',
    ) => ({
      [name]: (...words: never[]) =>
        (cluster[name] as (...words: never[]) => Promise<unknown>)(...words).catch((error: unknown) => {
          remember(error);
          throw error;
        }),
    });
    return {
      ...watched('createRecord'),
      ...watched('createSecret'),
      ...watched('updateSecret'),
      ...watched('mintToken'),
      ...watched('removeGate'),
      ...watched('updateRecordStatus'),
    };
  };
  opened.use(await startReplica({ controlPlane, configFile }, 'rights', { log, change }));
}

/** False: it was no refusal of RBAC's. */
function remember(error: unknown): boolean {
  const told = isProblem(error) ? error.details.missingRight : undefined;
  if (told === undefined) return false;
  refusals.push(told.split(' ').slice(0, 2).join(' '));
  return true;
}

async function take(right: Right): Promise<void> {
  await patchRole(right.role, without(right));
  await decided(right, false);
}

async function give(right: Right): Promise<void> {
  await patchRole(right.role, right.role.rules);
  await decided(right, true);
}

async function patchRole({ kind, metadata }: Role, rules: readonly Rule[]): Promise<void> {
  const group = '/apis/rbac.authorization.k8s.io/v1';
  const path =
    kind === 'Role'
      ? `${group}/namespaces/${metadata.namespace}/roles/${metadata.name}`
      : `${group}/clusterroles/${metadata.name}`;
  const { status, body } = await admin('PATCH', path, { rules });
  if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
}

/** The authorizer learns of a role by a watch. */
async function decided(
  { holder, role, group, resource, verb, name }: Right,
  allowed: boolean,
): Promise<void> {
  const [plural, subresource] = resource.split('/');
  const user =
    holder === 'worker' || holder === 'webhook'
      ? `system:serviceaccount:${OWN_NAMESPACE}:${holder === 'worker' ? WORKER_ACCOUNT : WEBHOOK_ACCOUNT}`
      : holder;
  const namespace =
    role.kind === 'Role'
      ? role.metadata.namespace
      : holder === 'viewer' || holder === 'deleter'
        ? NAMESPACE
        : undefined;
  const resourceAttributes = { group, resource: plural, subresource, verb, namespace, name };
  await waitUntil(
    `${user} ${allowed ? 'may' : 'may not'} ${verb} ${resource}`,
    async () => {
      const { body } = await admin<{ status: { allowed: boolean } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        { spec: { user, resourceAttributes } },
      );
      return body.status.allowed === allowed;
    },
    { deadlineMs: 30_000, everyMs: 10 },
  );
}
