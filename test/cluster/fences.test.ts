// The fences of webhook-config/ on a real API server: everything they forbid is tried, by the identity they forbid it to,
// and everything the worker needs is done with what the core writes.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordManifest, statusManifest } from '../../src/core/pull-credential-record.ts';
import { secretManifest, secretNameFor } from '../../src/core/pull-secret.ts';
import { FENCE_PROBE_AUDIENCE, GATE, INJECT_LABEL, MANAGED_LABEL } from '../../src/core/vocabulary.ts';
import { SecretText } from '../../src/secret-text.ts';
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import { startControlPlane } from '../../tools/control-plane.ts';
import { waitUntil } from '../../tools/processes.ts';
import {
  applyManifests,
  installManifests,
  isRefusedBy,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
} from '../../tools/install.ts';
import { rightsOf } from './own-rights.ts';
import type { Need } from '../../src/core/pull-credential.ts';
import type { ApiAnswer, ApiRequest } from '../../tools/api-client.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';

const AUDIENCE = 'https://registry.team.example';
const API_AUDIENCE = 'https://kubernetes.default.svc';
/** What stands in the Secrets that nobody of us may read. */
const MARK = 'marked-password-5c2e';

const TEAM = 'team';
const PLAIN = 'plain';
const KUBERNETES_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'];

interface Answer {
  readonly message?: string;
  readonly metadata?: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly ownerReferences?: readonly unknown[];
  };
  readonly [field: string]: unknown;
}

let controlPlane: ControlPlane;
let admin: ApiRequest;
let worker: ApiRequest;
/** Has the ClusterRole admin in the namespace team, as a team's lead would. */
let lead: ApiRequest;
/** Has every right in the namespace team, so that only a fence can say no. */
let owner: ApiRequest;
/** Has the ClusterRole view in the namespace team. */
let viewer: ApiRequest;
/** Another account of our own namespace. */
let sibling: ApiRequest;
/** Has what the role of the webhook gives, and nothing else. */
let webhook: ApiRequest;
/** Nobody in particular. */
let anonymous: ApiRequest;

beforeAll(async () => {
  const people = ['lead', 'owner', 'viewer'];
  controlPlane = await startControlPlane({
    identities: people.map((name) => ({ name, user: name, groups: ['people'] })),
  });
  admin = controlPlane.admin;
  const roles = ['admin', 'cluster-admin', 'view'];
  await applyManifests(controlPlane, [
    namespace(TEAM, { [INJECT_LABEL]: 'enabled' }),
    namespace(PLAIN, {}),
    // An administrator's mistake must not open them.
    ...KUBERNETES_NAMESPACES.map((name) => namespace(name, { [INJECT_LABEL]: 'enabled' })),
    ...people.map((name, at) => roleBinding(name, roles[at] ?? '')),
    ...[TEAM, PLAIN, ...KUBERNETES_NAMESPACES].flatMap((name) => [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'app', namespace: name } },
      foreignSecret(name, 'database', 'Opaque', { password: MARK }),
      foreignSecret(name, 'registry-login', 'kubernetes.io/dockerconfigjson', {
        '.dockerconfigjson': JSON.stringify({ auths: { 'registry.example': { auth: MARK } } }),
      }),
    ]),
    pod('gated', TEAM, [GATE, 'example.com/other']),
    pod('ungated', TEAM, []),
    pod('left', PLAIN, [GATE]),
    pod('system', 'kube-system', [GATE]),
    pod('evicted', TEAM, [GATE]),
  ]);
  await installManifests(controlPlane, { audiences: [AUDIENCE, 'other.example'] });
  // Again a mistake: our own namespace with the opt-in label.
  await patch(admin, `/api/v1/namespaces/${OWN_NAMESPACE}`, {
    metadata: { labels: { [INJECT_LABEL]: 'enabled' } },
  });
  worker = apiClient(controlPlane, await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT));
  await applyManifests(controlPlane, [
    ...['sibling', 'webhook'].map((name) => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace: OWN_NAMESPACE },
    })),
    ...readManifests('rbac.yaml').flatMap((manifest) => {
      if (manifest.metadata.name !== 'keyless-pull-webhook' || !manifest.kind.endsWith('Binding')) return [];
      const metadata = { ...manifest.metadata, name: 'webhook-alone' };
      return [{ ...manifest, metadata, subjects: [accountSubject('webhook')] }];
    }),
  ]);
  const accountClient = async (name: string) =>
    apiClient(controlPlane, await serviceAccountToken(controlPlane, OWN_NAMESPACE, name));
  [sibling, webhook] = [await accountClient('sibling'), await accountClient('webhook')];
  anonymous = apiClient(controlPlane, '');
  [lead, owner, viewer] = people.map((name) => apiClient(controlPlane, controlPlane.tokens[name] ?? '')) as [
    ApiRequest,
    ApiRequest,
    ApiRequest,
  ];
});
afterAll(() => controlPlane?.stop());

describe('with the rights that we ship, the worker', () => {
  test('has exactly the rights that its role needs, and in our own namespace Lease and certificate besides', async () => {
    const everywhere = [
      'create /secrets',
      'create /serviceaccounts/token',
      'create events.k8s.io/events',
      'create keyless-pull.dev/pullcredentials',
      'delete keyless-pull.dev/pullcredentials',
      'get admissionregistration.k8s.io/mutatingwebhookconfigurations keyless-pull',
      'get admissionregistration.k8s.io/validatingwebhookconfigurations keyless-pull',
      'list /namespaces',
      'list /pods',
      'list /serviceaccounts',
      'list keyless-pull.dev/pullcredentials',
      'patch /pods',
      'update /secrets',
      'update admissionregistration.k8s.io/mutatingwebhookconfigurations keyless-pull',
      'update admissionregistration.k8s.io/validatingwebhookconfigurations keyless-pull',
      'update keyless-pull.dev/pullcredentials/status',
      'watch /namespaces',
      'watch /pods',
      'watch /serviceaccounts',
      'watch keyless-pull.dev/pullcredentials',
    ];
    const own = [
      ...['create', 'list', 'update'].map((verb) => `${verb} coordination.k8s.io/leases`),
      ...['get', 'update'].map((verb) => `${verb} /secrets keyless-pull-tls`),
    ];

    expect(await rightsOf(worker, TEAM)).toEqual(everywhere);
    expect(await rightsOf(worker, 'kube-system')).toEqual(everywhere);
    expect(await rightsOf(worker, OWN_NAMESPACE)).toEqual([...everywhere, ...own].toSorted());
  });

  test.each([
    ['get', 'GET', secrets(TEAM, 'database')],
    ['list', 'GET', secrets(TEAM)],
    ['list in the whole cluster', 'GET', '/api/v1/secrets'],
    ['list by field', 'GET', `${secrets(TEAM)}?fieldSelector=metadata.name%3Ddatabase`],
    ['watch', 'GET', `${secrets(TEAM)}?watch=1`],
    ['watch by the old path', 'GET', `/api/v1/watch/namespaces/${TEAM}/secrets/database`],
    ['get of another one in our own namespace', 'GET', secrets(OWN_NAMESPACE, 'other')],
    ['list in our own namespace', 'GET', secrets(OWN_NAMESPACE)],
    ["get of our certificate's name elsewhere", 'GET', secrets(TEAM, 'keyless-pull-tls')],
    ['get of what it writes itself', 'GET', secrets(TEAM, secretNameFor('app', 'team-registry', '', 'h'))],
    ['delete, which answers with the object', 'DELETE', secrets(TEAM, 'database')],
    ['delete of a collection', 'DELETE', secrets(TEAM)],
  ] as const)('cannot read a Secret by %s', async (_, method, path) => {
    expectForbidden(await worker(method, path));
  });

  test.each([
    [
      'a JSON patch that copies a value where an error shows it',
      'json-patch',
      [{ op: 'copy', from: '/data/password', path: '/type' }],
    ],
    [
      'a JSON patch that tests a value',
      'json-patch',
      [{ op: 'test', path: '/data/password', value: base64(MARK) }],
    ],
    [
      'a JSON patch that copies it into an annotation',
      'json-patch',
      [{ op: 'copy', from: '/data/password', path: '/metadata/annotations' }],
    ],
    ['a merge patch that changes nothing', 'merge-patch', {}],
    ['a strategic merge patch that changes nothing', 'strategic-merge-patch', {}],
    [
      'a server-side apply',
      'apply-patch',
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'database' } },
    ],
  ])('cannot read a Secret by %s', async (_, kind, body) => {
    for (const query of ['', '?dryRun=All']) {
      const fieldManager = kind === 'apply-patch' ? `${query ? '&' : '?'}fieldManager=x` : '';
      const path = `${secrets(TEAM, 'database')}${query}${fieldManager}`;
      const contentType =
        kind === 'apply-patch' ? 'application/apply-patch+yaml' : `application/${kind}+json`;
      expectForbidden(await worker('PATCH', path, body, { contentType }));
    }
  });

  test('learns from a POST over an existing Secret that the name is taken, and nothing else', async () => {
    const answer = await worker<Answer>('POST', secrets(TEAM), managedSecret('database', 'some-uid'));

    expect(answer).toMatchObject({ status: 409, body: { reason: 'AlreadyExists' } });
    expectNoSecret(answer);
  });

  test.each([
    [
      'evict one',
      'POST',
      'pods/ungated/eviction',
      { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'ungated' } },
    ],
    ['delete one', 'DELETE', 'pods/ungated', undefined],
    ['create one', 'POST', 'pods', pod('new', TEAM, [])],
    ['replace one', 'PUT', 'pods/ungated', pod('ungated', TEAM, [])],
    ['read a log', 'GET', 'pods/ungated/log', undefined],
    ['run a program in one', 'POST', 'pods/ungated/exec?command=id&stdout=1', undefined],
    ['bind one to a node', 'POST', 'pods/ungated/binding', binding('ungated')],
    ['write a status', 'PATCH', 'pods/ungated/status', { status: { phase: 'Failed' } }],
    [
      'add a debug container',
      'PATCH',
      'pods/ungated/ephemeralcontainers',
      { spec: { ephemeralContainers: [] } },
    ],
  ] as const)('cannot do with a pod what it does not need: %s', async (_, method, path, body) => {
    expectForbidden(await worker(method, `/api/v1/namespaces/${TEAM}/${path}`, body));
  });

  test.each([
    [
      'its own fences',
      'DELETE',
      '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/keyless-pull-worker-secrets',
    ],
    [
      'the bindings of its fences',
      'DELETE',
      '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/keyless-pull-worker-secrets',
    ],
    [
      'the audiences it may ask for',
      'PATCH',
      '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/keyless-pull-worker-token-requests',
    ],
    ['the opt-in of a namespace', 'PATCH', `/api/v1/namespaces/${PLAIN}`],
    ['its own role', 'PATCH', '/apis/rbac.authorization.k8s.io/v1/clusterroles/keyless-pull-worker'],
    [
      'a webhook configuration',
      'PATCH',
      '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/keyless-pull',
    ],
    ['an account', 'PATCH', `/api/v1/namespaces/${TEAM}/serviceaccounts/app`],
    [
      "another namespace's Leases",
      'PATCH',
      '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler',
    ],
  ] as const)('cannot change %s', async (_, method, path) => {
    expectForbidden(await worker(method, path, method === 'PATCH' ? {} : undefined));
  });

  test('issues a credential: record, empty Secret, token bound to it, Secret filled in place, status', async () => {
    const { need, secret, token, filled, status } = await issue('issued');

    expect(token.status).toBe(201);
    expect(claimsOf(token)).toMatchObject({
      aud: [AUDIENCE],
      'kubernetes.io': {
        secret: { name: need.secretName, uid: secret.uid },
        serviceaccount: { name: 'issued', uid: need.identity.uid },
      },
    });
    expect(filled).toMatchObject({ status: 200, body: { metadata: { uid: secret.uid } } });
    expect(status).toMatchObject({ status: 200, body: { status: statusManifest(recordStatus(secret.uid)) } });
  });

  test('renews in place: the same Secret, the same uid, in a namespace that is draining too', async () => {
    const { need, record, secret } = await issue('renewed');
    await labelTeam('draining');

    const renewed = await worker<Answer>(
      'PUT',
      secrets(TEAM, need.secretName),
      secretManifest(need, record.uid, content(secret.uid)),
    );
    await labelTeam('enabled');

    expect(renewed).toMatchObject({ status: 200, body: { metadata: { uid: secret.uid } } });
  });

  test('finds the uid of its own Secret by a dry run, which changes nothing', async () => {
    const { need, record, secret } = await issue('found-again');

    const probe = await worker<Answer>(
      'PUT',
      `${secrets(TEAM, need.secretName)}?dryRun=All`,
      secretManifest(need, record.uid),
    );

    expect(probe).toMatchObject({ status: 200, body: { metadata: { uid: secret.uid } } });
    const stored = await admin<Answer>('GET', secrets(TEAM, need.secretName));
    expect(stored.body.metadata?.resourceVersion).toBe(probe.body.metadata?.resourceVersion);
  });

  test('is told by the API server when a Secret of its name has had another life: 409 by uid', async () => {
    const { need, record } = await issue('another-life');

    const answer = await worker<Answer>(
      'PUT',
      secrets(TEAM, need.secretName),
      secretManifest(need, record.uid, content('00000000-0000-4000-8000-000000000000')),
    );

    expect(answer.status).toBe(409);
  });

  test('adopts a Secret that lost its owner', async () => {
    const { need, record, secret } = await issue('orphaned');
    await patch(admin, secrets(TEAM, need.secretName), { metadata: { ownerReferences: null } });

    const adopted = await worker<Answer>(
      'PUT',
      secrets(TEAM, need.secretName),
      secretManifest(need, record.uid, content(secret.uid)),
    );

    expect(adopted.status).toBe(200);
    expect(adopted.body.metadata?.ownerReferences).toMatchObject([
      { kind: 'PullCredential', uid: record.uid },
    ]);
  });

  test('removes its own gate from a pod, and another gate stays', async () => {
    await created(admin, pods(TEAM), pod('released', TEAM, [GATE, 'example.com/other']));

    const answer = await removeGate(worker, TEAM, 'released');

    expect(answer).toMatchObject({
      status: 200,
      body: { spec: { schedulingGates: [{ name: 'example.com/other' }] } },
    });
  });

  test('opens gates also in a namespace that has left, and deletes its records there', async () => {
    const answer = await removeGate(worker, PLAIN, 'left');
    const { need } = await issue('leaver');
    await labelTeam(null);

    const deleted = await worker('DELETE', records(TEAM, need.secretName));
    await labelTeam('enabled');

    expect(answer.status).toBe(200);
    expect(deleted.status).toBe(200);
  });

  test('writes events and its Lease, and lists what it watches', async () => {
    const event = await worker('POST', `/apis/events.k8s.io/v1/namespaces/${TEAM}/events`, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'app.1a2b3c', namespace: TEAM },
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      reportingController: 'keyless-pull.dev/worker',
      reportingInstance: 'one',
      action: 'Credential',
      reason: 'CredentialIssued',
      type: 'Normal',
      regarding: { apiVersion: 'v1', kind: 'ServiceAccount', namespace: TEAM, name: 'app' },
    });
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases`;
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'keyless-pull-worker' },
      spec: { holderIdentity: 'one' },
    };
    const made = await created(worker, leases, lease);
    const metadata = { name: 'keyless-pull-worker', resourceVersion: made.resourceVersion };
    const renewed = await worker('PUT', `${leases}/keyless-pull-worker`, { ...lease, metadata });

    expect([event.status, renewed.status]).toEqual([201, 200]);
    for (const path of [
      leases,
      '/api/v1/namespaces',
      '/api/v1/serviceaccounts',
      '/api/v1/pods',
      '/apis/keyless-pull.dev/v1alpha1/pullcredentials',
    ]) {
      expect((await worker('GET', path)).status, path).toBe(200);
    }
  });
});

describe('even with every right of a cluster administrator, the worker', () => {
  beforeAll(async () => {
    await applyManifests(controlPlane, [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'worker-may-everything' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'ServiceAccount', name: WORKER_ACCOUNT, namespace: OWN_NAMESPACE }],
      },
    ]);
    await waitUntil(
      'the worker may everything',
      async () => (await worker('GET', '/api/v1/nodes')).status === 200,
      { deadlineMs: 30_000 },
    );
  });
  afterAll(async () => {
    await admin('DELETE', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/worker-may-everything');
    await waitUntil(
      'the worker has its own rights again',
      async () => (await worker('GET', '/api/v1/nodes')).status === 403,
      { deadlineMs: 30_000 },
    );
  });

  test.each([
    ['an Opaque one', { type: 'Opaque', data: {} }, 'of type kubernetes.io/dockerconfigjson'],
    [
      "one that would hold an account's token",
      { type: 'kubernetes.io/service-account-token', data: {} },
      'of type kubernetes.io/dockerconfigjson',
    ],
    ['one without our label', { labels: {} }, 'carry the label keyless-pull.dev/managed'],
    ['one without an owner', { owners: [] }, 'belong to the PullCredential of the same name'],
    [
      "one of another kind's",
      { owners: [{ kind: 'ConfigMap', apiVersion: 'v1' }] },
      'belong to the PullCredential of the same name',
    ],
    [
      'one whose owner has another name',
      { owners: [{ name: 'other' }] },
      'belong to the PullCredential of the same name',
    ],
    [
      'one with two records as owners',
      { owners: [{}, { uid: 'two' }] },
      'belong to the PullCredential of the same name',
    ],
  ])('cannot create a Secret that is not as ours are: %s', async (_, changes, phrase) => {
    for (const query of ['', '?dryRun=All']) {
      const answer = await worker<Answer>(
        'POST',
        `${secrets(TEAM)}${query}`,
        managedSecret('wrong', 'some-uid', changes),
      );
      expectRefused(answer, 'keyless-pull-worker-secrets', phrase);
    }
  });

  test('cannot create a Secret under a name that the API server makes up', async () => {
    const { metadata, ...rest } = managedSecret('wrong', 'some-uid');
    const answer = await worker<Answer>('POST', secrets(TEAM), {
      ...rest,
      metadata: { ...metadata, name: undefined, generateName: 'wrong-' },
    });

    expectRefused(answer, 'keyless-pull-worker-secrets', 'belong to the PullCredential of the same name');
  });

  test.each(['database', 'registry-login'])(
    'cannot write over the Secret %s that somebody else made, nor learn its uid',
    async (name) => {
      for (const query of ['', '?dryRun=All']) {
        const answer = await worker<Answer>(
          'PUT',
          `${secrets(TEAM, name)}${query}`,
          managedSecret(name, 'some-uid'),
        );
        expect(answer.status).toBe(422);
        expectNoSecret(answer);
      }
      // The type is immutable, so that the one is refused before any fence is asked.
      const sameType = await worker<Answer>(
        'PUT',
        secrets(TEAM, 'registry-login'),
        managedSecret('registry-login', 'some-uid'),
      );
      expectRefused(sameType, 'keyless-pull-worker-secrets', 'not managed by keyless-pull');
      const stored = await admin<Answer>('GET', secrets(TEAM, name));
      expect(JSON.stringify(stored.body['data'])).toContain(
        name === 'database' ? base64(MARK) : '.dockerconfigjson',
      );
    },
  );

  test('cannot take a managed Secret from another owner', async () => {
    const { need, record, secret } = await issue('contested');
    const other = await created(admin, `/api/v1/namespaces/${TEAM}/configmaps`, {
      metadata: { name: 'other-owner' },
    });
    const foreign = { apiVersion: 'v1', kind: 'ConfigMap', name: 'other-owner', uid: other.uid };
    await patch(admin, secrets(TEAM, need.secretName), { metadata: { ownerReferences: [foreign] } });

    for (const manifest of [
      secretManifest(need, record.uid, content(secret.uid)),
      secretManifest(need, record.uid),
    ]) {
      const answer = await worker<Answer>('PUT', `${secrets(TEAM, need.secretName)}?dryRun=All`, manifest);
      expectRefused(answer, 'keyless-pull-worker-secrets', 'may not take a Secret from another owner');
    }
  });

  test('cannot delete a Secret, not even one of its own', async () => {
    const { need } = await issue('kept');

    for (const path of [secrets(TEAM, 'database'), secrets(TEAM, need.secretName), secrets(TEAM)]) {
      expectRefused(
        await worker<Answer>('DELETE', path),
        'keyless-pull-worker-secrets',
        'may only create and update Secrets',
      );
    }
  });

  test('cannot strip a managed Secret of its label', async () => {
    const { need, record, secret } = await issue('labelled');
    const manifest = secretManifest(need, record.uid, content(secret.uid));

    const answer = await worker<Answer>('PUT', secrets(TEAM, need.secretName), {
      ...manifest,
      metadata: { ...manifest.metadata, labels: {} },
    });

    expectRefused(answer, 'keyless-pull-worker-secrets', 'carry the label keyless-pull.dev/managed');
  });

  test.each([
    ...KUBERNETES_NAMESPACES.map((name) => [name, 'labelled by mistake', "Kubernetes' own namespaces"]),
    [PLAIN, 'without the opt-in label', 'only write Secrets in namespaces with the label'],
    ['default', 'without any label', 'only write Secrets in namespaces with the label'],
  ])('cannot write a Secret in %s (%s)', async (name, _, phrase = '') => {
    const answer = await worker<Answer>('POST', secrets(name), managedSecret('x', 'some-uid'));

    expectRefused(answer, 'keyless-pull-worker-secrets', phrase);
  });

  test('can do one thing with the Secrets of our own namespace: update the certificate that we serve with', async () => {
    const tls = {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: { name: 'keyless-pull-tls' },
      data: {},
    };
    const refuse = async (answer: Promise<ApiAnswer<Answer>>) =>
      expectRefused(
        await answer,
        'keyless-pull-worker-own-secrets',
        'may only update the Secret keyless-pull-tls',
      );
    await refuse(worker('POST', secrets(OWN_NAMESPACE), tls));
    await refuse(worker('POST', secrets(OWN_NAMESPACE), managedSecret('x', 'some-uid')));
    await created(admin, secrets(OWN_NAMESPACE), { ...tls, metadata: { name: 'other' } });
    await refuse(worker('PUT', secrets(OWN_NAMESPACE, 'other'), { ...tls, metadata: { name: 'other' } }));
    await refuse(worker('DELETE', secrets(OWN_NAMESPACE, 'keyless-pull-tls')));
    await refuse(worker('DELETE', secrets(OWN_NAMESPACE)));

    const path = secrets(OWN_NAMESPACE, 'keyless-pull-tls');
    const stored = await admin<{ metadata: { resourceVersion: string } }>('GET', path);
    const answer = await worker('PUT', path, {
      ...tls,
      metadata: stored.body.metadata,
      data: { 'tls.crt': base64('new') },
    });

    expect(answer.status).toBe(200);
    const { resourceVersion: _, ...metadata } = stored.body.metadata;
    const onlyThese = 'nothing in the Secret keyless-pull-tls but ca.crt, tls.crt and tls.key';
    for (const [change, phrase] of [
      [{ data: { 'tls.crt': base64('new'), password: base64('new') } }, onlyThese],
      [{ data: {} }, onlyThese],
      [{ immutable: true }, onlyThese],
      [{ metadata: { ...metadata, labels: { a: 'b' } } }, 'metadata of the Secret'],
      [
        {
          metadata: {
            ...metadata,
            ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'x', uid: 'x' }],
          },
        },
        'metadata of the Secret',
      ],
    ] as const) {
      expectRefused(
        await worker<Answer>('PUT', path, {
          ...tls,
          metadata: { name: 'keyless-pull-tls' },
          data: { 'tls.crt': base64('new') },
          ...change,
        }),
        'keyless-pull-worker-own-secrets',
        phrase,
      );
    }
  });

  const oneAudience = 'exactly one audience';
  test.each([
    ['no audience, which means the API server', { audiences: [] }, oneAudience],
    ["the API server's audience", { audiences: [API_AUDIENCE] }, oneAudience],
    ['an audience that no rule has', { audiences: ['https://elsewhere.example'] }, oneAudience],
    ["a configured audience and the API server's", { audiences: [AUDIENCE, API_AUDIENCE] }, oneAudience],
    ['two configured audiences', { audiences: [AUDIENCE, 'other.example'] }, oneAudience],
    ['the audience of the fence probe', { audiences: [FENCE_PROBE_AUDIENCE] }, oneAudience],
    ['an audience with a slash too many', { audiences: [`${AUDIENCE}/`] }, oneAudience],
    ['the whole list as one audience', { audiences: [`${AUDIENCE},other.example`] }, oneAudience],
    ['a life over an hour', { expirationSeconds: 3601 }, 'longer than 3600 seconds'],
    ['no bound object', { boundObjectRef: undefined }, 'bound to a Secret'],
    [
      'a pod as bound object',
      { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'ungated' } },
      'bound to a Secret',
    ],
  ])('cannot have a token minted with %s', async (_, changes, phrase) => {
    const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: 'database' };
    const answer = await askToken(worker, TEAM, 'app', { boundObjectRef, ...changes });

    expectRefused(answer, 'keyless-pull-worker-token-requests', phrase);
    expect(answer.body['status']).not.toHaveProperty('token');
  });

  test.each([
    ...[...KUBERNETES_NAMESPACES, OWN_NAMESPACE].map((name) => [
      name,
      "Kubernetes' own namespaces or in keyless-pull's",
    ]),
    [PLAIN, 'with the label keyless-pull.dev/inject'],
  ])('cannot have a token minted for an account in %s', async (name, phrase = '') => {
    const account = name === OWN_NAMESPACE ? WORKER_ACCOUNT : 'app';
    const secret = name === OWN_NAMESPACE ? 'keyless-pull-tls' : 'database';
    const answer = await askToken(worker, name, account, {
      boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: secret },
    });

    expectRefused(answer, 'keyless-pull-worker-token-requests', phrase);
  });

  const notTheSpec = "may not change a pod's spec";
  const onlyOurGate = 'only remove the scheduling gate keyless-pull.dev/credentials, and no other';
  const withoutOurs = { schedulingGates: [{ name: GATE, $patch: 'delete' }] };
  test.each([
    [
      'a label',
      'gated',
      { metadata: { labels: { a: 'b' } }, spec: withoutOurs },
      "may not change a pod's metadata",
    ],
    [
      'an annotation',
      'gated',
      { metadata: { annotations: { a: 'b' } }, spec: withoutOurs },
      "may not change a pod's metadata",
    ],
    [
      'a finalizer',
      'gated',
      { metadata: { finalizers: ['a.b/c'] }, spec: withoutOurs },
      "may not change a pod's metadata",
    ],
    [
      'an image',
      'gated',
      { spec: { ...withoutOurs, containers: [{ name: 'app', image: 'evil.example/a' }] } },
      notTheSpec,
    ],
    [
      'a toleration',
      'gated',
      { spec: { ...withoutOurs, tolerations: [{ key: 'a', operator: 'Exists' }] } },
      notTheSpec,
    ],
    ['a node selector', 'gated', { spec: { ...withoutOurs, nodeSelector: { a: 'b' } } }, notTheSpec],
    ['a deadline', 'gated', { spec: { ...withoutOurs, activeDeadlineSeconds: 1 } }, notTheSpec],
    ['an annotation alone', 'ungated', { metadata: { annotations: { a: 'b' } } }, onlyOurGate],
    [
      'an image alone',
      'ungated',
      { spec: { containers: [{ name: 'app', image: 'evil.example/a' }] } },
      onlyOurGate,
    ],
    [
      "somebody else's gate",
      'gated',
      { spec: { schedulingGates: [{ name: 'example.com/other', $patch: 'delete' }] } },
      onlyOurGate,
    ],
    ['every gate', 'gated', { spec: { schedulingGates: null } }, onlyOurGate],
  ])('cannot change a pod, with its gate or without: %s', async (_, name, body, phrase) => {
    const answer = await worker<Answer>('PATCH', pods(TEAM, name), body, {
      contentType: 'application/strategic-merge-patch+json',
    });

    expectRefused(answer, 'keyless-pull-worker-pods', phrase);
  });

  test.each([
    ['create one', 'POST', 'pods', pod('new', TEAM, [])],
    ['delete one', 'DELETE', 'pods/ungated', undefined],
    ['delete them all', 'DELETE', 'pods', undefined],
    ['bind one to a node', 'POST', 'pods/ungated/binding', binding('ungated')],
    ['write a status', 'PATCH', 'pods/ungated/status', { status: { message: 'x' } }],
    ['run a program in one', 'POST', 'pods/ungated/exec?command=id&stdout=1', undefined],
    ['watch what one prints', 'POST', 'pods/ungated/attach?stdout=1', undefined],
    ['talk to a port of one', 'POST', 'pods/ungated/portforward', undefined],
    ['call a server in one', 'GET', 'pods/ungated/proxy/', undefined],
    [
      'add a debug container',
      'PATCH',
      'pods/ungated/ephemeralcontainers',
      { spec: { ephemeralContainers: [{ name: 'debug', image: 'evil.example/a' }] } },
    ],
  ] as const)('cannot do anything else with a pod: %s', async (_, method, path, body) => {
    const answer = await worker<Answer>(method, `/api/v1/namespaces/${TEAM}/${path}`, body);

    expectRefused(
      answer,
      'keyless-pull-worker-pods',
      'may do nothing with pods but remove its own scheduling gate',
    );
  });

  test('can evict pods where the namespace has opted in, and nowhere else', async () => {
    const evict = (of: string, name: string) =>
      worker<Answer>('POST', `${pods(of, name)}/eviction`, {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace: of },
      });

    expect((await evict(TEAM, 'evicted')).status).toBe(201);
    expectRefused(
      await evict(PLAIN, 'left'),
      'keyless-pull-worker-pods',
      'may only evict pods in namespaces with the label keyless-pull.dev/inject',
    );
    expectRefused(
      await evict('kube-system', 'system'),
      'keyless-pull-worker-pods',
      "Kubernetes' own namespaces",
    );
  });

  test("cannot open a gate in Kubernetes' own namespaces", async () => {
    expectRefused(
      await removeGate(worker, 'kube-system', 'system'),
      'keyless-pull-worker-pods',
      "Kubernetes' own namespaces",
    );
  });

  test.each([
    ...[...KUBERNETES_NAMESPACES, OWN_NAMESPACE].map((name) => [
      name,
      "Kubernetes' own namespaces or in keyless-pull's",
    ]),
    [PLAIN, 'with the label keyless-pull.dev/inject'],
  ])('cannot create a PullCredential in %s', async (name, phrase = '') => {
    const need = await needOf('app');
    const manifest = recordManifest({ ...need, identity: { ...need.identity, namespace: name } });

    expectRefused(
      await worker<Answer>('POST', records(name), manifest),
      'keyless-pull-worker-pullcredentials',
      phrase,
    );
  });

  test('cannot write a PullCredential, nor its status, in a namespace that has left', async () => {
    const { need } = await issue('status-of-leaver');
    await labelTeam(null);

    const path = records(TEAM, need.secretName);
    const answers = [
      await patch(worker, `${path}/status`, { status: { digest: '0'.repeat(32) } }),
      await patch(worker, path, { metadata: { labels: { a: 'b' } } }),
    ];
    await labelTeam('enabled');

    for (const answer of answers)
      expectRefused(answer, 'keyless-pull-worker-pullcredentials', 'with the label keyless-pull.dev/inject');
  });

  test('cannot renew a Secret, nor have a token minted, in a namespace that has left', async () => {
    const { need, record, secret } = await issue('secret-of-leaver');
    await labelTeam(null);

    const renewed = await worker<Answer>(
      'PUT',
      secrets(TEAM, need.secretName),
      secretManifest(need, record.uid, content(secret.uid)),
    );
    const token = await askToken(worker, TEAM, 'secret-of-leaver', {
      boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: need.secretName, uid: secret.uid },
    });
    await labelTeam('enabled');

    expectRefused(renewed, 'keyless-pull-worker-secrets', 'only write Secrets in namespaces with the label');
    expectRefused(token, 'keyless-pull-worker-token-requests', 'with the label keyless-pull.dev/inject');
  });

  describe('and of webhook configurations', () => {
    const path = (kind: string, name = '') =>
      `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/${name}`;
    const policy = 'keyless-pull-worker-webhooks';
    beforeAll(async () => {
      const ours = readManifests('webhooks.yaml');
      await applyManifests(controlPlane, [
        ...ours,
        ...ours.map((each) => ({ ...each, metadata: { name: 'foreign' }, webhooks: [] })),
      ]);
    });
    afterAll(async () => {
      for (const kind of ['mutating', 'validating']) {
        for (const name of ['keyless-pull', 'foreign']) await admin('DELETE', path(kind, name));
      }
    });

    test.each(['mutating', 'validating'])('can heal the caBundle of our %s one', async (kind) => {
      const bundle = base64(readFileSync(controlPlane.certificateAuthorityFile, 'utf8'));
      const { body } = await admin<{ webhooks: { clientConfig: object }[] }>(
        'GET',
        path(kind, 'keyless-pull'),
      );
      const webhooks = body.webhooks.map((hook) => ({
        ...hook,
        clientConfig: { ...hook.clientConfig, caBundle: bundle },
      }));

      expect(await patch(worker, path(kind, 'keyless-pull'), { webhooks })).toMatchObject({
        status: 200,
        body: { webhooks },
      });
    });

    test.each<[string, (hook: Hook) => object]>([
      ['failurePolicy', (hook: Hook) => ({ ...hook, failurePolicy: 'Ignore' })],
      ['namespaceSelector', (hook: Hook) => ({ ...hook, namespaceSelector: {} })],
      [
        'rules',
        (hook: Hook) => ({
          ...hook,
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['secrets'] }],
        }),
      ],
      ['matchConditions', (hook: Hook) => ({ ...hook, matchConditions: [] })],
      ['the address', (hook: Hook) => ({ ...hook, clientConfig: { url: 'https://evil.example/' } })],
      [
        'the path',
        (hook: Hook) => ({
          ...hook,
          clientConfig: { service: { ...hook.clientConfig.service, path: '/x' } },
        }),
      ],
      ['the name', (hook: Hook) => ({ ...hook, name: `x-${hook.name}` })],
    ])('cannot change %s', async (_, change) => {
      for (const kind of ['mutating', 'validating']) {
        const { body } = await admin<{ webhooks: Hook[] }>('GET', path(kind, 'keyless-pull'));
        const answer = await patch(worker, path(kind, 'keyless-pull'), {
          webhooks: body.webhooks.map(change),
        });
        expectRefused(answer, policy, 'nothing in a webhook configuration but caBundle');
      }
    });

    test.each([
      ['every webhook removed', { webhooks: [] }, 'nothing in a webhook configuration but caBundle'],
      ['a label', { metadata: { labels: { a: 'b' } } }, 'metadata of a webhook configuration'],
      [
        'an owner that the garbage collector will not find',
        { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'x', uid: 'x' }] } },
        'metadata of a webhook configuration',
      ],
    ])('cannot change the whole: %s', async (_, body, phrase) => {
      for (const kind of ['mutating', 'validating']) {
        expectRefused(await patch(worker, path(kind, 'keyless-pull'), body), policy, phrase);
      }
    });

    test("cannot create, delete or touch another product's", async () => {
      for (const kind of ['mutating', 'validating']) {
        const answers = [
          worker<Answer>('POST', path(kind), { metadata: { name: 'new' }, webhooks: [] }),
          worker<Answer>('DELETE', path(kind, 'keyless-pull')),
          worker<Answer>('DELETE', path(kind)),
          patch(worker, path(kind, 'foreign'), { metadata: { labels: { a: 'b' } } }),
        ];
        for (const answer of await Promise.all(answers))
          expectRefused(answer, policy, 'only update the webhook configurations named keyless-pull');
      }
    });
  });
});

describe('with the rights that we ship, the webhook alone', () => {
  test('can list and watch what it reads, and in our own namespace list Leases and get its certificate', async () => {
    const looks = [
      'list /namespaces',
      'list /serviceaccounts',
      'list keyless-pull.dev/pullcredentials',
      'watch /namespaces',
      'watch /serviceaccounts',
      'watch keyless-pull.dev/pullcredentials',
    ];

    expect(await rightsOf(webhook, TEAM)).toEqual(looks);
    expect(await rightsOf(webhook, OWN_NAMESPACE)).toEqual(
      [...looks, 'get /secrets keyless-pull-tls', 'list coordination.k8s.io/leases'].toSorted(),
    );
  });

  test('can write nothing of what the worker writes, and read no Secret', async () => {
    const need = await needOf('app');
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases`;
    const answers = [
      webhook<Answer>('POST', secrets(TEAM), managedSecret('x', 'some-uid')),
      webhook<Answer>('PUT', secrets(TEAM, 'database'), managedSecret('database', 'some-uid')),
      webhook<Answer>('GET', secrets(TEAM, 'database')),
      webhook<Answer>('GET', secrets(OWN_NAMESPACE)),
      webhook<Answer>('PUT', secrets(OWN_NAMESPACE, 'keyless-pull-tls'), {}),
      webhook<Answer>('POST', records(TEAM), recordManifest(need)),
      patch(webhook, `${records(TEAM, need.secretName)}/status`, {}),
      webhook<Answer>('DELETE', records(TEAM, need.secretName)),
      askToken(webhook, TEAM, 'app', {}),
      askToken(webhook, OWN_NAMESPACE, WORKER_ACCOUNT, {}),
      removeGate(webhook, TEAM, 'gated'),
      webhook<Answer>('GET', pods(TEAM)),
      webhook<Answer>('POST', lease, { metadata: { name: 'x' } }),
      webhook<Answer>('PUT', `${lease}/keyless-pull-worker`, { metadata: { name: 'keyless-pull-worker' } }),
      webhook<Answer>('POST', `/apis/events.k8s.io/v1/namespaces/${TEAM}/events`, {}),
    ];

    for (const answer of await Promise.all(answers)) expectForbidden(answer);
  });
});

describe('whoever has none of our rights', () => {
  test.each([
    ['the role view', () => viewer],
    ['another account of our own namespace', () => sibling],
    ['nobody in particular', () => anonymous],
  ] as const)('can write neither records nor Secrets: %s', async (_, who) => {
    const need = await needOf('app');

    expectForbidden(await who()<Answer>('POST', records(TEAM), recordManifest(need)));
    expectForbidden(await who()<Answer>('POST', secrets(TEAM), managedSecret('x', 'some-uid')));
    expectForbidden(await askToken(who(), TEAM, 'app', {}));
    expectForbidden(await removeGate(who(), TEAM, 'gated'));
  });
});

describe('with every right of a cluster administrator, whoever is not the worker', () => {
  const binding = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/these-may-everything';
  const mayEverything = async () =>
    (await Promise.all([sibling, anonymous].map((who) => who('GET', '/api/v1/nodes')))).map(
      ({ status }) => status,
    );
  let ours: Issued;
  beforeAll(async () => {
    ours = await issue('facing-administrators');
    await applyManifests(controlPlane, [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'these-may-everything' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [
          accountSubject('sibling'),
          { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'system:anonymous' },
        ],
      },
    ]);
    await waitUntil('they may everything', async () => (await mayEverything()).every((one) => one === 200), {
      deadlineMs: 30_000,
    });
  });
  afterAll(async () => {
    await admin('DELETE', binding);
    await waitUntil(
      'they may nothing again',
      async () => (await mayEverything()).every((one) => one === 403),
      {
        deadlineMs: 30_000,
      },
    );
  });

  const everybody = [
    ['a person', () => admin],
    ['another account of our own namespace', () => sibling],
    ['nobody in particular', () => anonymous],
  ] as const;

  test.each(everybody)('cannot make a PullCredential, by whatever verb: %s', async (_, who) => {
    const manifest = recordManifest({ ...(await needOf('app')), secretName: 'keyless-pull-forged' });
    const apply = `${records(TEAM, 'keyless-pull-forged')}?fieldManager=x`;
    const contentType = 'application/apply-patch+yaml';

    for (const answer of [
      await who()<Answer>('POST', records(TEAM), manifest),
      await who()<Answer>('PATCH', apply, manifest, { contentType }),
    ])
      expectRefused(answer, 'keyless-pull-tenant-pullcredentials', 'only keyless-pull may create');
  });

  test.each(everybody)(
    'cannot write the status of a PullCredential, by whatever verb: %s',
    async (_, who) => {
      const path = `${records(TEAM, ours.need.secretName)}/status`;
      const { body } = await admin<Answer>('GET', path);
      const status = { ...(body['status'] as object), digest: '0'.repeat(32) };

      for (const answer of [
        await patch(who(), path, { status: { digest: '0'.repeat(32) } }),
        await who()<Answer>('PUT', path, { ...body, status }),
      ])
        expectRefused(answer, 'keyless-pull-tenant-pullcredentials', 'may change the spec and status');
    },
  );

  test.each(everybody)('cannot make a Secret that looks like ours, by whatever verb: %s', async (_, who) => {
    const named = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keyless-pull-forged' } };
    const labels = { [MANAGED_LABEL]: 'true' };
    const labelled = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'forged', labels } };

    for (const secret of [named, labelled]) {
      const apply = `${secrets(TEAM, secret.metadata.name)}?fieldManager=x`;
      for (const answer of [
        await who()<Answer>('POST', secrets(TEAM), secret),
        await who()<Answer>('PATCH', apply, secret, { contentType: 'application/apply-patch+yaml' }),
      ])
        expectRefused(answer, 'keyless-pull-tenant-secrets', 'only keyless-pull may create Secrets');
    }
  });

  test.each(everybody)('cannot write into a managed Secret, by whatever verb: %s', async (_, who) => {
    const path = secrets(TEAM, ours.need.secretName);
    const { body } = await admin<Answer>('GET', path);
    const data = { '.dockerconfigjson': base64('{"auths":{"evil.example":{}}}') };
    const contentType = 'application/json-patch+json';
    const replace = [{ op: 'replace', path: '/data', value: data }];

    for (const { status, body: answer } of [
      await who()<Answer>('PUT', path, { ...body, data }),
      await patch(who(), path, { data }),
      await who()<Answer>('PATCH', path, replace, { contentType }),
    ]) {
      expect(status).toBe(422);
      expect(answer.message).toContain('may change the content of a Secret that keyless-pull manages');
    }
    expectRefused(
      await patch(who(), path, { metadata: { labels: { [MANAGED_LABEL]: null } } }),
      'keyless-pull-tenant-secrets',
      'may add, change or remove the label',
    );
  });
});

describe("a namespace's own people", () => {
  let ours: Issued;
  beforeAll(async () => {
    ours = await issue('tenant-facing');
    await waitUntil(
      'the aggregated roles are there',
      async () => (await viewer('GET', records(TEAM))).status === 200,
      { deadlineMs: 30_000 },
    );
    await waitUntil(
      'the right to delete is there',
      async () => (await lead('DELETE', `${records(TEAM, 'none')}`)).status === 404,
      { deadlineMs: 30_000 },
    );
  });

  test('see PullCredentials with the role view, and delete them with the role admin', async () => {
    const { need } = await issue('deleted-by-lead');
    const path = records(TEAM, need.secretName);

    expect((await viewer('GET', path)).status).toBe(200);
    expectForbidden(await viewer('DELETE', path));
    expect((await lead('GET', records(TEAM))).status).toBe(200);
    expect((await lead('DELETE', path)).status).toBe(200);
  });

  test('have no right to write PullCredentials', async () => {
    const need = await needOf('app');

    expectForbidden(await lead('POST', records(TEAM), recordManifest(need)));
    expectForbidden(await patch(lead, records(TEAM, ours.need.secretName), {}));
    expectForbidden(await patch(lead, `${records(TEAM, ours.need.secretName)}/status`, {}));
  });

  const everybody = [
    ['somebody with every right in the namespace', () => owner],
    ['the administrator of the cluster', () => admin],
  ] as const;
  test.each(everybody)('cannot create a PullCredential: %s', async (_, who) => {
    const manifest = recordManifest({ ...(await needOf('app')), secretName: 'keyless-pull-forged' });
    for (const query of ['', '?dryRun=All']) {
      const answer = await who()<Answer>('POST', `${records(TEAM)}${query}`, manifest);
      expectRefused(
        answer,
        'keyless-pull-tenant-pullcredentials',
        'only keyless-pull may create PullCredentials',
      );
    }
  });

  test.each(everybody)('cannot change the status of a PullCredential: %s', async (_, who) => {
    const path = `${records(TEAM, ours.need.secretName)}/status`;
    for (const status of [{ digest: '0'.repeat(32) }, { secretUID: 'other' }, { conditions: [] }]) {
      expectRefused(
        await patch(who(), path, { status }),
        'keyless-pull-tenant-pullcredentials',
        'may change the spec and status',
      );
    }
    expectRefused(
      await patch(who(), path, { status: null }),
      'keyless-pull-tenant-pullcredentials',
      'may change the spec and status',
    );
  });

  test('cannot change the spec of a PullCredential', async () => {
    const answer = await patch(owner, records(TEAM, ours.need.secretName), {
      spec: { registry: 'evil.example' },
    });

    expect(answer.status).toBe(422);
    expect(answer.body.message).toContain('never changes');
  });

  test('may write the metadata of a PullCredential: labels, annotations, finalizers', async () => {
    const metadata = {
      labels: { team: 'a' },
      annotations: { 'backup.example/at': 'today' },
      finalizers: ['example.com/hold'],
    };
    const path = records(TEAM, ours.need.secretName);

    expect(await patch(owner, path, { metadata })).toMatchObject({ status: 200, body: { metadata } });
    expect(await patch(owner, path, { metadata: { finalizers: null } })).toMatchObject({ status: 200 });
  });

  test.each([
    ['a name that begins as ours do', { name: 'keyless-pull-forged' }],
    ['a made-up name that begins as ours do', { generateName: 'keyless-pull-' }],
    ['our label', { name: 'forged', labels: { [MANAGED_LABEL]: 'true' } }],
    ['our label with another value', { name: 'forged', labels: { [MANAGED_LABEL]: 'false' } }],
  ])('cannot create a Secret with %s', async (_, metadata) => {
    for (const who of [lead, owner, admin]) {
      const answer = await who<Answer>('POST', secrets(TEAM), { apiVersion: 'v1', kind: 'Secret', metadata });
      expectRefused(
        answer,
        'keyless-pull-tenant-secrets',
        'only keyless-pull may create Secrets whose name begins with keyless-pull-',
      );
    }
  });

  test.each([
    ['other data', { data: { '.dockerconfigjson': base64('{"auths":{"evil.example":{}}}') } }],
    ['more data', { data: { more: base64('x') } }],
    ['data as text', { stringData: { '.dockerconfigjson': '{"auths":{}}' } }],
    ['an end to all updates', { immutable: true }],
  ])('cannot write into a managed Secret: %s', async (_, body) => {
    for (const who of [lead, owner, admin]) {
      const answer = await patch(who, secrets(TEAM, ours.need.secretName), body);
      expectRefused(
        answer,
        'keyless-pull-tenant-secrets',
        'may change the content of a Secret that keyless-pull manages',
      );
    }
  });

  test('cannot take our label off a Secret, change it, or put it on one of theirs', async () => {
    const phrase = 'may add, change or remove the label keyless-pull.dev/managed';
    const label = (value: string | null) => ({ metadata: { labels: { [MANAGED_LABEL]: value } } });

    for (const value of [null, 'false', '']) {
      expectRefused(
        await patch(lead, secrets(TEAM, ours.need.secretName), label(value)),
        'keyless-pull-tenant-secrets',
        phrase,
      );
    }
    expectRefused(
      await patch(lead, secrets(TEAM, 'registry-login'), label('true')),
      'keyless-pull-tenant-secrets',
      phrase,
    );
  });

  test('may write the metadata of a managed Secret, and put it back as it is', async () => {
    const path = secrets(TEAM, ours.need.secretName);
    const metadata = { labels: { team: 'a' }, annotations: { 'backup.example/at': 'today' } };

    expect(await patch(lead, path, { metadata })).toMatchObject({ status: 200, body: { metadata } });
    const { body } = await lead<Answer>('GET', path);
    expect((await lead('PUT', path, body)).status).toBe(200);
  });

  test('go on writing their own Secrets', async () => {
    const mine = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'mine' }, stringData: { a: 'b' } };

    expect((await lead('POST', secrets(TEAM), mine)).status).toBe(201);
    expect((await patch(lead, secrets(TEAM, 'mine'), { stringData: { a: 'c' } })).status).toBe(200);
    expect((await lead('DELETE', secrets(TEAM, 'mine'))).status).toBe(200);
    expect((await lead('POST', secrets(TEAM), { metadata: { generateName: 'mine-' } })).status).toBe(201);
  });

  test('go on having tokens minted for their accounts, with whatever audience and length', async () => {
    for (const spec of [
      { audiences: [] },
      { audiences: ['any.example', API_AUDIENCE], expirationSeconds: 7200 },
    ]) {
      expect((await askToken(lead, TEAM, 'app', spec)).status).toBe(201);
    }
  });

  test('may delete a managed Secret', async () => {
    const { need } = await issue('secret-deleted-by-lead');

    expect((await lead('DELETE', secrets(TEAM, need.secretName))).status).toBe(200);
  });

  test('are not concerned in our own namespace: an administrator puts the certificate there', async () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keyless-pull-anything' } };

    expect((await admin('POST', secrets(OWN_NAMESPACE), secret)).status).toBe(201);
  });
});

describe('the fences themselves', () => {
  test('have no expression that the API server warns of', async () => {
    const path = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
    interface Policy {
      readonly metadata: { readonly name: string; readonly generation: number };
      readonly spec: { readonly failurePolicy: string };
      readonly status: {
        readonly observedGeneration?: number;
        readonly typeChecking?: { readonly expressionWarnings?: unknown[] };
      };
    }
    let policies: Policy[] = [];
    await waitUntil(
      'the policies are type-checked',
      async () => {
        policies = (await admin<{ items: Policy[] }>('GET', path)).body.items.filter(({ metadata }) =>
          metadata.name.startsWith('keyless-pull-'),
        );
        return policies.every(({ metadata, status }) => status.observedGeneration === metadata.generation);
      },
      { deadlineMs: 30_000 },
    );

    expect(policies).toHaveLength(8);
    for (const { metadata, spec, status } of policies) {
      expect(status.typeChecking?.expressionWarnings, metadata.name).toBeUndefined();
      expect(spec.failurePolicy, metadata.name).toBe('Fail');
    }
  });

  test('follow the list of audiences, and with an empty one no token is minted', async () => {
    const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: 'database' };
    const ask = async (audience: string) =>
      (await askToken(worker, TEAM, 'app', { boundObjectRef, audiences: [audience] })).status;
    const install = (audiences: string[]) =>
      installManifests(controlPlane, { audiences, parts: ['rights', 'fences'] });

    await install([]);
    const without = [await ask(AUDIENCE), await ask('other.example')];
    await install(['other.example', 'with"quotes\\and\'more']);
    const changed = [await ask(AUDIENCE), await ask('other.example'), await ask('with"quotes\\and\'more')];
    await install([AUDIENCE, 'other.example']);

    expect(without).toEqual([422, 422]);
    expect(changed).toEqual([422, 201, 201]);
    expect(await ask(AUDIENCE)).toBe(201);
  });

  test.each([
    ['keyless-pull-worker-secrets', () => probeSecrets()],
    ['keyless-pull-worker-token-requests', () => probeTokens()],
  ])("are seen to be missing by the worker's probe: %s", async (policy, probe) => {
    const standing = await probe();
    await admin(
      'DELETE',
      `/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/${policy}`,
    );

    await waitUntil(`${policy} is gone`, async () => (await probe()).status === 201, { deadlineMs: 30_000 });
    await installManifests(controlPlane, {
      audiences: [AUDIENCE, 'other.example'],
      parts: ['rights', 'fences'],
    });

    expectRefused(standing, policy, '');
    await waitUntil(`${policy} stands again`, async () => isRefusedBy(policy, await probe()), {
      deadlineMs: 30_000,
    });
  });
});

describe('the garbage collector', () => {
  test('takes record and Secret along when their account is deleted', async () => {
    const { need } = await issue('deleted');

    await admin('DELETE', `/api/v1/namespaces/${TEAM}/serviceaccounts/deleted`);

    // A CRD's objects are collected only once the collector has noticed the CRD, half a minute at most.
    for (const path of [records(TEAM, need.secretName), secrets(TEAM, need.secretName)]) {
      await waitUntil(`${path} is gone`, async () => (await admin('GET', path)).status === 404, {
        deadlineMs: 75_000,
      });
    }
  });

  test('may take the owner off both when the account is deleted with --cascade=orphan', async () => {
    const { need } = await issue('left-behind');

    await admin('DELETE', `/api/v1/namespaces/${TEAM}/serviceaccounts/left-behind`, {
      propagationPolicy: 'Orphan',
    });

    await waitUntil(
      'the record has no owner',
      async () => {
        const { status, body } = await admin<Answer>('GET', records(TEAM, need.secretName));
        return status === 200 && body.metadata?.ownerReferences === undefined;
      },
      { deadlineMs: 75_000 },
    );
    expect((await admin('GET', secrets(TEAM, need.secretName))).status).toBe(200);
  });
});

interface Hook {
  readonly name: string;
  readonly clientConfig: { readonly service: object };
}

interface Issued {
  readonly need: Need;
  readonly record: { readonly uid: string; readonly resourceVersion: string };
  readonly secret: { readonly uid: string };
  readonly token: ApiAnswer<Answer>;
  readonly filled: ApiAnswer<Answer>;
  readonly status: ApiAnswer<Answer>;
}

/** The worker's five writes for a new account. */
async function issue(account: string): Promise<Issued> {
  await created(admin, `/api/v1/namespaces/${TEAM}/serviceaccounts`, { metadata: { name: account } });
  const need = await needOf(account);
  const manifest = recordManifest(need);
  const record = await created(worker, records(TEAM), manifest);
  const secret = await created(worker, secrets(TEAM), secretManifest(need, record.uid));
  const token = await askToken(worker, TEAM, account, {
    boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: need.secretName, uid: secret.uid },
  });
  const filled = await worker<Answer>(
    'PUT',
    secrets(TEAM, need.secretName),
    secretManifest(need, record.uid, content(secret.uid)),
  );
  const status = await worker<Answer>('PUT', `${records(TEAM, need.secretName)}/status`, {
    ...manifest,
    metadata: { name: need.secretName, namespace: TEAM, ...record },
    status: statusManifest(recordStatus(secret.uid)),
  });
  return { need, record, secret, token, filled, status };
}

async function needOf(account: string): Promise<Need> {
  const { body } = await admin<Answer>('GET', `/api/v1/namespaces/${TEAM}/serviceaccounts/${account}`);
  const host = 'registry.team.example:5000';
  return {
    identity: { namespace: TEAM, account, uid: body.metadata?.uid ?? '' },
    rule: 'team-registry',
    principal: '',
    host,
    secretName: secretNameFor(account, 'team-registry', '', host),
    digest: '0123456789abcdef0123456789abcdef',
  };
}

function content(uid: string): NonNullable<Parameters<typeof secretManifest>[2]> {
  const at = Date.now();
  const password = new SecretText(MARK);
  return {
    uid,
    credential: {
      hosts: ['registry.team.example:5000'],
      username: 'app',
      password,
      issuedAt: at,
      expiresAt: at + 3_600_000,
    },
  };
}

function recordStatus(secretUid: string): Parameters<typeof statusManifest>[0] {
  const at = Date.UTC(2026, 10, 20, 12);
  return {
    isReady: true,
    reason: 'issued',
    message: '',
    changedAt: at,
    issuedAt: at,
    expiresAt: at + 3_600_000,
    refreshAt: at + 2_400_000,
    digest: '0123456789abcdef0123456789abcdef',
    tokenId: '5f0c2f5e-7a62-4b0d-8d0c-3f2f6f3d7a11',
    secretUid,
  };
}

interface SecretChanges {
  readonly type?: string;
  readonly data?: object;
  readonly labels?: object;
  readonly owners?: readonly object[];
}

/** A Secret as ours are, but for the changes. */
function managedSecret(name: string, ownerUid: string, { type, data, labels, owners }: SecretChanges = {}) {
  const owner = { apiVersion: 'keyless-pull.dev/v1alpha1', kind: 'PullCredential', name, uid: ownerUid };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: type ?? 'kubernetes.io/dockerconfigjson',
    metadata: {
      name,
      labels: labels ?? { [MANAGED_LABEL]: 'true' },
      // Without an account's name the API server would not take the type at all.
      annotations: { 'kubernetes.io/service-account.name': 'app' },
      ownerReferences: (owners ?? [{}]).map((each) => ({ ...owner, ...each })),
    },
    data: data ?? { '.dockerconfigjson': base64('{"auths":{}}') },
  };
}

function foreignSecret(
  namespaceName: string,
  name: string,
  type: string,
  stringData: Record<string, string>,
) {
  const data = Object.fromEntries(Object.entries(stringData).map(([key, value]) => [key, base64(value)]));
  return { apiVersion: 'v1', kind: 'Secret', type, metadata: { name, namespace: namespaceName }, data };
}

function namespace(name: string, labels: Record<string, string>) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function roleBinding(user: string, role: string) {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: user, namespace: TEAM },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
  };
}

function accountSubject(name: string) {
  return { kind: 'ServiceAccount', name, namespace: OWN_NAMESPACE };
}

function pod(name: string, namespaceName: string, gates: readonly string[]) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: namespaceName },
    spec: {
      serviceAccountName: 'app',
      schedulingGates: gates.map((gate) => ({ name: gate })),
      containers: [{ name: 'app', image: 'registry.team.example:5000/app:1' }],
    },
  };
}

function binding(name: string) {
  return {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name },
    target: { apiVersion: 'v1', kind: 'Node', name: 'node-a' },
  };
}

/** The strategic-merge patch that design and worker use. */
async function removeGate(who: ApiRequest, namespaceName: string, name: string): Promise<ApiAnswer<Answer>> {
  const { body } = await admin<Answer>('GET', pods(namespaceName, name));
  const gate = {
    metadata: { uid: body.metadata?.uid },
    spec: { schedulingGates: [{ name: GATE, $patch: 'delete' }] },
  };
  return who('PATCH', pods(namespaceName, name), gate, {
    contentType: 'application/strategic-merge-patch+json',
  });
}

function askToken(
  who: ApiRequest,
  namespaceName: string,
  account: string,
  spec: object,
): Promise<ApiAnswer<Answer>> {
  return who('POST', `/api/v1/namespaces/${namespaceName}/serviceaccounts/${account}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: [AUDIENCE], expirationSeconds: 600, ...spec },
  });
}

/** The two requests with which the worker looks whether its fences stand. */
function probeSecrets(): Promise<ApiAnswer<Answer>> {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: { name: 'fence-probe.keyless-pull.dev' },
  };
  return worker('POST', `${secrets('default')}?dryRun=All`, secret);
}
function probeTokens(): Promise<ApiAnswer<Answer>> {
  return askToken(worker, OWN_NAMESPACE, WORKER_ACCOUNT, { audiences: [FENCE_PROBE_AUDIENCE] });
}

function claimsOf(answer: ApiAnswer<Answer>): unknown {
  const { token } = answer.body['status'] as { token: string };
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

async function created(
  who: ApiRequest,
  path: string,
  body: unknown,
): Promise<{ uid: string; resourceVersion: string }> {
  const answer = await who<Answer>('POST', path, body);
  expect(answer.body.message).toBeUndefined();
  expect(answer.status).toBe(201);
  return {
    uid: answer.body.metadata?.uid ?? '',
    resourceVersion: answer.body.metadata?.resourceVersion ?? '',
  };
}

/** Policies see a namespace by a watch of the API server's own, which may be behind by a moment. */
async function labelTeam(inject: 'enabled' | 'draining' | null): Promise<void> {
  await patch(admin, `/api/v1/namespaces/${TEAM}`, { metadata: { labels: { [INJECT_LABEL]: inject } } });
  const probe = recordManifest(await needOf('app'));
  await waitUntil(
    `the fences see ${INJECT_LABEL}: ${inject}`,
    async () =>
      (await worker('POST', `${records(TEAM)}?dryRun=All`, probe)).status === (inject === null ? 422 : 201),
    { deadlineMs: 30_000 },
  );
}

function patch(who: ApiRequest, path: string, body: unknown): Promise<ApiAnswer<Answer>> {
  return who('PATCH', path, body);
}

/** Refused by this policy of ours, and by the validation that says the phrase. */
function expectRefused(answer: ApiAnswer<Answer>, policy: string, phrase: string): void {
  expect(answer.body.message).toContain(`ValidatingAdmissionPolicy '${policy}'`);
  expect(answer.body.message).toContain(phrase);
  expect(answer.status).toBe(422);
  expectNoSecret(answer);
}

/** Refused because the right is missing. */
function expectForbidden(answer: ApiAnswer<Answer>): void {
  expect(answer.status).toBe(403);
  expect(answer.body.message).not.toContain('ValidatingAdmissionPolicy');
  expectNoSecret(answer);
}

function expectNoSecret(answer: ApiAnswer<Answer>): void {
  const text = JSON.stringify(answer.body);
  expect(text).not.toContain(MARK);
  for (const end of [0, 1, 2]) expect(text).not.toContain(base64(MARK.slice(end)).slice(0, -4));
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function secrets(namespaceName: string, name = ''): string {
  return `/api/v1/namespaces/${namespaceName}/secrets${name && `/${name}`}`;
}
function pods(namespaceName: string, name = ''): string {
  return `/api/v1/namespaces/${namespaceName}/pods${name && `/${name}`}`;
}
function records(namespaceName: string, name = ''): string {
  return `/apis/keyless-pull.dev/v1alpha1/namespaces/${namespaceName}/pullcredentials${name && `/${name}`}`;
}
