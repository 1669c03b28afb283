// A real Kubernetes control plane on free ports of 127.0.0.1, in a folder of its own, for tests and the demo.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ApiRequest, ApiServerAddress } from './api-client.ts';
import { apiClient, writeKubeconfig } from './api-client.ts';
import type { ProgressStream } from './build-part.ts';
import type { StaticIdentity } from './control-plane-flags.ts';
import {
  STANDARD_IDENTITIES,
  accountKeyFile,
  apiServerFlags,
  controllerManagerFlags,
  etcdFlags,
  replaceAccountKey,
  schedulerFlags,
  writeControlPlaneFiles,
} from './control-plane-flags.ts';
import { freePorts } from './free-ports.ts';
import { findParts } from './parts.ts';
import type { Run, StartedProcess } from './processes.ts';
import { openRun, waitUntil } from './processes.ts';

/** What may be chosen about a control plane. */
export interface ControlPlaneOptions {
  /** Without controllers (default: with) there are no default ServiceAccounts, no garbage collection, no Jobs. */
  readonly controllers?: boolean;
  /** Without the scheduler (default) pods stay where their nodeName puts them. */
  readonly scheduler?: boolean;
  /** Writes `auditLog`; off when absent. */
  readonly audit?: boolean;
  /** Known besides `admin` and `node-a`. */
  readonly identities?: readonly StaticIdentity[];
  /** Appended to kube-apiserver's own, so they win. */
  readonly extraApiServerFlags?: readonly string[];
  /** Where the building of missing parts is reported; standard error when absent. */
  readonly progress?: ProgressStream;
}

/** Whom a kubeconfig speaks for: a static identity by its name, or whoever owns the token. */
export type Bearer = { readonly identity: string } | { readonly token: string };

/** A running control plane. Disposing it is `stop`. */
export interface ControlPlane extends ApiServerAddress, AsyncDisposable {
  /** The issuer of its ServiceAccount tokens: `url`, where discovery and keys are served too. */
  readonly issuer: string;
  /** The run's folder, deleted at the end; logs are `<part>.log`. Others may put files of their own there. */
  readonly folder: string;
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly kubectlPath: string;
  /** Path of the audit log (see `readAuditLog`), undefined unless asked for. */
  readonly auditLog: string | undefined;
  /** The fixed tokens by identity: `admin`, `node-a` and what `identities` added. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Requests as the administrator. */
  readonly admin: ApiRequest;
  /** Writes a kubeconfig (namespace "default" when absent) into the folder and returns its path. */
  readonly kubeconfigFor: (bearer: Bearer, namespace?: string) => string;
  /** Ends only the API server, cutting its connections within about a second; what it stored stays. */
  readonly stopApiServer: () => Promise<void>;
  /** Starts it again on the same port with the same data; resolves when it is ready. */
  readonly startApiServer: () => Promise<void>;
  readonly restartApiServer: () => Promise<void>;
  /**
   * Restarts it with a new key for ServiceAccount tokens. Without the old one (`keepOld: false`) all tokens of before are
   * dead, those of the controllers and of whoever runs with one included.
   */
  readonly rotateSigningKey: (options: { readonly keepOld: boolean }) => Promise<void>;
  /** Ends everything and deletes the folder. */
  readonly stop: () => Promise<void>;
}

// Their heaps are small, and Go collects a small heap often: half of the memory it saves costs a third of the processor.
const GO_ENVIRONMENT = { GOGC: '400' };

// Four seconds on an idle machine with two cores; a busy one gets its chance.
const READY_DEADLINE_MS = 90_000;

/** Starts a control plane; resolves when it is ready and the default ServiceAccount exists. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { controllers = true, scheduler = false } = options;
  const paths = await findParts(
    [
      'etcd',
      'kube-apiserver',
      'kubectl',
      ...(controllers ? ['kube-controller-manager' as const] : []),
      ...(scheduler ? ['kube-scheduler' as const] : []),
    ],
    { progress: options.progress },
  );
  const run = await openRun('control-plane');
  try {
    const controlPlane = await startServers(run, paths, options);
    if (controllers) await startControllers(run, paths['kube-controller-manager'], controlPlane);
    if (scheduler) {
      const flags = schedulerFlags(controlPlane.kubeconfigFor({ identity: 'kube-scheduler' }));
      run.start('kube-scheduler', paths['kube-scheduler'], flags, GO_ENVIRONMENT);
    }
    return controlPlane;
  } catch (error) {
    await run.stop();
    throw error;
  }
}

type ServerPaths = Readonly<Record<'etcd' | 'kube-apiserver' | 'kubectl', string>>;

async function startServers(
  run: Run,
  paths: ServerPaths,
  options: ControlPlaneOptions,
): Promise<ControlPlane> {
  const { folder } = run;
  const [port = 0, etcdPort = 0, etcdPeerPort = 0] = await freePorts(3);
  const etcd = run.start('etcd', paths.etcd, etcdFlags(folder, etcdPort, etcdPeerPort), GO_ENVIRONMENT);
  const files = await writeControlPlaneFiles(folder, [...STANDARD_IDENTITIES, ...(options.identities ?? [])]);
  const { certificateAuthorityFile, tokens } = files;
  const url = `https://127.0.0.1:${port}`;
  const auditLog = options.audit ? join(folder, 'audit.log') : undefined;
  const flags = [
    ...apiServerFlags(files, { port, etcdPort, auditLog }),
    ...(options.extraApiServerFlags ?? []),
  ];
  const admin = apiClient({ url, certificateAuthorityFile }, tokens['admin'] ?? '');
  let apiServer: StartedProcess | undefined;

  async function startApiServer(): Promise<void> {
    apiServer = run.start('kube-apiserver', paths['kube-apiserver'], flags, GO_ENVIRONMENT);
    await waitUntil('kube-apiserver was ready', async () => (await admin('GET', '/readyz')).status === 200, {
      deadlineMs: READY_DEADLINE_MS,
      needed: [etcd, apiServer],
    });
  }
  async function stopApiServer(): Promise<void> {
    await apiServer?.stop();
  }
  function kubeconfigFor(bearer: Bearer, namespace?: string): string {
    const token = 'token' in bearer ? bearer.token : tokens[bearer.identity];
    if (token === undefined) throw new Error(`no static identity of that name: ${JSON.stringify(bearer)}`);
    const name = 'identity' in bearer ? bearer.identity : randomUUID();
    const path = join(folder, `${[name, ...(namespace ? [namespace] : [])].join('.')}.kubeconfig`);
    writeKubeconfig({ url, certificateAuthorityFile, token, namespace }, path);
    return path;
  }

  await startApiServer();
  return {
    url,
    issuer: url,
    certificateAuthorityFile,
    folder,
    kubeconfig: kubeconfigFor({ identity: 'admin' }),
    kubectlPath: paths.kubectl,
    auditLog,
    tokens,
    admin,
    kubeconfigFor,
    startApiServer,
    stopApiServer,
    async restartApiServer() {
      await stopApiServer();
      await startApiServer();
    },
    async rotateSigningKey(options) {
      await stopApiServer();
      await replaceAccountKey(folder, options);
      await startApiServer();
    },
    stop: run.stop,
    [Symbol.asyncDispose]: run.stop,
  };
}

async function startControllers(run: Run, path: string, controlPlane: ControlPlane): Promise<void> {
  const { admin, certificateAuthorityFile, kubeconfigFor, folder } = controlPlane;
  const flags = controllerManagerFlags({
    kubeconfig: kubeconfigFor({ identity: 'kube-controller-manager' }),
    certificateAuthorityFile,
    accountKeyFile: accountKeyFile(folder),
  });
  const manager = run.start('kube-controller-manager', path, flags, GO_ENVIRONMENT);
  const account = '/api/v1/namespaces/default/serviceaccounts/default';
  const exists = async () => (await admin('GET', account)).status === 200;
  await waitUntil('the default ServiceAccount exists', exists, {
    deadlineMs: READY_DEADLINE_MS,
    needed: [manager],
  });
}
