// doctor system on a real API server: all is well, and then one thing after another is not.
import { execFile } from 'node:child_process';
import { createServer } from 'node:https';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock, type Clock } from '../../src/clock.ts';
import { doctorSystem } from '../../src/cli/doctor-system.ts';
import { systemStepIds, type SystemStep } from '../../src/cli/system/step.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { applyManifests, OWN_NAMESPACE, readManifests, type Manifest } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, openArena, type Arena, type Program } from '../cluster/arena.ts';

const GROUP = '/apis/admissionregistration.k8s.io/v1';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const MUTATING = `${GROUP}/mutatingwebhookconfigurations`;
const VALIDATING = `${GROUP}/validatingwebhookconfigurations`;
const CONFIG = `/api/v1/namespaces/${OWN_NAMESPACE}/configmaps/keyless-pull-config`;

let arena: Arena;
let worker: Program;
let webhook: Program;
let admin: Arena['controlPlane']['admin'];

async function must(method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, body?: unknown) {
  const answer = await admin(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

interface Wish {
  readonly as?: string;
  readonly clock?: Clock;
}

async function doctor({ as, clock = systemClock }: Wish = {}) {
  const printed: string[] = [];
  const io = {
    out: (text: string) => void printed.push(text),
    err: (text: string) => void printed.push(text),
    readStdin: () => Promise.resolve(''),
    signal: new AbortController().signal,
    isTerminal: false,
  };
  const { kubeconfig } = arena.controlPlane;
  const options = { kubeconfig, ownNamespace: OWN_NAMESPACE, output: 'json', color: false } as const;
  const code = await doctorSystem({ ...options, ...(as && { as }) }, io, { clock });
  const { steps, ok } = JSON.parse(printed.join('')) as { steps: SystemStep[]; ok: boolean };
  expect(steps.map(({ step }) => step)).toEqual(systemStepIds);
  expect(printed.join(''), 'no token and no password is printed').not.toMatch(/eyJ[\w-]{10}/);
  const of = (outcome: SystemStep['outcome']) =>
    steps.filter((step) => step.outcome === outcome).map(({ step, found }) => `${step}: ${found}`);
  return { code, ok, steps, of };
}

/** The API server takes up policies and webhooks in its own time: looked at until the step says it, or too late. */
async function finds(
  step: SystemStep['step'],
  outcome: SystemStep['outcome'],
  found: RegExp,
  wish: Wish = {},
) {
  let last: SystemStep | undefined;
  await waitUntil(
    `${step} is ${outcome}: ${found}`,
    async () => {
      last = (await doctor(wish)).steps.find((each) => each.step === step);
      return last?.outcome === outcome && found.test(last.found);
    },
    // The garbage collector learns of new kinds every half a minute.
    { deadlineMs: 60_000, everyMs: 200 },
  ).catch((error: unknown) => {
    throw new Error(`instead: ${JSON.stringify(last)}`, { cause: error });
  });
  return last;
}

beforeAll(async () => {
  arena = await openArena();
  ({ admin } = arena.controlPlane);
  webhook = await arena.start('webhook', 'webhook');
  worker = await arena.start('worker', 'worker');
  await arena.addNamespace('shop');
  await arena.addAccounts('shop', 2);
  const [config] = readManifests('config.yaml') as [Manifest];
  await applyManifests(arena.controlPlane, [
    { ...config, data: { 'config.yaml': readFileSync(arena.configFile, 'utf8') } },
    ...readManifests('deployment.yaml').filter(({ kind }) => kind === 'Deployment'),
  ]);
  await replicasAre('True');
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 30_000 });
  await arena.waitForGates('shop');
  await arena.addPods('shop', 2, 2);
  await arena.waitForRelease('shop', 30);
});
afterAll(() => arena?.[Symbol.asyncDispose]());

/** There is no kubelet: what it would say is said here. */
async function replicasAre(status: 'True' | 'False') {
  const pods = `/api/v1/namespaces/${OWN_NAMESPACE}/pods`;
  const list = async () => ((await must('GET', pods)) as { items: { metadata: { name: string } }[] }).items;
  await waitUntil('the Deployment has made its pods', async () => (await list()).length === 2, {
    deadlineMs: 30_000,
  });
  for (const { metadata } of await list())
    await must('PATCH', `${pods}/${metadata.name}/status`, {
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status, lastTransitionTime: new Date(0).toISOString() }],
      },
    });
}

test('with everything in order no step fails, and each says what it found', async () => {
  await finds('replicas', 'ok', /2 of 2 ready/);

  const { code, ok, of, steps } = await doctor();

  expect({ code, ok, failed: of('failed'), warning: of('warning') }).toEqual({
    code: 0,
    ok: true,
    failed: [],
    warning: [],
  });
  expect(of('skipped')).toEqual(['readyz: 2 of 2 replicas cannot be reached by you']);
  expect(Object.fromEntries(steps.map(({ step, found }) => [step, found]))).toMatchObject({
    cluster: 'the API server takes you for admin',
    'api-version': expect.stringMatching(/^Kubernetes v1\.\d\d/),
    replicas: 'keyless-pull: 2 of 2 ready',
    versions: 'all replicas run keyless-pull:0.1.0',
    'ca-bundle': expect.stringMatching(/^the served certificate fits caBundle and ends 20\S+, in \d+ days$/),
    'dry-run': expect.stringMatching(/^a pod in shop that pulls from \S+ is given keyless-pull-default-/),
    records: '2 PullCredentials, none expired or left behind',
    secrets: '2 Secrets of ours, each with its record',
  });
});

test('a person reads one line per step, by the program', async () => {
  const words = ['src/cli/main.ts', 'doctor', 'system', '--kubeconfig', arena.controlPlane.kubeconfig];
  const { stdout } = await promisify(execFile)(process.execPath, words);

  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(systemStepIds.length + 1);
  expect(
    lines.slice(0, -1).every((line) => /^[✓–] [a-z-]+ +\S/.test(line)),
    stdout,
  ).toBe(true);
  expect(lines.at(-1)).toBe('18 ok, 0 failed, 1 not checked');
});

test('a support bundle has what doctor says, and no content of any Secret', async () => {
  const { items } = (await must('GET', '/api/v1/namespaces/shop/secrets')) as {
    items: { metadata: { name: string }; data: Record<string, string> }[];
  };
  const planted = items.flatMap(({ data }) => {
    const base64 = data['.dockerconfigjson'] ?? '';
    const { auths } = JSON.parse(Buffer.from(base64, 'base64').toString('utf8')) as {
      auths: Record<string, { password: string; auth: string }>;
    };
    return [base64, ...Object.values(auths).flatMap(({ password, auth }) => [password, auth])];
  });
  // As somebody may have left it: the fences leave the metadata of a record free.
  const records = '/apis/keyless-pull.dev/v1alpha1/namespaces/shop/pullcredentials';
  await must('PATCH', `${records}/${items[0]?.metadata.name}`, {
    metadata: { annotations: { 'team.example/note': `pulled with ${planted[1]}` } },
  });
  const file = join(arena.controlPlane.folder, 'bundle.tar.gz');
  const words = [
    'src/cli/main.ts',
    'support-bundle',
    '--kubeconfig',
    arena.controlPlane.kubeconfig,
    '-o',
    file,
  ];

  const { stdout } = await promisify(execFile)(process.execPath, words);

  expect(stdout).toContain(`written to ${file}`);
  const text = gunzipSync(readFileSync(file)).toString('utf8');
  expect(text).toContain('doctor.json');
  expect(text).toContain('pulled with [redacted]');
  expect(planted).toHaveLength(6);
  for (const secret of planted) expect(text.includes(secret)).toBe(false);
});

test('who has no rights is told what he may not see, and nothing is called broken', async () => {
  const { code, of } = await doctor({ as: 'nobody' });

  expect({ code, failed: of('failed') }).toEqual({ code: 0, failed: [] });
  expect(of('skipped').length).toBeGreaterThan(12);
});

interface Fault {
  readonly name: string;
  readonly step: SystemStep['step'];
  readonly outcome?: SystemStep['outcome'];
  readonly found: RegExp;
  plant(): Promise<unknown>;
  heal(): Promise<unknown>;
}

/** Changes an object, and puts the whole of it back afterwards. */
function changed(path: string, patch: (object: never) => unknown): Pick<Fault, 'plant' | 'heal'> {
  let before: Record<string, unknown>;
  const clean = (object: Record<string, unknown>) => {
    const {
      resourceVersion: _,
      uid: __,
      managedFields: ___,
      ...metadata
    } = object['metadata'] as Record<string, unknown>;
    return { ...object, metadata };
  };
  return {
    async plant() {
      before = clean(await must('GET', path));
      await must('PATCH', path, patch(before as never));
    },
    async heal() {
      const { metadata } = (await must('GET', path)) as { metadata: { resourceVersion: string } };
      const { resourceVersion } = metadata;
      await must('PUT', path, {
        ...before,
        metadata: { ...(before['metadata'] as object), resourceVersion },
      });
    },
  };
}

function gone(path: string): Pick<Fault, 'plant' | 'heal'> {
  let before: { metadata: { name: string } };
  return {
    async plant() {
      before = (await must('GET', path)) as unknown as typeof before;
      await must('DELETE', path);
    },
    heal: () =>
      must('POST', path.slice(0, path.lastIndexOf('/')), {
        ...before,
        metadata: { name: before.metadata.name },
      }),
  };
}

function added(
  path: string,
  object: { metadata: { name: string } } & Record<string, unknown>,
): Pick<Fault, 'plant' | 'heal'> {
  return {
    plant: () => must('POST', path, object),
    heal: () => must('DELETE', `${path}/${object.metadata.name}`),
  };
}

const hooksOf = ({ webhooks }: { webhooks: Record<string, unknown>[] }) => webhooks;
const ACCOUNT = { kind: 'ServiceAccount', name: 'keyless-pull', namespace: OWN_NAMESPACE };
const binding = (name: string, role: string, subject: object) => ({
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [subject],
});

const faults: Fault[] = [
  {
    name: 'the CRD is an older one',
    step: 'crd',
    found: /it drops status\.tokenKeyID/,
    ...changed(
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pullcredentials.keyless-pull.dev',
      (crd: { spec: object }) => ({
        spec: JSON.parse(JSON.stringify(crd.spec).replaceAll('tokenKeyID', 'somethingElse')) as object,
      }),
    ),
  },
  {
    name: 'the config is none',
    step: 'config',
    found: /keyless-pull-config has one fault/,
    ...changed(CONFIG, () => ({
      data: { 'config.yaml': 'apiVersion: keyless-pull.dev/v1\nkind: Config\nrules: []\n' },
    })),
  },
  {
    name: 'no replica is ready',
    step: 'replicas',
    found: /0 of 2 ready/,
    plant: () => replicasAre('False'),
    heal: () => replicasAre('True'),
  },
  {
    name: 'a right is missing',
    step: 'rights',
    found: /^missing: create events$/,
    ...changed(
      `${RBAC}/clusterroles/keyless-pull-worker`,
      ({ rules }: { rules: { resources: string[] }[] }) => ({
        rules: rules.filter(({ resources }) => !resources.includes('events')),
      }),
    ),
  },
  {
    name: 'a right too many is in a role of ours',
    step: 'rights',
    found:
      /^more than is needed: get secrets in the whole cluster, get secrets by ClusterRoleBinding keyless-pull-worker$/,
    ...changed(`${RBAC}/clusterroles/keyless-pull-worker`, ({ rules }: { rules: object[] }) => ({
      rules: [...rules, { apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    })),
  },
  {
    name: 'somebody bound another role to our account, in one namespace',
    step: 'rights',
    found: /^more than is needed: .*by RoleBinding shop\/too-much/,
    ...added(`${RBAC}/namespaces/shop/rolebindings`, binding('too-much', 'view', ACCOUNT)),
  },
  {
    name: 'a group that we are in may do too much',
    step: 'rights',
    found: /^more than is needed: .*list secrets in the whole cluster/,
    ...added(
      `${RBAC}/clusterrolebindings`,
      binding('for-all', 'admin', {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'Group',
        name: `system:serviceaccounts:${OWN_NAMESPACE}`,
      }),
    ),
  },
  {
    name: 'the policy is registered nowhere',
    step: 'webhooks',
    found: /^enforce\.keyless-pull\.dev is not registered$/,
    ...gone(`${VALIDATING}/keyless-pull`),
  },
  {
    name: 'mutation fails open',
    step: 'webhooks',
    outcome: 'warning',
    found: /^mutate\.keyless-pull\.dev has failurePolicy Ignore/,
    ...changed(`${MUTATING}/keyless-pull`, (all: never) => ({
      webhooks: hooksOf(all).map((hook) => ({ ...hook, failurePolicy: 'Ignore' })),
    })),
  },
  {
    name: 'caBundle is another authority',
    step: 'ca-bundle',
    found: /^mutate\.keyless-pull\.dev: caBundle does not fit the served certificate$/,
    ...withOtherAuthority(),
  },
  {
    name: 'and the API server says so too',
    step: 'dry-run',
    found: /^the API server cannot ask mutate\.keyless-pull\.dev: it does not accept the served certificate$/,
    ...withOtherAuthority(),
  },
  {
    name: 'a fence is not bound',
    step: 'fences',
    found: /^keyless-pull-worker-pods is not bound$/,
    ...gone(`${GROUP}/validatingadmissionpolicybindings/keyless-pull-worker-pods`),
  },
  {
    name: 'a fence is only audited',
    step: 'fences',
    found: /^keyless-pull-worker-pods is bound to a part, or without Deny$/,
    ...changed(`${GROUP}/validatingadmissionpolicybindings/keyless-pull-worker-pods`, () => ({
      spec: { validationActions: ['Audit'] },
    })),
  },
  {
    name: 'a fence speaks of another account',
    step: 'fences',
    found: /^keyless-pull-worker-pods does not name 'system:serviceaccount:keyless-pull:keyless-pull'$/,
    ...changed(`${GROUP}/validatingadmissionpolicies/keyless-pull-worker-pods`, () => ({
      spec: { matchConditions: [{ name: 'worker', expression: "request.userInfo.username == 'somebody'" }] },
    })),
  },
  {
    name: 'the fence lacks an audience of the config',
    step: 'audiences',
    found: /^the fence does not let the worker ask for https:\/\/new\.example$/,
    ...changed(CONFIG, ({ data }: { data: Record<string, string> }) => ({
      data: { 'config.yaml': data['config.yaml']?.replace(AUDIENCE, 'https://new.example') },
    })),
  },
  {
    name: 'another webhook is named like one that rewrites pull secrets',
    step: 'other-webhooks',
    outcome: 'warning',
    found: /these may rewrite images or imagePullSecrets of pods: zz-imagepullsecret-patcher$/,
    ...added(
      MUTATING,
      rewriterAt('https://127.0.0.1:1/', 'zz-imagepullsecret-patcher', { 'not-this': 'pod' }),
    ),
  },
  {
    name: 'a Secret has lost its record',
    step: 'secrets',
    outcome: 'warning',
    found: /^1 belong to no record: shop\/keyless-pull-account-1-/,
    plant: async () => {
      // Nobody names it any more, so the worker leaves it alone.
      await must('DELETE', '/api/v1/namespaces/shop/pods/pod-1');
      const records = '/apis/keyless-pull.dev/v1alpha1/namespaces/shop/pullcredentials';
      const { items } = (await must('GET', records)) as { items: { metadata: { name: string } }[] };
      const name = items.find(({ metadata }) => metadata.name.includes('account-1'))?.metadata.name;
      await must('DELETE', `${records}/${name}`, {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        propagationPolicy: 'Orphan',
      });
    },
    heal: async () => undefined,
  },
];

describe('one thing at a time is not in order', () => {
  test.each(faults)('$name', async ({ step, outcome = 'failed', found, plant, heal }) => {
    await plant();
    try {
      const told = await finds(step, outcome, found);
      expect(told?.cure, 'what is told has a cure').toBeDefined();
    } finally {
      await heal();
    }
  });

  test('our reference does not survive a later webhook', async () => {
    const authority = await createCertificateAuthority('rewriter');
    const { certificate, key } = await authority.issue(['127.0.0.1']);
    const server = createServer({ cert: certificate, key }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { request: asked } = JSON.parse(Buffer.concat(chunks).toString()) as {
          request: { uid: string };
        };
        const patch = Buffer.from(
          JSON.stringify([{ op: 'add', path: '/spec/imagePullSecrets', value: [{ name: 'static' }] }]),
        );
        const answer = {
          uid: asked.uid,
          allowed: true,
          patchType: 'JSONPatch',
          patch: patch.toString('base64'),
        };
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }),
        );
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const caBundle = Buffer.from(authority.certificate).toString('base64');
    const rewriter = added(
      MUTATING,
      rewriterAt(`https://127.0.0.1:${port}/`, 'zz-rewriter', undefined, caBundle),
    );
    await rewriter.plant();
    try {
      await finds(
        'dry-run',
        'failed',
        /^a later webhook took our reference out of the pod again \(keyless-pull-default-/,
      );
    } finally {
      await rewriter.heal();
      server.close();
    }
  });

  test('the clocks differ', () =>
    finds('clock', 'warning', /^this machine's clock is 60m ahead of the API server's$/, {
      clock: later(3_600_000),
    }));

  test('a credential has expired', () =>
    finds('records', 'failed', /^1 have expired: shop\/keyless-pull-account-0-/, {
      clock: later(7_200_000),
    }));

  test('the certificate ends soon, and then has ended', async () => {
    const { found } = (await finds('ca-bundle', 'ok', /in \d+ days$/)) ?? { found: '' };
    const days = Number(/in (\d+) days$/.exec(found)?.[1]);

    await finds('ca-bundle', 'warning', /in 2 days$/, { clock: later((days - 2) * 86_400_000) });
    await finds('ca-bundle', 'failed', /has expired$/, { clock: later((days + 1) * 86_400_000) });
  });

  test('no worker works, and no webhook answers', async () => {
    worker.kill('SIGTERM');
    await worker.ended();
    await finds('worker', 'failed', /^the last worker has released its Lease, and no other took it$/);
    webhook.kill('SIGKILL');
    await webhook.ended();
    await finds(
      'dry-run',
      'failed',
      /^the API server cannot ask mutate\.keyless-pull\.dev: nothing listens there$/,
    );
  });
});

function later(ms: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + ms };
}

function rewriterAt(url: string, name: string, matchLabels?: Record<string, string>, caBundle?: string) {
  return {
    metadata: { name },
    webhooks: [
      {
        name: 'rewrite.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        // Ours is asked again, and mends what a webhook that is asked once has done.
        reinvocationPolicy: 'IfNeeded',
        clientConfig: { url, ...(caBundle && { caBundle }) },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        ...(matchLabels && { objectSelector: { matchLabels } }),
        namespaceSelector: { matchLabels: { 'keyless-pull.dev/inject': 'enabled' } },
      },
    ],
  };
}

function withOtherAuthority(): Pick<Fault, 'plant' | 'heal'> {
  let change: Pick<Fault, 'plant' | 'heal'> | undefined;
  return {
    async plant() {
      const other = Buffer.from((await createCertificateAuthority('other')).certificate).toString('base64');
      change = changed(`${MUTATING}/keyless-pull`, (all: never) => ({
        webhooks: hooksOf(all).map((hook) => ({
          ...hook,
          clientConfig: { ...(hook['clientConfig'] as object), caBundle: other },
        })),
      }));
      await change.plant();
    },
    heal: async () => change?.heal(),
  };
}
