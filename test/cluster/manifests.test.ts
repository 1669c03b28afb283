// webhook-config/ as a user applies it, on a real API server: kubectl apply -k, what a PullCredential may look like, and
// which pods we are asked about.
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
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

vi.setConfig({ testTimeout: 90_000, hookTimeout: 180_000 });

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

beforeAll(async () => {
  controlPlane = await startControlPlane({ controllers: false });
  admin = controlPlane.admin;
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

  test('is adapted by the kustomization in its README: image, rules, audiences, certificate', async () => {
    const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8');
    const overlay = join(controlPlane.folder, 'overlay');
    cpSync(FOLDER, join(overlay, 'webhook-config'), { recursive: true });
    writeFileSync(join(overlay, 'kustomization.yaml'), /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '');

    const { code, stdout, stderr } = await kubectl('apply', '-k', overlay, '--dry-run=server', '-o', 'yaml');

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('image: registry.team.example:5000/keyless-pull:0.1.0');
    expect(stdout).toContain(`expression: '["https://registry.team.example"]'`);
    expect(stdout.match(/inject-ca-from: keyless-pull\/keyless-pull-tls\n/g)).toHaveLength(2);
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
    const answer = await worker<Answer>('PUT', `${RECORDS}/${name}`, changed);

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

describe('the API server asks us', () => {
  const asked: string[] = [];
  const server = createServer();
  const optedIn = { [INJECT_LABEL]: 'enabled', [STATIC_PULL_SECRETS_LABEL]: 'enforce' };

  beforeAll(async () => {
    const authority = await createCertificateAuthority('webhook');
    const { certificate, key } = await authority.issue(['127.0.0.1']);
    server.setSecureContext({ cert: certificate, key });
    server.on('request', (request, response) => {
      asked.push(new URL(request.url ?? '', 'https://webhook').pathname);
      void json(request).then((review) => {
        const { request: asking, ...envelope } = review as { request: { uid: string } };
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
  ])('about a new pod in a namespace labelled with %s', async (_, labels, paths) => {
    const name = await inNamespace(`labels-${asked.length}`, labels);

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
    await admin('POST', pods(name), pod({}, [GATE]));
    const change = async (body: object, subresource = '') => {
      asked.length = 0;
      const contentType = 'application/strategic-merge-patch+json';
      const answer = await admin('PATCH', `${pods(name)}/app${subresource}`, body, { contentType });
      return [answer.status, ...asked];
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
  });

  /** The paths that are called for a new pod, sorted. */
  async function askedFor(name: string, annotations: Record<string, string> = {}): Promise<string[]> {
    asked.length = 0;
    const answer = await tryPod(name, annotations);
    expect(answer.body.message).toBeUndefined();
    return asked.toSorted();
  }

  function tryPod(name: string, annotations: Record<string, string> = {}): Promise<ApiAnswer<Answer>> {
    return admin('POST', `${pods(name)}?dryRun=All`, pod(annotations));
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

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1';

function namespace(name: string, labels: Record<string, string>) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
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
