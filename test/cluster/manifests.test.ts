// webhook-config/ as a user applies it, on a real API server: kubectl apply -k, what a PullCredential may look like, and
// which pods we are asked about.
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordManifest, statusManifest } from '../../src/core/pull-credential-record.ts';
import {
  GATE,
  INJECT_LABEL,
  MIRROR_ANNOTATION,
  STATIC_PULL_SECRETS_LABEL,
} from '../../src/core/vocabulary.ts';
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { startControlPlane } from '../../tools/control-plane.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { waitUntil } from '../../tools/processes.ts';
import {
  applyManifests,
  installManifests,
  manifestFiles,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
} from '../../tools/install.ts';
import type { ApiAnswer, ApiRequest } from '../../tools/api-client.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';

const FOLDER = fileURLToPath(new URL('../../webhook-config', import.meta.url));
const RECORDS = '/apis/keyless-pull.dev/v1alpha1/namespaces/team/pullcredentials';

interface Answer {
  readonly message?: string;
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly metadata?: { readonly resourceVersion: string };
}

let controlPlane: ControlPlane;
let admin: ApiRequest;
/** May do everything with pods, accounts and workloads, and is no administrator. */
let tenant: ApiRequest;

beforeAll(async () => {
  const identities = ['tenant', 'owner', 'breaker'].map((name) => ({ name, user: name, groups: [] }));
  controlPlane = await startControlPlane({ controllers: false, identities });
  admin = controlPlane.admin;
  tenant = apiClient(controlPlane, controlPlane.tokens['tenant'] ?? '');
  await applyManifests(controlPlane, [
    clusterRole('tenants', [
      {
        apiGroups: [''],
        resources: [...['', '/status', '/ephemeralcontainers'].map((sub) => `pods${sub}`), 'serviceaccounts'],
        verbs: ['*'],
      },
      {
        apiGroups: [''],
        resources: ['', '/status', '/finalize'].map((sub) => `namespaces${sub}`),
        verbs: ['*'],
      },
      { apiGroups: ['apps', 'batch'], resources: ['*'], verbs: ['*'] },
    ]),
    clusterRoleBinding('tenants', ['tenant', 'owner', 'breaker']),
  ]);
});
afterAll(() => controlPlane?.stop());

describe('kubectl apply -k webhook-config', () => {
  const objects = manifestFiles().flatMap(readManifests);
  const kubectl = (...flags: string[]) => runKubectl(controlPlane, flags);

  test('is accepted whole by a server-side dry run, once the namespace is there', async () => {
    await kubectl('apply', '-f', join(FOLDER, 'namespace.yaml'));

    const { code, stdout, stderr } = await kubectl('apply', '-k', FOLDER, '--dry-run=server');

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(objects.length);
  });

  test('installs everything, and a second time changes nothing', async () => {
    const versions = async () => {
      const { stdout } = await kubectl('get', '-k', FOLDER, '-o', 'json');
      const { items }: { items: { kind: string; metadata: { name: string; resourceVersion: string } }[] } =
        JSON.parse(stdout);
      return items.map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.resourceVersion}`);
    };

    const first = await kubectl('apply', '-k', FOLDER);
    const before = await versions();
    const second = await kubectl('apply', '-k', FOLDER);

    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(before).toHaveLength(objects.length);
    expect(await versions()).toEqual(before);
  });

  test('is adapted by the kustomization in its README: image, rules, audiences', async () => {
    const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8');
    const overlay = join(controlPlane.folder, 'overlay');
    cpSync(FOLDER, join(overlay, 'webhook-config'), { recursive: true });
    writeFileSync(join(overlay, 'kustomization.yaml'), /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '');

    const { code, stdout, stderr } = await kubectl('apply', '-k', overlay, '--dry-run=server', '-o', 'yaml');

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('image: registry.team.example:5000/keyless-pull:0.1.0');
    expect(stdout).toContain(`expression: '["https://registry.team.example"]'`);
  });
});

describe('the component for cert-manager', () => {
  test('has it make the Secret, inject both caBundles, and the worker leave them alone', async () => {
    const overlay = join(controlPlane.folder, 'cert-manager');
    cpSync(FOLDER, join(overlay, 'webhook-config'), { recursive: true });
    writeFileSync(
      join(overlay, 'kustomization.yaml'),
      'resources: [webhook-config]\ncomponents: [webhook-config/cert-manager]\n',
    );

    const { code, stdout, stderr } = await runKubectl(controlPlane, ['kustomize', overlay]);

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.match(/inject-ca-from: keyless-pull\/keyless-pull-tls\n/g)).toHaveLength(2);
    expect(stdout).toContain('        - --ca-bundle\n        - leave\n');
    expect(stdout).toContain('kind: Certificate\n');
    expect(stdout).not.toContain('kind: Secret\n');
  });
});

describe('a PullCredential', () => {
  const name = 'keyless-pull-app-team-registry-aaaabbbbccccdddd';
  const good = recordManifest({
    identity: { namespace: 'team', account: 'app', uid: '5f0c2f5e-7a62-4b0d-8d0c-3f2f6f3d7a11' },
    rule: 'team-registry',
    principal: 'arn:aws:iam::111122223333:role/pull,x',
    host: 'registry.team.example:5000',
    secretName: name,
    digest: '',
  }) as { metadata: object; spec: { serviceAccount: object } };
  const status = statusManifest({
    isReady: true,
    reason: 'exchange-throttled',
    message: 'é'.repeat(1024),
    changedAt: 1_000,
    issuedAt: 2_000,
    expiresAt: 3_000,
    refreshAt: 4_000,
    digest: '0123456789abcdef0123456789abcdef',
    tokenId: '5f0c2f5e-7a62-4b0d-8d0c-3f2f6f3d7a11',
    secretUid: '5f0c2f5e-7a62-4b0d-8d0c-3f2f6f3d7a12',
  }) as { conditions: object[] };
  let worker: ApiRequest;

  beforeAll(async () => {
    await applyManifests(controlPlane, [namespace('team', { [INJECT_LABEL]: 'enabled' })]);
    worker = apiClient(controlPlane, await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT));
    await waitUntil('PullCredentials are served', async () => (await worker('GET', RECORDS)).status === 200, {
      deadlineMs: 30_000,
    });
    await worker('POST', RECORDS, good);
  });

  test('is stored as the worker writes it, every field of spec and status', async () => {
    const stored = await admin<Answer>('GET', `${RECORDS}/${name}`);
    const written = await putStatus(status);

    expect(stored.body.spec).toEqual(good.spec);
    expect(written.body).toMatchObject({ spec: good.spec });
    expect(written.body.status).toEqual(status);
  });

  test('shows with kubectl get pullcred what a person wants to know', async () => {
    await putStatus(status);

    const { stdout } = await runKubectl(controlPlane, ['get', 'pullcred', '-n', 'team']);

    const [header, row] = stdout.split('\n').map((line) => line.split(/ {2,}/));
    expect(header).toEqual(['NAME', 'ACCOUNT', 'REGISTRY', 'READY', 'REASON', 'EXPIRES', 'AGE']);
    expect(row?.slice(0, -1)).toEqual([
      name,
      'app',
      'registry.team.example:5000',
      'True',
      'exchange-throttled',
      '1970-01-01T00:00:03Z',
    ]);
  });

  test.each([
    ['no account', { serviceAccount: undefined }, 'spec.serviceAccount: Required'],
    ['an account without a uid', { serviceAccount: { name: 'app' } }, 'spec.serviceAccount.uid: Required'],
    ['no registry', { registry: undefined }, 'spec.registry: Required'],
    ['a URL for a registry', { registry: 'https://registry.example' }, 'spec.registry'],
    ['a path in its registry', { registry: 'registry.example/team' }, 'spec.registry'],
    ['a rule that is no DNS label', { rule: 'Team_Registry' }, 'spec.rule'],
    ['a rule of 64 characters', { rule: 'a'.repeat(64) }, 'spec.rule'],
    ['an empty principal', { principal: '' }, 'spec.principal'],
    ['a principal of two lines', { principal: 'a\nb' }, 'spec.principal'],
    ["another Secret's name than its own", { secretName: 'other' }, 'has the name of its Secret'],
  ])('is refused with %s', async (_, changes, phrase) => {
    const answer = await worker<Answer>('POST', RECORDS, { ...good, spec: { ...good.spec, ...changes } });

    expect(answer.status).toBe(422);
    expect(answer.body.message).toContain(phrase);
  });

  test.each([
    ['another account', { serviceAccount: { ...good.spec.serviceAccount, name: 'other' } }],
    ['another uid', { serviceAccount: { ...good.spec.serviceAccount, uid: 'other' } }],
    ['another registry', { registry: 'evil.example' }],
    ['no principal any more', { principal: undefined }],
  ])('never changes its spec: %s', async (_, changes) => {
    const stored = await admin<Answer>('GET', `${RECORDS}/${name}`);

    const changed = { ...stored.body, spec: { ...good.spec, ...changes } };
    // The worker has no right to update a record, and whoever has is told by the record's own schema first.
    const answer = await admin<Answer>('PUT', `${RECORDS}/${name}`, changed);

    expect(answer.status).toBe(422);
    expect(answer.body.message).toContain('the spec of a PullCredential never changes');
  });

  test.each([
    ['a reason in capitals', { conditions: [{ ...status.conditions[0], reason: 'Issued' }] }, 'reason'],
    [
      'a message over its length',
      { conditions: [{ ...status.conditions[0], message: 'a'.repeat(1025) }] },
      'message',
    ],
    [
      'a condition without a time',
      { conditions: [{ ...status.conditions[0], lastTransitionTime: undefined }] },
      'lastTransitionTime',
    ],
    [
      'an answer that is neither yes nor no',
      { conditions: [{ ...status.conditions[0], status: 'Maybe' }] },
      'status',
    ],
    ['the same condition twice', { conditions: [status.conditions[0], status.conditions[0]] }, 'Duplicate'],
    ['an instant that is none', { expiresAt: 'tomorrow' }, 'expiresAt'],
    ['a digest that is none', { digest: 'secret' }, 'digest'],
  ])('is refused a status with %s', async (_, changes, phrase) => {
    const answer = await putStatus({ ...status, ...changes });

    expect(answer.status).toBe(422);
    expect(answer.body.message).toContain(phrase);
  });

  test('keeps no field that the schema does not know: there is no place for a password', async () => {
    const answer = await putStatus({ ...status, password: 'marked' });

    expect(answer.status).toBe(200);
    expect(JSON.stringify(answer.body)).not.toContain('marked');
  });

  async function putStatus(wanted: object): Promise<ApiAnswer<Answer>> {
    const { body } = await admin<Answer>('GET', `${RECORDS}/${name}`);
    return worker('PUT', `${RECORDS}/${name}/status`, { ...body, status: wanted });
  }
});

interface Review {
  readonly request: { readonly uid: string; readonly userInfo: { readonly username: string } };
}

describe('the API server asks us', () => {
  const asked: string[] = [];
  const server = createServer();
  const optedIn = { [INJECT_LABEL]: 'enabled', [STATIC_PULL_SECRETS_LABEL]: 'enforce' };

  beforeAll(async () => {
    const authority = await createCertificateAuthority('webhook');
    const { certificate, key } = await authority.issue(['127.0.0.1']);
    server.setSecureContext({ cert: certificate, key });
    server.on('request', (request, response) => {
      void json(request).then((review) => {
        const { request: asking, ...envelope } = review as Review;
        // Controllers go about the objects of these tests in their own time.
        if (!/^system:(?:serviceaccount:kube-system:|kube-|apiserver)/.test(asking.userInfo.username))
          asked.push(new URL(request.url ?? '', 'https://webhook').pathname);
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ ...envelope, response: { uid: asking.uid, allowed: true } }));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    // Our server is always asked anew, so that closing it is noticed at once.
    server.keepAliveTimeout = 1;

    // kubectl cannot turn a Service into a URL in place: both would stand there.
    for (const kind of ['mutating', 'validating'])
      await admin('DELETE', `${WEBHOOKS}/${kind}webhookconfigurations/keyless-pull`);
    await installManifests(controlPlane, {
      webhookUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      caBundle: authority.certificate,
      audiences: [],
      parts: ['webhooks'],
    });
    await inNamespace('first', optedIn);
    await waitUntil('the webhooks are in force', async () => (await askedFor('first')).length === 2, {
      deadlineMs: 30_000,
    });
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test.each([
    ['nothing', {}, []],
    ['inject: enabled', { [INJECT_LABEL]: 'enabled' }, ['/mutate']],
    ['inject: draining', { [INJECT_LABEL]: 'draining' }, []],
    ['a misspelt inject', { [INJECT_LABEL]: 'enable' }, []],
    ['enforce', { [STATIC_PULL_SECRETS_LABEL]: 'enforce' }, ['/validate/enforce']],
    ['warn', { [STATIC_PULL_SECRETS_LABEL]: 'warn' }, ['/validate/warn']],
    ['audit', { [STATIC_PULL_SECRETS_LABEL]: 'audit' }, ['/validate/audit']],
    ['off', { [STATIC_PULL_SECRETS_LABEL]: 'off' }, []],
    ['a misspelt mode', { [STATIC_PULL_SECRETS_LABEL]: 'enforced' }, ['/validate/warn']],
    ['inject: enabled and enforce', optedIn, ['/mutate', '/validate/enforce']],
  ])('about a new pod in a namespace labelled with %s', async (what, labels, paths) => {
    const name = await inNamespace(`labels-${what.replaceAll(/\W+/g, '-')}`, labels);

    expect(await askedFor(name)).toEqual(paths);
  });

  test.each(['kube-system', 'kube-public', 'kube-node-lease', OWN_NAMESPACE])(
    'nothing about %s, whatever its labels',
    async (name) => {
      await inNamespace(name, optedIn);

      expect(await askedFor(name)).toEqual([]);
    },
  );

  test('about a stored pod only when an image changes or a debug container comes', async () => {
    const name = await inNamespace('stored', optedIn);
    await tenant('POST', pods(name), pod({}, [GATE]));
    const change = async (body: object, subresource = '') => {
      asked.length = 0;
      const contentType = 'application/strategic-merge-patch+json';
      const answer = await tenant('PATCH', `${pods(name)}/app${subresource}`, body, { contentType });
      // Twice, where a controller wrote at the same moment: the API server applies the patch anew.
      return [answer.status, ...new Set(asked)];
    };
    const image = (container: string) => ({ name: container, image: 'registry.team.example:5000/app:2' });

    expect(await change({ metadata: { labels: { a: 'b' } } })).toEqual([200]);
    expect(await change({ status: { message: 'x' } }, '/status')).toEqual([200]);
    expect(await change({ spec: { schedulingGates: [{ name: GATE, $patch: 'delete' }] } })).toEqual([200]);
    expect(await change({ spec: { containers: [image('app')] } })).toEqual([200, '/validate/enforce']);
    expect(await change({ spec: { initContainers: [image('prepare')] } })).toEqual([
      200,
      '/validate/enforce',
    ]);
    expect(await change({ spec: { ephemeralContainers: [image('debug')] } }, '/ephemeralcontainers')).toEqual(
      [200, '/validate/enforce'],
    );
  });

  test('nothing about the mirror of a static pod', async () => {
    const name = await inNamespace('mirrors', optedIn);

    expect(await askedFor(name, { [MIRROR_ANNOTATION]: 'x' })).toEqual([]);
  });

  describe('about accounts and workloads', () => {
    test.each<[string, Record<string, string>, string[], string[]]>([
      ['nothing', {}, [], []],
      ['enforce', { [STATIC_PULL_SECRETS_LABEL]: 'enforce' }, ['/validate/enforce'], ['/validate/enforce']],
      ['warn', { [STATIC_PULL_SECRETS_LABEL]: 'warn' }, ['/validate/warn'], ['/validate/warn']],
      ['audit', { [STATIC_PULL_SECRETS_LABEL]: 'audit' }, ['/validate/audit'], ['/validate/audit']],
      ['off', { [STATIC_PULL_SECRETS_LABEL]: 'off' }, [], []],
      [
        'a misspelt mode',
        { [STATIC_PULL_SECRETS_LABEL]: 'enforced' },
        ['/validate/warn'],
        ['/validate/warn'],
      ],
      ['inject: enabled', { [INJECT_LABEL]: 'enabled' }, ['/validate/audit'], []],
      ['inject: enabled and enforce', optedIn, ['/validate/enforce'], ['/validate/enforce']],
    ])('in a namespace labelled with %s', async (what, labels, ofAccount, ofWorkload) => {
      const name = await inNamespace(`sources-${what.replaceAll(/\W+/g, '-')}`, labels);

      expect(await askedOf(accounts(name), account({ team: 'a' }))).toEqual(ofAccount);
      expect(await askedOf(workloads(name, 'deployments'), deployment())).toEqual(ofWorkload);
    });

    test('of every kind whose template makes pods, when it is new or its template changes', async () => {
      const name = await inNamespace('kinds', { [STATIC_PULL_SECRETS_LABEL]: 'warn' });
      const kinds = ['deployments', 'statefulsets', 'daemonsets', 'replicasets', 'jobs', 'cronjobs'];

      for (const kind of kinds) {
        expect(await askedOf(workloads(name, kind), workload(kind)), kind).toEqual(['/validate/warn']);
        const created = await tenant('POST', workloads(name, kind), workload(kind));
        expect(created.status, kind).toBe(201);
        const path = `${workloads(name, kind)}/app`;
        expect(await askedBy('PATCH', path, { metadata: { labels: { a: 'b' } } }), kind).toEqual([]);
      }
      const replaced = { spec: { template: { metadata: { labels: { app: 'app', a: 'b' } } } } };
      expect(await askedBy('PATCH', `${workloads(name, 'deployments')}/app`, replaced)).toEqual([
        '/validate/warn',
      ]);
      expect(
        await askedBy('PATCH', `${workloads(name, 'deployments')}/app`, { spec: { replicas: 3 } }),
      ).toEqual([]);
    });

    test('not of what another workload made', async () => {
      const name = await inNamespace('made', { [STATIC_PULL_SECRETS_LABEL]: 'enforce' });
      const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'app', uid: 'u', controller: true };
      const { metadata, ...made } = workload('replicasets');

      const owned = { ...made, metadata: { ...metadata, ownerReferences: [owner] } };
      expect(await askedOf(workloads(name, 'replicasets'), owned)).toEqual([]);
    });

    test('not of an account that says nothing to us, nor of a change that says nothing new', async () => {
      const name = await inNamespace('silent', optedIn);
      await tenant('POST', accounts(name), account({ team: 'a' }));
      const path = `${accounts(name)}/new`;
      const changed = (body: object) => askedBy('PATCH', path, body);

      expect(await askedOf(accounts(name), { metadata: { name: 'plain' } })).toEqual([]);
      expect(await changed({ metadata: { labels: { a: 'b' } } })).toEqual([]);
      expect(await changed({ secrets: [{ name: 'x' }] })).toEqual([]);
      expect(await changed({ metadata: { annotations: { team: 'b' } } })).toEqual(['/validate/enforce']);
      expect(await changed({ imagePullSecrets: [{ name: 'x' }] })).toEqual(['/validate/enforce']);
    });
  });

  describe('the glass is broken', () => {
    let broken: string;
    beforeAll(async () => {
      broken = await inNamespace('glass', { [STATIC_PULL_SECRETS_LABEL]: 'enforce' });
      await applyManifests(controlPlane, [
        clusterRole('breakers', [
          { apiGroups: ['keyless-pull.dev'], resources: ['pullcredentials'], verbs: ['break-glass'] },
        ]),
        clusterRoleBinding('breakers', ['breaker']),
        // As namespaces are often given to their owners.
        { ...roleBinding('glass', 'cluster-admin'), subjects: [user('owner')] },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'glass', name: 'operator' } },
        clusterRoleBinding('operators', [], 'cluster-admin', [
          { kind: 'ServiceAccount', namespace: 'glass', name: 'operator' },
        ]),
      ]);
    });
    const askedAbout = async (api: ApiRequest) => {
      asked.length = 0;
      const answer = await api<Answer>('POST', `${pods(broken)}?dryRun=All`, pod({}));
      expect(answer.body.message).toBeUndefined();
      return [...asked];
    };
    const as = (name: string) => apiClient(controlPlane, controlPlane.tokens[name] ?? '');

    test("for a cluster administrator's pods", async () => {
      expect(await askedAbout(admin)).toEqual([]);
    });

    test('for whoever is given the right to', async () => {
      await waitUntil('the right is in force', async () => (await askedAbout(as('breaker'))).length === 0, {
        deadlineMs: 30_000,
      });
    });

    test('not for tenants, nor for who is cluster-admin in the one namespace', async () => {
      await waitUntil(
        'its rights are in force',
        async () => (await as('owner')('GET', '/api/v1/namespaces/glass/secrets')).status === 200,
        { deadlineMs: 30_000 },
      );

      expect(await askedAbout(tenant)).toEqual(['/validate/enforce']);
      expect(await askedAbout(as('owner'))).toEqual(['/validate/enforce']);
    });

    test('never for a ServiceAccount, whatever its rights: controllers make what administrators apply', async () => {
      const token = await serviceAccountToken(controlPlane, 'glass', 'operator');
      const operator = apiClient(controlPlane, token);
      await waitUntil(
        'its rights are in force',
        async () => (await operator('GET', pods('glass'))).status === 200,
        { deadlineMs: 30_000 },
      );

      expect(await askedAbout(operator)).toEqual(['/validate/enforce']);
    });
  });

  test('and while we are away, only injection and enforcement hold pods up', async () => {
    const tried = {
      injected: await inNamespace('away-injected', { [INJECT_LABEL]: 'enabled' }),
      enforce: await inNamespace('away-enforce', { [STATIC_PULL_SECRETS_LABEL]: 'enforce' }),
      warn: await inNamespace('away-warn', { [STATIC_PULL_SECRETS_LABEL]: 'warn' }),
      audit: await inNamespace('away-audit', { [STATIC_PULL_SECRETS_LABEL]: 'audit' }),
      misspelt: await inNamespace('away-misspelt', { [STATIC_PULL_SECRETS_LABEL]: 'enforced' }),
      other: await inNamespace('away-other', {}),
    };
    server.close();
    server.closeAllConnections();

    const answers: Record<string, number> = {};
    for (const [what, name] of Object.entries(tried)) answers[what] = (await tryPod(name)).status;

    expect(answers).toEqual({
      injected: 500,
      enforce: 500,
      warn: 201,
      audit: 201,
      misspelt: 201,
      other: 201,
    });
    expect((await tryPod(tried.enforce)).body.message).toContain(
      'failed calling webhook "enforce.keyless-pull.dev"',
    );
    // A new namespace gets its account, and whoever breaks the glass gets their pod.
    const others = await Promise.all([
      tenant('POST', `${accounts(tried.enforce)}?dryRun=All`, account({ team: 'a' })),
      tenant('POST', `${workloads(tried.enforce, 'deployments')}?dryRun=All`, deployment()),
      admin('POST', `${pods(tried.enforce)}?dryRun=All`, pod({})),
    ]);
    expect(others.map(({ status }) => status)).toEqual([201, 201, 201]);
  });

  /** The paths that are called for a new pod, sorted. */
  async function askedFor(name: string, annotations: Record<string, string> = {}): Promise<string[]> {
    asked.length = 0;
    const answer = await tryPod(name, annotations);
    expect(answer.body.message).toBeUndefined();
    return asked.toSorted();
  }

  function askedOf(path: string, body: object): Promise<string[]> {
    return askedBy('POST', `${path}?dryRun=All`, body);
  }

  async function askedBy(method: 'POST' | 'PATCH', path: string, body: object): Promise<string[]> {
    asked.length = 0;
    const answer = await tenant<Answer>(method, path, body);
    expect(answer.body.message).toBeUndefined();
    return [...new Set(asked)].toSorted();
  }

  function tryPod(name: string, annotations: Record<string, string> = {}): Promise<ApiAnswer<Answer>> {
    return tenant('POST', `${pods(name)}?dryRun=All`, pod(annotations));
  }

  async function inNamespace(name: string, labels: Record<string, string>): Promise<string> {
    const contentType = 'application/apply-patch+yaml';
    for (const [path, manifest] of [
      [`/api/v1/namespaces/${name}`, namespace(name, labels)],
      [
        `/api/v1/namespaces/${name}/serviceaccounts/app`,
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'app' } },
      ],
    ] as const) {
      const answer = await admin('PATCH', `${path}?fieldManager=test`, manifest, { contentType });
      expect(answer.status).toBeLessThan(300);
    }
    return name;
  }
});

describe('the fence on labels of namespaces', () => {
  const NAMESPACES = '/api/v1/namespaces';
  const labelled = (value: string | null) => ({
    metadata: { labels: { [STATIC_PULL_SECRETS_LABEL]: value } },
  });
  const labeller = () => apiClient(controlPlane, controlPlane.tokens['breaker'] ?? '');
  const refusal = "ValidatingAdmissionPolicy 'keyless-pull-namespace-labels'";

  beforeAll(async () => {
    const { code, stderr } = await runKubectl(controlPlane, ['apply', '-k', join(FOLDER, 'label-fence')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await applyManifests(controlPlane, [
      clusterRoleBinding('labellers', ['breaker'], 'keyless-pull-label-namespaces'),
    ]);
    const tried = () =>
      tenant('POST', `${NAMESPACES}?dryRun=All`, { metadata: { name: 'x', ...labelled('off').metadata } });
    await waitUntil('the fence stands', async () => (await tried()).status === 403, { deadlineMs: 30_000 });
    await admin('POST', NAMESPACES, { metadata: { name: 'fenced', ...labelled('enforce').metadata } });
    await waitUntil(
      'the right is in force',
      async () =>
        (await labeller()('PATCH', `${NAMESPACES}/fenced?dryRun=All`, labelled('warn'))).status === 200,
      { deadlineMs: 30_000 },
    );
  });

  test.each([
    ['changed', '', labelled('off')],
    ['removed', '', labelled(null)],
    ['added', '', { metadata: { labels: { [INJECT_LABEL]: 'enabled' } } }],
    ['changed through the status', '/status', labelled('off')],
  ])('a tenant who may update the namespace is refused: %s', async (_, subresource, body) => {
    const answer = await tenant<Answer>('PATCH', `${NAMESPACES}/fenced${subresource}?dryRun=All`, body);

    expect(answer.status).toBe(403);
    expect(answer.body.message).toContain(refusal);
    expect(answer.body.message).toContain('only who may label namespaces of keyless-pull.dev');
  });

  test('through the finalizers neither', async () => {
    const { body } = await tenant<object>('GET', `${NAMESPACES}/fenced`);
    const changed = { ...body, metadata: { ...(body as { metadata: object }).metadata, labels: {} } };

    const answer = await tenant<Answer>('PUT', `${NAMESPACES}/fenced/finalize`, changed);

    expect(answer.status).toBe(403);
    expect(answer.body.message).toContain(refusal);
  });

  test('every other label and change is free, and so is a namespace without ours', async () => {
    const free = { metadata: { labels: { team: 'a' }, annotations: { a: 'b' } } };
    const changed = await tenant('PATCH', `${NAMESPACES}/fenced`, free);
    const created = await tenant('POST', `${NAMESPACES}?dryRun=All`, { metadata: { name: 'y' } });

    expect([changed.status, created.status]).toEqual([200, 201]);
  });

  test('who has the right may, and so may an administrator', async () => {
    const given = await labeller()('PATCH', `${NAMESPACES}/fenced`, labelled('warn'));
    const administrators = await admin('PATCH', `${NAMESPACES}/fenced`, labelled('enforce'));

    expect([given.status, administrators.status]).toEqual([200, 200]);
  });
});

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1';

function namespace(name: string, labels: Record<string, string>) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function clusterRole(name: string, rules: object[]) {
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name }, rules };
}

function user(name: string) {
  return { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name };
}

function clusterRoleBinding(name: string, users: string[], role = name, others: object[] = []) {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [...users.map(user), ...others],
  };
}

function roleBinding(namespace: string, role: string) {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { namespace, name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  };
}

function accounts(name: string): string {
  return `/api/v1/namespaces/${name}/serviceaccounts`;
}

function account(annotations: Record<string, string>) {
  return { metadata: { name: 'new', annotations } };
}

function workloads(name: string, plural: string): string {
  const group = plural.endsWith('jobs') ? 'batch' : 'apps';
  return `/apis/${group}/v1/namespaces/${name}/${plural}`;
}

function deployment() {
  return workload('deployments');
}

function workload(plural: string) {
  const labels = { app: 'app' };
  const image = 'registry.team.example:5000/app:1';
  const template = {
    metadata: { labels },
    spec: {
      containers: [{ name: 'app', image }],
      ...(plural.endsWith('jobs') && { restartPolicy: 'Never' }),
    },
  };
  const spec = {
    deployments: { selector: { matchLabels: labels }, template },
    replicasets: { selector: { matchLabels: labels }, template },
    daemonsets: { selector: { matchLabels: labels }, template },
    statefulsets: { selector: { matchLabels: labels }, serviceName: 'app', template },
    jobs: { template },
    cronjobs: { schedule: '0 0 * * *', jobTemplate: { spec: { template } } },
  }[plural];
  return { metadata: { name: 'app' }, spec };
}

function pods(name: string): string {
  return `/api/v1/namespaces/${name}/pods`;
}

/** A pod that Pod Security's level restricted admits too; a static pod's mirror has no account. */
function pod(annotations: Record<string, string>, gates: readonly string[] = []) {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const image = 'registry.team.example:5000/app:1';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'app', annotations },
    spec: {
      ...(MIRROR_ANNOTATION in annotations ? { nodeName: 'node-a' } : { serviceAccountName: 'app' }),
      schedulingGates: gates.map((gate) => ({ name: gate })),
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      initContainers: [{ name: 'prepare', image, securityContext }],
      containers: [{ name: 'app', image, securityContext }],
    },
  };
}
