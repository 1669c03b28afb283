// What the README promises: one rule, one command, and the next pod of a namespace that opted in pulls. Once with the chart's
// package, once with kubectl apply -k, each on a cluster that has never seen us; the program runs with what was installed.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { loginFromDockerConfig, pullImage, pushImage } from '../../tools/image-transfer.ts';
import { packageChart } from '../../tools/chart/package.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { startRegistry, type DistributionRegistry } from '../../tools/distribution-registry.ts';
import { freePort } from '../../tools/free-ports.ts';
import { openHelm, type Helm } from '../../tools/helm.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { OWN_NAMESPACE, type Manifest } from '../../tools/install.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { waitUntil } from '../../tools/processes.ts';
import { runCommand } from '../../tools/run-command.ts';
import { runPodOf, standBehind, type PodProcess } from './pod-process.ts';
import { REGISTRY_SERVICE, REGISTRY_TOKEN_ISSUER, startTokenServer } from './token-server-stage.ts';

/** As in examples/first-install. */
const AUDIENCE = 'https://registry.team.example';
const HOST = 'registry.team.example';
const EXAMPLE = 'examples/first-install';

/** A cluster that nobody has installed anything in, and a registry that trusts it. */
interface Stage extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  pull(authorization?: { username: string; password: string }): ReturnType<typeof pullImage>;
}

async function openStage(): Promise<Stage> {
  await using opened = new AsyncDisposableStack();
  const controlPlane = opened.use(
    // A webhook's Service is reached by its endpoints: nothing here could route its own address.
    await startControlPlane({ extraApiServerFlags: ['--enable-aggregator-routing=true'] }),
  );
  const authority = await createCertificateAuthority('first install');
  const certificateAuthorityFile = join(controlPlane.folder, 'registry-ca.crt');
  writeFileSync(certificateAuthorityFile, authority.certificate);
  const port = await freePort();
  opened.use(await startTokenServer({ controlPlane, authority, audience: AUDIENCE, port }));
  const registry: DistributionRegistry = opened.use(
    await startRegistry({
      auth: {
        realm: `https://localhost:${port}/auth/token`,
        service: REGISTRY_SERVICE,
        issuer: REGISTRY_TOKEN_ISSUER,
        rootCertBundle: certificateAuthorityFile,
      },
    }),
  );
  for (const namespace of ['shop', 'builds']) await create(controlPlane, '/api/v1/namespaces', { namespace });
  await waitUntil(
    'the default account of builds exists',
    async () => (await controlPlane.admin('GET', account('builds'))).status === 200,
    { deadlineMs: 60_000 },
  );
  const password = await serviceAccountToken(controlPlane, 'builds', 'default', { audiences: [AUDIENCE] });
  const authorization = { username: 'builds/default', password };
  await pushImage(registry.url, 'shop/web', '1', { authorization, certificateAuthorityFile });
  const owned = opened.move();
  return {
    controlPlane,
    pull: (login) =>
      pullImage(registry.url, 'shop/web', '1', {
        certificateAuthorityFile,
        ...(login && { authorization: login }),
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const account = (namespace: string) => `/api/v1/namespaces/${namespace}/serviceaccounts/default`;

async function create({ admin }: ControlPlane, path: string, { namespace }: { namespace: string }) {
  const { status } = await admin('POST', path, { metadata: { name: namespace } });
  expect(status).toBe(201);
}

/** One pod of the Deployment that was installed, ready and behind the Service. */
async function runInstalled(controlPlane: ControlPlane): Promise<PodProcess> {
  const program = programs.use(await runPodOf(controlPlane, OWN_NAMESPACE, 'keyless-pull'));
  await waitUntil('keyless-pull is ready', () => program.isReady(), { deadlineMs: 60_000 }).catch((error) => {
    throw new Error(`${String(error)}\n${program.output()}`);
  });
  await standBehind(controlPlane, OWN_NAMESPACE, 'keyless-pull', [program]);
  return program;
}

/** What a user does then: the label, and a Deployment. Resolves to what the kubelet would log in with. */
async function loginOfNextPod({ controlPlane }: Stage): Promise<{ username: string; password: string }> {
  const kubectl = async (...flags: string[]) => {
    const { code, stderr } = await runKubectl(controlPlane, flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  };
  await kubectl('label', 'namespace', 'shop', 'keyless-pull.dev/inject=enabled');
  await kubectl('create', 'deployment', 'web', '-n', 'shop', `--image=${HOST}/shop/web:1`);
  let secretName = '';
  await waitUntil(
    'the pod may be scheduled, and names its Secret',
    async () => {
      const { body } = await controlPlane.admin<{ items: Pod[] }>('GET', '/api/v1/namespaces/shop/pods');
      const [pod] = body.items;
      secretName = pod?.spec.imagePullSecrets?.[0]?.name ?? '';
      return secretName !== '' && !pod?.spec.schedulingGates?.length;
    },
    { deadlineMs: 40_000 },
  );
  const { body } = await controlPlane.admin<{ data: Record<string, string> }>(
    'GET',
    `/api/v1/namespaces/shop/secrets/${secretName}`,
  );
  const config = Buffer.from(body.data['.dockerconfigjson'] ?? '', 'base64').toString();
  const login = loginFromDockerConfig(config, HOST);
  if (!login) throw new Error(`the Secret ${secretName} has no login for ${HOST}`);
  return login;
}

interface Pod {
  readonly spec: {
    readonly schedulingGates?: readonly object[];
    readonly imagePullSecrets?: readonly { readonly name: string }[];
  };
}

const opened = new AsyncDisposableStack();
let clusters: { readonly helm: Stage; readonly kustomize: Stage };
/** On those clusters, and so ended before them. */
const programs = new AsyncDisposableStack();

beforeAll(async () => {
  // Most of a cluster's start is waiting.
  const [first, second] = await Promise.all([openStage(), openStage()]);
  clusters = { helm: opened.use(first), kustomize: opened.use(second) };
  opened.use(programs);
});
afterAll(() => opened.disposeAsync());

describe('helm install of the package, with one rule', () => {
  let stage: Stage;
  let helm: Helm;
  let chart: string;
  let program: PodProcess;

  const own = ['--namespace', OWN_NAMESPACE];
  const values = ['-f', join(EXAMPLE, 'values.yaml')];

  beforeAll(async () => {
    stage = clusters.helm;
    helm = await openHelm(stage.controlPlane.folder, stage.controlPlane.kubeconfig);
    chart = packageChart(stage.controlPlane.folder);
  });

  test('leads to a pulled pod, and says what to do next', async () => {
    const { code, stdout, stderr } = await helm(
      'install',
      'keyless-pull',
      chart,
      ...own,
      '--create-namespace',
      ...values,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    program = await runInstalled(stage.controlPlane);

    const image = await stage.pull(await loginOfNextPod(stage));

    expect(image.blobs.length).toBeGreaterThanOrEqual(2);
    await expect(stage.pull()).rejects.toMatchObject({ status: 401 });
    expect(stdout).toContain('kubectl label namespace NAMESPACE keyless-pull.dev/inject=enabled');
    expect(stdout).toContain(`- ${HOST} (pass-through, audience ${AUDIENCE})`);
  });

  test('helm test asks whether it is ready', async () => {
    const { stdout } = await helm('get', 'hooks', 'keyless-pull', ...own);
    const [hook] = parseAllDocuments(stdout).map((document): Hook => document.toJS());
    const [{ command, args } = { command: [], args: [] }] = hook?.spec.containers ?? [];
    // No kubelet runs it here, and no cluster's names are known on this machine.
    const ask = (url: string) => {
      const moved = args.map((word) => word.replace('http://keyless-pull.keyless-pull.svc:9090', url));
      return runCommand(process.execPath, [...command.slice(1), ...moved]);
    };

    const ready = await ask(program.urlOf('metrics'));
    const away = await ask(`http://127.0.0.1:${await freePort()}`);

    expect(command[0]).toBe('/usr/local/bin/node');
    expect(ready).toMatchObject({ code: 0, stderr: '' });
    expect(ready.stdout).toContain('/readyz 200 {"status":"ready"}');
    expect(away).toMatchObject({ code: 1, stdout: expect.stringContaining('ECONNREFUSED') });
  });

  test('helm upgrade takes nothing away from the certificate, nor from caBundle', async () => {
    const before = await certificateAndTrust();

    const { code, stderr } = await helm(
      'upgrade',
      'keyless-pull',
      chart,
      ...own,
      ...values,
      '--set',
      'replicas=3',
    );

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(before.certificate).toMatch(/^LS0t/);
    expect(new Set(before.caBundles).size).toBe(1);
    expect(await certificateAndTrust()).toEqual(before);
  });

  test('helm uninstall keeps the CRD and the PullCredentials, and a second install takes them up', async () => {
    const records = () => runKubectl(stage.controlPlane, ['get', 'pullcred', '-n', 'shop', '-o', 'name']);
    const before = await records();

    const uninstalled = await helm('uninstall', 'keyless-pull', ...own);
    const after = await records();
    const again = await helm('install', 'keyless-pull', chart, ...own, ...values);

    expect(uninstalled).toMatchObject({ code: 0, stderr: '' });
    expect(uninstalled.stdout).toContain('[CustomResourceDefinition] pullcredentials.keyless-pull.dev');
    expect(before.stdout).toContain('pullcredential.keyless-pull.dev/keyless-pull-default-');
    expect(after.stdout).toBe(before.stdout);
    expect({ code: again.code, stderr: again.stderr }).toEqual({ code: 0, stderr: '' });
  });

  async function certificateAndTrust() {
    const { admin } = stage.controlPlane;
    const secret = await admin<{ data: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${OWN_NAMESPACE}/secrets/keyless-pull-tls`,
    );
    const hooks = await Promise.all(
      ['mutating', 'validating'].map((kind) =>
        admin<{ webhooks: { clientConfig: { caBundle?: string } }[] }>(
          'GET',
          `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/keyless-pull`,
        ),
      ),
    );
    return {
      certificate: secret.body.data['tls.crt'] ?? '',
      caBundles: hooks.flatMap(({ body }) => body.webhooks.map(({ clientConfig }) => clientConfig.caBundle)),
    };
  }
});

interface Hook extends Manifest {
  readonly spec: { readonly containers: readonly { readonly command: string[]; readonly args: string[] }[] };
}

describe('kubectl apply -k with the same rule', () => {
  test('leads to a pulled pod', async () => {
    const stage = clusters.kustomize;
    const { code, stderr } = await runKubectl(stage.controlPlane, ['apply', '-k', EXAMPLE]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await runInstalled(stage.controlPlane);

    const image = await stage.pull(await loginOfNextPod(stage));

    expect(image.blobs.length).toBeGreaterThanOrEqual(2);
    await expect(stage.pull()).rejects.toMatchObject({ status: 401 });
  });
});

test("the example's two ways have one rule", () => {
  const lines = readFileSync(join(EXAMPLE, 'values.yaml'), 'utf8')
    .split('\n')
    .filter((line) => /^ {4}\S|^ {6}/.test(line));
  const kustomization = readFileSync(join(EXAMPLE, 'kustomization.yaml'), 'utf8')
    .split('\n')
    .map((line) => line.trim());

  expect(lines.length).toBeGreaterThan(3);
  for (const line of lines) expect(kustomization).toContain(line.trim());
});
