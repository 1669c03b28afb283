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
import { installManifests, OWN_NAMESPACE, WORKER_ACCOUNT, WORKER_USER } from '../../tools/install.ts';

export const HOST = 'registry.team.example:5000';
export const AUDIENCE = 'https://registry.team.example';

export interface Program {
  readonly name: string;
  /** Everything it has printed. */
  output(): string;
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void;
  ended(): Promise<void>;
  isLeading(): boolean;
  readyz(): Promise<{ readonly status: number; readonly text: string }>;
}

export interface Arena extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  readonly configFile: string;
  /** The registry host of its one rule. */
  readonly host: string;
  start(name: string, role: 'webhook' | 'worker'): Promise<Program>;
  kubeconfig(): Promise<string>;
  addNamespace(name: string): Promise<void>;
  addAccounts(namespace: string, count: number): Promise<void>;
  /** `count` pods, spread over the accounts, all at once. */
  addPods(namespace: string, count: number, accounts: number, repository?: string): Promise<void>;
  pods(namespace: string): Promise<StoredPod[]>;
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

export async function openArena({ host = HOST, audience = AUDIENCE } = {}): Promise<Arena> {
  await using opened = new AsyncDisposableStack();
  const controlPlane = opened.use(await startControlPlane({ audit: true }));
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
      rules: [{ name: 'team', hosts: [host], audience, exchange: { kind: 'pass-through' } }],
    }),
  );
  const webhookPort = await freePort();
  await installManifests(controlPlane, {
    webhookUrl: `https://127.0.0.1:${webhookPort}`,
    caBundle: authority.certificate,
    audiences: [audience],
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

  async function start(name: string, role: 'webhook' | 'worker'): Promise<Program> {
    const flags = [
      '--role',
      role,
      '--config',
      configFile,
      '--kubeconfig',
      await kubeconfig(),
      '--namespace',
      OWN_NAMESPACE,
    ];
    const metricsPort = await freePort();
    const ports = ['--metrics-port', String(metricsPort), '--host', '127.0.0.1'];
    const tls =
      role === 'webhook'
        ? ['--port', String(webhookPort), '--tls-cert', certificateFile, '--tls-key', keyFile]
        : [];
    const child = spawn(process.execPath, ['src/main.ts', ...flags, ...ports, ...tls], {
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
    const readyz = async () => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
      return { status: answer.status, text: await answer.text() };
    };
    return { name, output, kill: (signal) => void child.kill(signal), ended: () => ended, isLeading, readyz };
  }

  const owned = opened.move();
  return {
    controlPlane,
    configFile,
    host,
    start,
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
      // As many at once as an API server's controllers and a crowd of people would send together.
      const next = bodies.values();
      const send = async () => {
        for (const body of next) await must('POST', `/api/v1/namespaces/${namespace}/pods`, body);
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
