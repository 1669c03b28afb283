// A real control plane with our manifests on it, and the real program in processes of its own: what the storms need.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { readAuditLog } from '../../tools/audit-log.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { freePort } from '../../tools/free-ports.ts';
import { waitUntil } from '../../tools/processes.ts';
import { whileAwake } from '../awake-clock.ts';
import { installManifests, OWN_NAMESPACE, WORKER_ACCOUNT, WORKER_USER } from '../../tools/install.ts';

export const HOST = 'registry.team.example:5000';
export const AUDIENCE = 'https://registry.team.example';

export interface Program {
  readonly name: string;
  readonly pid: number;
  /** Path of the kubeconfig that it runs with; who writes another one there gives it another token. */
  readonly kubeconfig: string;
  /** Everything it has printed. */
  output(): string;
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void;
  ended(): Promise<void>;
  isLeading(): boolean;
  readyz(): Promise<{ readonly status: number; readonly text: string }>;
  /** As it would be scraped. */
  metrics(): Promise<string>;
}

export interface Arena extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  readonly configFile: string;
  /** The registry host of its one rule. */
  readonly host: string;
  /** @param kubeconfigFile one of its own when absent */
  start(name: string, role: 'webhook' | 'worker', kubeconfigFile?: string): Promise<Program>;
  kubeconfig(): Promise<string>;
  addNamespace(name: string): Promise<void>;
  addAccounts(namespace: string, count: number): Promise<void>;
  /** `count` pods, spread over the accounts, all at once. */
  addPods(namespace: string, count: number, accounts: number, repository?: string): Promise<void>;
  pods(namespace: string): Promise<StoredPod[]>;
  /** Whether a pod of that namespace's first account would be held now. Asked by dry run. */
  wouldHold(namespace: string): Promise<boolean>;
  /** From now on its new pods are held: the webhook, which looks every two seconds, has seen that a worker lives. */
  waitForGates(namespace: string): Promise<void>;
  waitForRelease(namespace: string, seconds: number): Promise<void>;
  /** What our worker asked the API server, in order. */
  calls(): ReturnType<typeof readAuditLog>;
}

export interface StoredPod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: {
    readonly serviceAccountName: string;
    readonly schedulingGates?: readonly { name: string }[];
    readonly imagePullSecrets?: readonly { name: string }[];
  };
}

/**
 * `audiences`: what the fence lets the worker ask for besides. Who writes another config does it before anything starts.
 * `rules` come behind the usual one; `policy` as in the config; `users` are known to the API server, each by a token.
 * Without `scheduler` pods stay where they are.
 */
export async function openArena({
  host = HOST,
  audience = AUDIENCE,
  audiences = [],
  rules = [],
  policy = {},
  users = [],
  scheduler = false,
}: {
  host?: string;
  audience?: string;
  audiences?: readonly string[];
  rules?: readonly object[];
  policy?: object;
  users?: readonly string[];
  scheduler?: boolean;
} = {}): Promise<Arena> {
  await using opened = new AsyncDisposableStack();
  const identities = users.map((name) => ({ name, user: name, groups: [] }));
  const controlPlane = opened.use(await startControlPlane({ audit: true, identities, scheduler }));
  const programs: { child: ChildProcess; ended: Promise<void> }[] = [];
  opened.defer(async () => {
    for (const { child } of programs) child.kill('SIGKILL');
    await Promise.all(programs.map(({ ended }) => ended));
  });
  const authority = await createCertificateAuthority('arena');
  const pair = await authority.issue(['127.0.0.1']);
  const file = (name: string, text: string) => {
    const path = join(controlPlane.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const certificateFile = file('tls.crt', pair.certificate);
  const keyFile = file('tls.key', pair.key);
  const configFile = file(
    'config.yaml',
    stringify({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [{ name: 'team', hosts: [host], audience, exchange: { kind: 'pass-through' } }, ...rules],
      policy,
    }),
  );
  const webhookPort = await freePort();
  await installManifests(controlPlane, {
    webhookUrl: `https://127.0.0.1:${webhookPort}`,
    caBundle: authority.certificate,
    audiences: [audience, ...audiences],
  });
  const { admin } = controlPlane;
  const kubeconfig = async () => {
    const token = await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
    return controlPlane.kubeconfigFor({ token }, OWN_NAMESPACE);
  };
  const must = async (method: Parameters<typeof admin>[0], path: string, body?: unknown) => {
    const answer = await admin(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const pods = async (namespace: string) =>
    ((await must('GET', `/api/v1/namespaces/${namespace}/pods`)) as { items: StoredPod[] }).items;

  async function start(name: string, role: 'webhook' | 'worker', ownFile?: string): Promise<Program> {
    const kubeconfigFile = ownFile ?? (await kubeconfig());
    const flags = [
      '--role',
      role,
      '--config',
      configFile,
      '--kubeconfig',
      kubeconfigFile,
      '--namespace',
      OWN_NAMESPACE,
    ];
    const metricsPort = await freePort();
    const ports = ['--metrics-port', String(metricsPort), '--host', '127.0.0.1'];
    const tls =
      role === 'webhook'
        ? ['--port', String(webhookPort), '--tls-cert', certificateFile, '--tls-key', keyFile]
        : [];
    // As the image starts it, so that its memory is the image's.
    const words = ['--max-semi-space-size=8', 'src/main.ts', ...flags, ...ports, ...tls];
    const child = spawn(process.execPath, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const printed: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
    const ended = once(child, 'exit').then(() => undefined);
    programs.push({ child, ended });
    const output = () => printed.join('');
    await waitUntil(`${name} has started`, async () => output().includes('"started"'), {
      deadlineMs: 30_000,
    });
    const isLeading = () =>
      output().lastIndexOf('"message":"leading"') > output().lastIndexOf('"message":"no longer leading"');
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}${path}`);
      return { status: answer.status, text: await answer.text() };
    };
    return {
      name,
      pid: child.pid ?? 0,
      kubeconfig: kubeconfigFile,
      output,
      kill: (signal) => void child.kill(signal),
      ended: () => ended,
      isLeading,
      readyz: () => get('/readyz'),
      metrics: async () => (await get('/metrics')).text,
    };
  }

  const wouldHold: Arena['wouldHold'] = async (namespace) => {
    const containers = [{ name: 'app', image: `${host}/shop/web:1` }];
    const pod = { metadata: { name: 'asked' }, spec: { serviceAccountName: 'account-0', containers } };
    const path = `/api/v1/namespaces/${namespace}/pods?dryRun=All`;
    const { spec } = (await must('POST', path, pod)) as unknown as StoredPod;
    return (spec.schedulingGates ?? []).length > 0;
  };

  const owned = opened.move();
  return {
    controlPlane,
    configFile,
    host,
    start,
    wouldHold,
    waitForGates: (namespace) =>
      waitUntil(`pods of ${namespace} are held`, () => wouldHold(namespace), { deadlineMs: 30_000 }),
    kubeconfig,
    async addNamespace(name) {
      await must('POST', '/api/v1/namespaces', {
        metadata: { name, labels: { 'keyless-pull.dev/inject': 'enabled' } },
      });
    },
    async addAccounts(namespace, count) {
      const names = Array.from({ length: count }, (_, at) => `account-${at}`);
      await Promise.all(
        names.map((name) =>
          must('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } }),
        ),
      );
    },
    async addPods(namespace, count, accounts, repository = 'shop/web') {
      const bodies = Array.from({ length: count }, (_, at) => ({
        metadata: { name: `pod-${at}` },
        spec: {
          serviceAccountName: `account-${at % accounts}`,
          containers: [{ name: 'app', image: `${host}/${repository}:1` }],
        },
      }));
      const create = (body: object) =>
        whileAwake(() => must('POST', `/api/v1/namespaces/${namespace}/pods`, body));
      // As many at once as an API server's controllers and a crowd of people would send together.
      const next = bodies.values();
      const send = async () => {
        for (const body of next) await create(body);
      };
      await Promise.all(Array.from({ length: 100 }, send));
    },
    pods,
    waitForRelease: (namespace, seconds) =>
      waitUntil(
        `no pod of ${namespace} is gated`,
        async () => (await pods(namespace)).every(({ spec }) => !spec.schedulingGates?.length),
        // A list of a thousand pods costs the API server more than releasing ten of them.
        { deadlineMs: seconds * 1000, everyMs: 500 },
      ),
    calls: () => readAuditLog(controlPlane.auditLog ?? '').filter(({ user }) => user === WORKER_USER),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
