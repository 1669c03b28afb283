// What a tenant may try: the administrator of a namespace with `enforce`, on a real API server with the real program.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { apiClient, type ApiAnswer, type ApiRequest } from '../../tools/api-client.ts';
import { applyManifests } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena } from './arena.ts';

const ECR_HOST = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const PROVISIONER = 'imagepullsecrets.preferred.jp';
const RBAC = 'rbac.authorization.k8s.io';
const PODS = '/api/v1/namespaces/shop/pods';
const ACCOUNTS = '/api/v1/namespaces/shop/serviceaccounts';
const ENFORCED = {
  'keyless-pull.dev/inject': 'enabled',
  'keyless-pull.dev/static-pull-secrets': 'enforce',
};

interface Answered {
  readonly message?: string;
  readonly metadata?: { readonly name: string };
  readonly spec?: Spec;
  readonly status?: object;
}

interface Spec {
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
  readonly schedulingGates?: readonly object[];
}

let arena: Arena;
let admin: ApiRequest;
let tenant: ApiRequest;
/** May make accounts and pods everywhere, and is no administrator either. */
let nomad: ApiRequest;

beforeAll(async () => {
  arena = await openArena({
    users: ['tenant', 'nomad'],
    rules: [
      {
        name: 'ecr',
        hosts: ['*.dkr.ecr.*.amazonaws.com'],
        registries: ['111122223333'],
        audience: 'pull.team.example',
        exchange: { kind: 'ecr' },
        secretName: 'annotation',
        parameters: { 'role-arn': { from: 'annotation', accept: [`${PROVISIONER}/*`] } },
      },
    ],
    audiences: ['pull.team.example'],
  });
  const { controlPlane } = arena;
  ({ admin } = controlPlane);
  tenant = apiClient(controlPlane, controlPlane.tokens['tenant'] ?? '');
  nomad = apiClient(controlPlane, controlPlane.tokens['nomad'] ?? '');
  const [, worker] = await Promise.all([arena.start('webhook', 'webhook'), arena.start('worker', 'worker')]);
  await applyManifests(controlPlane, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    // The platform's, from before: nobody may give an account such a secret now.
    account('app'),
    account('other'),
    { ...account('heir'), imagePullSecrets: [{ name: 'nexus' }] },
    ...tenantRights('shop'),
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'nomad' },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: 'edit' },
      subjects: [{ kind: 'User', apiGroup: RBAC, name: 'nomad' }],
    },
  ]);
  await admin('PATCH', '/api/v1/namespaces/shop', { metadata: { labels: ENFORCED } });
  await waitUntil('the worker works', async () => worker.isLeading(), { deadlineMs: 60_000 });
  await waitUntil(
    'the policy is in force',
    async () => (await tryPod({ secrets: ['nexus'] })).status === 403,
    {
      deadlineMs: 60_000,
    },
  );
  await waitUntil(
    'injection is in force',
    async () => (await tryPod({})).body.spec?.imagePullSecrets !== undefined,
    {
      deadlineMs: 60_000,
    },
  );
});

afterAll(() => arena?.[Symbol.asyncDispose]());

function account(name: string, namespace = 'shop') {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name } };
}

/** The built-in role `admin`, and what it lacks for debug containers. */
function tenantRights(namespace: string) {
  const subjects = [{ kind: 'User', apiGroup: RBAC, name: 'tenant' }];
  const debug = { apiGroups: [''], resources: ['pods/ephemeralcontainers'], verbs: ['patch', 'update'] };
  const bind = (kind: string, name: string) => ({
    apiVersion: `${RBAC}/v1`,
    kind: 'RoleBinding',
    metadata: { namespace, name },
    roleRef: { apiGroup: RBAC, kind, name },
    subjects,
  });
  return [
    { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata: { namespace, name: 'debug' }, rules: [debug] },
    bind('ClusterRole', 'admin'),
    bind('Role', 'debug'),
  ];
}

interface Tried {
  readonly secrets?: readonly unknown[];
  readonly image?: string;
  readonly metadata?: object;
  readonly spec?: object;
}

function podOf({ secrets = [], image = `${HOST}/app:1`, metadata = {}, spec = {} }: Tried) {
  const imagePullSecrets = secrets.map((each) => (typeof each === 'string' ? { name: each } : each));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'tried', ...metadata },
    spec: {
      serviceAccountName: 'app',
      containers: [{ name: 'app', image }],
      ...(secrets.length > 0 && { imagePullSecrets }),
      ...spec,
    },
  };
}

function tryPod(tried: Tried, path = `${PODS}?dryRun=All`): Promise<ApiAnswer<Answered>> {
  return tenant<Answered>('POST', path, podOf(tried));
}

const ours = (name: string) => secretNameFor(name, 'team', '', HOST);

function expectDenied(answer: ApiAnswer<Answered>, secret = 'nexus'): void {
  expect(answer.status, JSON.stringify(answer.body)).toBe(403);
  expect(answer.body.message).toContain('admission webhook "enforce.keyless-pull.dev" denied the request');
  expect(answer.body.message).toContain(`"${secret}"`);
}

describe('a pod with a static pull secret is denied', () => {
  test.each<[string, Tried]>([
    ['as it is', {}],
    [
      'with the label that opts it out of injection',
      { metadata: { labels: { 'keyless-pull.dev/inject': 'disabled' } } },
    ],
    ['with the label that only we set', { metadata: { labels: { 'keyless-pull.dev/managed': 'true' } } }],
    [
      'with our annotation that says it is ours',
      { metadata: { annotations: { 'keyless-pull.dev/credentials': 'team=nexus' } } },
    ],
    [
      "with the namespace's labels on itself",
      { metadata: { labels: { 'keyless-pull.dev/static-pull-secrets': 'off' } } },
    ],
    ['with a generated name', { metadata: { name: undefined, generateName: 'tried-' } }],
    ['when ours is named too', { secrets: [ours('app'), 'nexus'] }],
    ['when it is named twice', { secrets: ['nexus', 'nexus'] }],
    ['behind entries without a name', { secrets: [{}, { name: '' }, 'nexus'] }],
    ['that is bound to a node at once', { spec: { nodeName: 'node-a' } }],
    ['that brings our gate along', { spec: { schedulingGates: [{ name: 'keyless-pull.dev/credentials' }] } }],
    ['whose images need none', { image: 'nginx' }],
    ['whose image nobody can read', { image: 'UPPER/case' }],
    ['of an account that does not list it', { spec: { serviceAccountName: 'other' } }],
    ['of an account that lists it', { secrets: [], spec: { serviceAccountName: 'heir' } }],
    ['named as the account lists it', { spec: { serviceAccountName: 'heir' } }],
  ])('%s', async (_, tried) => {
    expectDenied(await tryPod({ secrets: ['nexus'], ...tried }));
  });

  test('tried or meant: a dry run is judged like everything else', async () => {
    expectDenied(await tryPod({ secrets: ['nexus'] }, PODS));
    expect((await tenant('GET', `${PODS}/tried`)).status).toBe(404);
  });

  test('by server-side apply', async () => {
    const contentType = 'application/apply-patch+yaml';
    const path = `${PODS}/tried?fieldManager=tenant`;

    expectDenied(await tenant('PATCH', path, podOf({ secrets: ['nexus'] }), { contentType }));
  });

  test('by the old name of the account field: the API server reads the new one', async () => {
    const spec = { serviceAccountName: 'app', serviceAccount: 'other' };

    expectDenied(await tryPod({ secrets: [ours('other')], spec }), ours('other'));
  });

  test('as a mirror of a static pod: the API server gives those no secrets', async () => {
    const metadata = { annotations: { 'kubernetes.io/config.mirror': 'x' } };
    const spec = { serviceAccountName: undefined, nodeName: 'node-a' };
    const answer = await tryPod({ secrets: ['nexus'], metadata, spec });

    expect(answer.status).toBe(403);
    expect(answer.body.message).toContain('a mirror pod may not reference secrets');
  });

  test('copied from one that an administrator let through', async () => {
    const passed = await admin<Answered>(
      'POST',
      PODS,
      podOf({ secrets: ['nexus'], metadata: { name: 'passed' } }),
    );
    expect(passed.status).toBe(201);
    const { body } = await tenant<Answered & { metadata: object }>('GET', `${PODS}/passed`);
    const { labels, annotations } = body.metadata as { labels?: object; annotations?: object };

    expectDenied(
      await tenant('POST', PODS, { metadata: { name: 'copy', labels, annotations }, spec: body.spec }),
    );
  });

  test('as a Deployment: applying it warns, and its pods are denied with the template to change', async () => {
    const labels = { app: 'web' };
    const { spec } = podOf({ secrets: ['nexus'] });
    const path = '/apis/apps/v1/namespaces/shop/deployments';
    const applied = await tenant('POST', path, {
      metadata: { name: 'web' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    });

    expect(applied.status).toBe(201);
    const what =
      '"nexus" in spec.imagePullSecrets is a static pull secret, written in the template of Deployment web: remove that line there';
    expect(applied.warnings).toEqual([
      what,
      `keyless-pull gives this pod its own credential for ${HOST}`,
      'pods of Deployment web will be denied: the namespace has keyless-pull.dev/static-pull-secrets=enforce',
      'keyless-pull render -f <manifest> --config <config> shows what shop/web gets',
    ]);
    const conditions = async () =>
      JSON.stringify((await tenant<Answered>('GET', `${path}/web`)).body.status ?? {}).replaceAll('\\"', '"');
    await waitUntil('the Deployment says why', async () => (await conditions()).includes(what), {
      deadlineMs: 60_000,
    });
    const made = await tenant<{ items: object[] }>('GET', `${PODS}?labelSelector=app=web`);
    expect(made.body.items).toEqual([]);
  });
});

describe('a name like ours', () => {
  test("of another account is that account's credential, and denied", async () => {
    expectDenied(await tryPod({ secrets: [ours('other')] }), ours('other'));
  });

  test('that a copied pod of another account brings along is denied too', async () => {
    const { body, status } = await tryPod(
      { metadata: { name: 'others' }, spec: { serviceAccountName: 'other' } },
      PODS,
    );
    expect(status).toBe(201);
    const spec = { ...body.spec, serviceAccountName: 'app', serviceAccount: 'app', schedulingGates: [] };

    expectDenied(await tenant('POST', PODS, { metadata: { name: 'copied' }, spec }), ours('other'));
  });

  test('that nobody made is denied', async () => {
    expectDenied(await tryPod({ secrets: ['keyless-pull-nexus'] }), 'keyless-pull-nexus');
  });

  test('cannot be made beforehand, nor a Secret of ours be filled', async () => {
    const secrets = '/api/v1/namespaces/shop/secrets';
    const data = { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') };
    const type = 'kubernetes.io/dockerconfigjson';
    const made = await tenant<Answered>('POST', secrets, { metadata: { name: ours('heir') }, type, data });
    await tryPod({ metadata: { name: 'filler' } }, PODS);
    await waitUntil(
      'it is there',
      async () => (await tenant('GET', `${secrets}/${ours('app')}`)).status === 200,
      {
        deadlineMs: 60_000,
      },
    );
    const filled = await tenant<Answered>('PATCH', `${secrets}/${ours('app')}`, { data });

    for (const { status, body } of [made, filled]) {
      expect(status).toBe(422);
      expect(body.message).toContain('only keyless-pull may');
    }
  });

  test("cannot be claimed with a record of one's own", async () => {
    const records = '/apis/keyless-pull.dev/v1alpha1/namespaces/shop/pullcredentials';

    expect((await tenant('POST', records, { metadata: { name: 'nexus' }, spec: {} })).status).toBe(403);
  });
});

describe('a name that an annotation chose, where a rule lets it', () => {
  test('does not make a Secret of the tenant ours: it holds the pod, and is static from then on', async () => {
    const annotations = {
      [`${PROVISIONER}/registry`]: ECR_HOST,
      [`${PROVISIONER}/aws-role-arn`]: 'arn:aws:iam::111122223333:role/pull',
      [`${PROVISIONER}/secret-name`]: 'chosen',
    };
    const type = 'kubernetes.io/dockerconfigjson';
    const secret = {
      metadata: { name: 'chosen' },
      type,
      stringData: { '.dockerconfigjson': '{"auths":{}}' },
    };
    expect((await tenant('POST', '/api/v1/namespaces/shop/secrets', secret)).status).toBe(201);
    expect((await tenant('POST', ACCOUNTS, { metadata: { name: 'chooser', annotations } })).status).toBe(201);
    const tried = { image: `${ECR_HOST}/app:1`, spec: { serviceAccountName: 'chooser' } };

    const isHeld = ({ body }: ApiAnswer<Answered>) => body.spec?.schedulingGates?.length === 1;
    await waitUntil('the webhook knows that a worker works', async () => isHeld(await tryPod(tried)), {
      deadlineMs: 60_000,
    });

    const first = await tryPod({ ...tried, metadata: { name: 'chooser' } }, PODS);
    expect(first.status, JSON.stringify(first.body)).toBe(201);
    expect(isHeld(first)).toBe(true);

    await waitUntil(
      'it is known as static',
      async () => (await tryPod({ ...tried, secrets: ['chosen'] })).status === 403,
      {
        deadlineMs: 60_000,
      },
    );
    expectDenied(await tryPod({ ...tried, secrets: ['chosen'] }), 'chosen');
    const held = await tenant<Answered>('GET', `${PODS}/chooser`);
    expect(isHeld(held)).toBe(true);
  });

  test('is nothing under rules that compute it', async () => {
    const annotations = { [`${PROVISIONER}/secret-name`]: 'nexus', [`${PROVISIONER}/registry`]: HOST };
    await tenant('POST', ACCOUNTS, { metadata: { name: 'hopeful', annotations } });

    expectDenied(await tryPod({ secrets: ['nexus'], spec: { serviceAccountName: 'hopeful' } }));
  });
});

describe('a pod that is there', () => {
  beforeAll(async () => {
    expect((await tryPod({ metadata: { name: 'there' } }, PODS)).status).toBe(201);
  });
  const secrets = { spec: { imagePullSecrets: [{ name: 'nexus' }] } };
  const contentType = 'application/strategic-merge-patch+json';
  const listed = async () => (await tenant<Answered>('GET', `${PODS}/there`)).body.spec?.imagePullSecrets;

  test('is given no pull secret with another image: the API server keeps the list as it is', async () => {
    const containers = [{ name: 'app', image: `${HOST}/app:2` }];
    const answer = await tenant<Answered>(
      'PATCH',
      `${PODS}/there`,
      { spec: { ...secrets.spec, containers } },
      { contentType },
    );

    expect([403, 422]).toContain(answer.status);
    expect(await listed()).toEqual([{ name: ours('app') }]);
  });

  test('is given none with a debug container', async () => {
    const ephemeralContainers = [{ name: 'debug', image: `${HOST}/debug:1` }];
    const body = { spec: { ...secrets.spec, ephemeralContainers } };
    await tenant<Answered>('PATCH', `${PODS}/there/ephemeralcontainers`, body, { contentType });

    expect(await listed()).toEqual([{ name: ours('app') }]);
  });
});

describe('an account', () => {
  test('is given no static pull secret, new or changed', async () => {
    const imagePullSecrets = [{ name: 'nexus' }];
    const created = await tenant<Answered>('POST', ACCOUNTS, { metadata: { name: 'new' }, imagePullSecrets });
    const changed = await tenant<Answered>('PATCH', `${ACCOUNTS}/app`, { imagePullSecrets });

    for (const [{ status, body }, name] of [
      [created, 'new'],
      [changed, 'app'],
    ] as const) {
      expect(status).toBe(403);
      expect(body.message).toBe(
        `admission webhook "accounts-and-workloads-enforce.keyless-pull.dev" denied the request: "nexus" in imagePullSecrets of ServiceAccount ${name} is a static pull secret, which its pods inherit: remove that line; keyless-pull gives its pods credentials of their own for ${HOST}, *.dkr.ecr.*.amazonaws.com (keyless-pull audit -n shop shows what uses it)`,
      );
    }
  });

  test('that the platform gives one keeps it, and its pods are denied all the same', async () => {
    const imagePullSecrets = [{ name: 'app-dockercfg-x7k2p' }];
    await tenant('POST', ACCOUNTS, { metadata: { name: 'platform' } });
    const changed = await tenant('PATCH', `${ACCOUNTS}/platform`, { imagePullSecrets });
    expect(changed.status).toBe(200);
    const spec = { serviceAccountName: 'platform' };
    await waitUntil('the account is seen', async () => (await tryPod({ spec })).status === 403, {
      deadlineMs: 30_000,
    });

    expectDenied(await tryPod({ spec }), 'app-dockercfg-x7k2p');
  });

  test('of ours that is malformed is refused with its grammar, and what is nearly right is told', async () => {
    const annotated = (annotations: object) =>
      tenant<Answered>('PATCH', `${ACCOUNTS}/app?dryRun=All`, { metadata: { annotations } });

    const malformed = await annotated({ 'keyless-pull.dev/role-arn': 'pull' });
    const nearly = await annotated({ 'keyless-pull.dev/rol-arn': 'pull' });

    expect(malformed.status).toBe(403);
    expect(malformed.body.message).toContain(
      'annotation keyless-pull.dev/role-arn: role-arn looks like arn:aws:iam::111122223333:role/NAME',
    );
    expect(nearly.status).toBe(200);
    expect(nearly.warnings).toEqual([
      'annotation keyless-pull.dev/rol-arn: no rule lets accounts set rol-arn; did you mean keyless-pull.dev/role-arn?',
    ]);
  });
});

describe("the way out is not the tenant's", () => {
  test('the label of the namespace', async () => {
    const answer = await tenant<Answered>('PATCH', '/api/v1/namespaces/shop', {
      metadata: { labels: { 'keyless-pull.dev/static-pull-secrets': null } },
    });

    expect(answer.status).toBe(403);
  });

  test('the right to break the glass: nobody gives what they do not have', async () => {
    const rules = [
      { apiGroups: ['keyless-pull.dev'], resources: ['pullcredentials'], verbs: ['break-glass'] },
    ];
    const path = `/apis/${RBAC}/v1/namespaces/shop/roles`;
    const answer = await tenant<Answered>('POST', path, { metadata: { name: 'breaker' }, rules });

    expect(answer.status).toBe(403);
    expect(answer.body.message).toContain('attempting to grant RBAC permissions not currently held');
  });
});

test('what an administrator let through is told by an event, with the cure', async () => {
  const told = podOf({ secrets: ['harbor'], metadata: { name: 'told' } });
  expect((await admin('POST', PODS, told)).status).toBe(201);
  const events = async () => {
    const path = '/apis/events.k8s.io/v1/namespaces/shop/events';
    const { body } = await tenant<{ items: StoredEvent[] }>('GET', path);
    return body.items.filter(
      ({ reason, regarding }) => reason === 'StaticPullSecret' && regarding.name === 'told',
    );
  };
  await waitUntil('the event is there', async () => (await events()).length > 0, { deadlineMs: 60_000 });

  expect((await events()).map(({ note }) => note)).toEqual([
    `"harbor" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line; keyless-pull gives this pod its own credential for ${HOST} (keyless-pull explain pod told -n shop shows more)`,
  ]);
});

interface StoredEvent {
  readonly reason: string;
  readonly note: string;
  readonly regarding: { readonly name: string };
}

describe('the first cold pod of a new account', () => {
  test('is admitted with its own reference, fifty times over, before any watch has seen the account', async () => {
    const answers: ApiAnswer<Answered>[] = [];
    for (let at = 0; at < 50; at++) {
      const name = `cold-${at}`;
      expect((await tenant('POST', ACCOUNTS, { metadata: { name } })).status).toBe(201);
      answers.push(await tryPod({ metadata: { name }, spec: { serviceAccountName: name } }, PODS));
    }

    for (const [at, { status, body }] of answers.entries()) {
      expect(status, JSON.stringify(body)).toBe(201);
      expect(body.spec?.imagePullSecrets).toEqual([{ name: ours(`cold-${at}`) }]);
    }
  });

  test('is admitted where its annotations decide the name, and where everything is as new as the account', async () => {
    const annotations = { 'keyless-pull.dev/role-arn': 'arn:aws:iam::111122223333:role/pull' };
    const tried = { image: `${ECR_HOST}/app:1`, metadata: { name: 'first' } };
    for (let at = 0; at < 20; at++) {
      const name = `annotated-${at}`;
      await tenant('POST', ACCOUNTS, { metadata: { name, annotations } });
      const answer = await tryPod({ ...tried, spec: { serviceAccountName: name } });
      expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      expect(answer.body.spec?.imagePullSecrets).toEqual([{ name: expect.stringMatching(/^keyless-pull-/) }]);
    }
    for (let at = 0; at < 10; at++) {
      const path = `/api/v1/namespaces/fresh-${at}`;
      await admin('POST', '/api/v1/namespaces', { metadata: { name: `fresh-${at}`, labels: ENFORCED } });
      await nomad('POST', `${path}/serviceaccounts`, { metadata: { name: 'app', annotations } });
      const answer = await nomad<Answered>('POST', `${path}/pods`, podOf(tried));
      expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    }
  });
});
