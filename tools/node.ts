// A real node: containerd and a kubelet as `system:node:<name>`, in namespaces of their own for processes and mounts. What
// they start and mount ends with the first process of those namespaces, whatever ends it, so that nothing can be left.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Agent, request } from 'undici';
import type { ProgressStream } from './build-part.ts';
import { findOnPath } from './command-lines.ts';
import type { ControlPlane } from './control-plane.ts';
import { freePorts } from './free-ports.ts';
import { imageArchive } from './image-archive.ts';
import { makeImage } from './image.ts';
import type { NodeFiles } from './node-files.ts';
import { SANDBOX_IMAGE, kubeletConfig, writeNodeFiles, writeRegistryTrust } from './node-files.ts';
import { whyNoNode } from './node-needs.ts';
import { PARTS_MISSING, findParts } from './parts.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { childOf, isStillRunning, killProcess, waitForEnd } from './process-identity.ts';
import type { Run, StartedProcess } from './processes.ts';
import { openRun, waitUntil } from './processes.ts';

/** What a kubelet is started with, and may be started with anew. */
export interface KubeletOptions {
  /** Replace fields of its KubeletConfiguration. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** `--image-credential-provider-config` (a file or a folder) and `--image-credential-provider-bin-dir`. */
  readonly credentialProviders?: { readonly config: string; readonly programs: string };
}

export interface NodeOptions extends KubeletOptions {
  /** One of the control plane's identities; the node is called like it. */
  readonly name?: string;
  /** Where the building of missing parts is reported; standard error when absent. */
  readonly progress?: ProgressStream;
}

/** A running node. Disposing it is `stop`. */
export interface ClusterNode extends AsyncDisposable {
  readonly name: string;
  /** The run's folder, deleted at the end. */
  readonly folder: string;
  /** Paths of the logs: containerd's, and that of all kubelets that ran here. */
  readonly containerdLog: string;
  readonly kubeletLog: string;
  /** Where the kubelet writes down whose credential pulled which image. */
  readonly pulledRecordsFolder: string;
  /** Has containerd trust an authority for a registry ("127.0.0.1:5000"). */
  readonly trustRegistry: (host: string, certificateAuthorityFile: string) => void;
  /** Runs a command (no word of it with a blank) in a container and returns what it printed. Throws where it fails. */
  readonly exec: (
    where: { readonly namespace: string; readonly pod: string; readonly container: string },
    command: readonly string[],
  ) => Promise<string>;
  /** Ends the kubelet and starts it with other options; resolves when the node is Ready. */
  readonly restartKubelet: (options?: KubeletOptions) => Promise<void>;
  /** Starts it with options that it may refuse; resolves when it has ended (with its exit code) or is healthy. */
  readonly tryKubelet: (options: KubeletOptions) => Promise<{ exitCode: number | null; said: string }>;
  readonly stop: () => Promise<void>;
}

const READY_DEADLINE_MS = 120_000;

/** Starts a node; resolves when pods can be bound to it. Throws with PARTS_MISSING where there can be none. */
export async function startNode(
  controlPlane: ControlPlane,
  { name = 'node-a', progress, ...options }: NodeOptions = {},
): Promise<ClusterNode> {
  const whyNot = whyNoNode();
  if (whyNot !== undefined) throw Object.assign(new Error(whyNot), { code: PARTS_MISSING });
  const parts = await findParts(
    ['kubelet', 'containerd', 'containerd-shim-runc-v2', 'ctr', 'waiter', 'runc'],
    { progress },
  );
  const run = await openRun('node');
  const files = writeNodeFiles(run.folder);
  const [port = 0, healthzPort = 0] = await freePorts(2);
  let init: ProcessIdentity | undefined;
  let kubelet: StartedProcess | undefined;

  async function stop(): Promise<void> {
    if (init) {
      killProcess(init);
      await waitForEnd(init, 10_000);
    }
    await run.stop();
  }

  async function startKubelet(chosen: KubeletOptions): Promise<StartedProcess> {
    if (!init) throw new Error('the node has ended');
    const ports = { port, healthzPort };
    writeFileSync(files.kubeletConfig, kubeletConfig(run.folder, files, ports, chosen.settings ?? {}));
    const kubeconfig = controlPlane.kubeconfigFor({ identity: name });
    const { credentialProviders } = chosen;
    const flags = [
      `--config=${files.kubeletConfig}`,
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${name}`,
      `--root-dir=${files.kubeletRoot}`,
      `--cert-dir=${join(files.kubeletRoot, 'pki')}`,
      ...(credentialProviders
        ? [
            `--image-credential-provider-config=${credentialProviders.config}`,
            `--image-credential-provider-bin-dir=${credentialProviders.programs}`,
          ]
        : []),
    ];
    // In the same namespaces; it ends with the program that took it there, which is ours to stop.
    const entered = ['--target', String(init.pid), '--mount', '--pid', '--'];
    const command = ['setpriv', '--pdeathsig', 'TERM', '--', parts.kubelet, ...flags];
    return run.start('kubelet', ...politely('nsenter', [...entered, ...command]));
  }

  async function endKubelet(): Promise<void> {
    await kubelet?.stop();
    // It needs some seconds more to let go of its port and its lock.
    const hasEnded = () => isClosed(`http://127.0.0.1:${healthzPort}/healthz`);
    await waitUntil('the kubelet has ended', hasEnded, { deadlineMs: READY_DEADLINE_MS, everyMs: 200 });
  }

  async function restartKubelet(chosen: KubeletOptions = options): Promise<void> {
    await endKubelet();
    const since = await heartbeatOf(controlPlane, name);
    kubelet = await startKubelet(chosen);
    await waitUntil(
      'the node is Ready',
      async () => {
        if (!(await answers(`http://127.0.0.1:${healthzPort}/healthz`))) return false;
        return (await heartbeatOf(controlPlane, name)) > since && isReady(controlPlane, name);
      },
      { deadlineMs: READY_DEADLINE_MS, everyMs: 200, needed: [kubelet] },
    );
  }

  try {
    const containerd = await startContainerd(run, files, parts);
    init = containerd.init;
    await importSandbox(run.folder, files, parts);
    await restartKubelet();
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    name,
    folder: run.folder,
    containerdLog: join(run.folder, 'containerd.log'),
    kubeletLog: join(run.folder, 'kubelet.log'),
    pulledRecordsFolder: join(files.kubeletRoot, 'image_manager', 'pulled'),
    trustRegistry: (host, authority) => writeRegistryTrust(files, host, authority),
    exec: ({ namespace, pod, container }, command) =>
      runInContainer(`https://127.0.0.1:${port}/run/${namespace}/${pod}/${container}`, command),
    restartKubelet,
    async tryKubelet(chosen) {
      await endKubelet();
      const kubeletLog = join(run.folder, 'kubelet.log');
      const before = readFileSync(kubeletLog, 'utf8').length;
      const tried = await startKubelet(chosen);
      kubelet = tried;
      const isDecided = async () =>
        !tried.isRunning() || (await answers(`http://127.0.0.1:${healthzPort}/healthz`));
      await waitUntil('the kubelet has ended, or is healthy', isDecided, { deadlineMs: READY_DEADLINE_MS });
      return { exitCode: tried.exitCode(), said: readFileSync(kubeletLog, 'utf8').slice(before) };
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * After the control plane, which in a cluster has processors of its own: where the API server is starved, its authorizer
 * learns of a pod later than the kubelet does, who is then forbidden to read that pod's Secrets, and fails its first pull.
 */
function politely(command: string, flags: readonly string[]): [string, string[]] {
  return [findOnPath('nice') ?? 'nice', ['-n', '10', 'sh', '-c', GIVE_WAY, command, ...flags]];
}

// A program of a session of its own competes as that session, whose niceness is another (sched(7), autogroups).
const GIVE_WAY = `
[ ! -w /proc/self/autogroup ] || echo 10 >/proc/self/autogroup
exec "$0" "$@"
`;

type NodeParts = Readonly<
  Record<'kubelet' | 'containerd' | 'containerd-shim-runc-v2' | 'ctr' | 'waiter' | 'runc', string>
>;

// Sockets of the shims and links to logs go to fixed places, and so those are folders of its own. The shell stays, to
// receive orphans, and ends with containerd.
const FIRST_PROCESS = `
mount -t tmpfs none /run
mount -t tmpfs none /var/log
mkdir -p /run/lock
"$0" --config "$1" &
wait $!
`;

async function startContainerd(
  run: Run,
  files: NodeFiles,
  parts: NodeParts,
): Promise<{ init: ProcessIdentity }> {
  const programs = [parts['containerd-shim-runc-v2'], parts.runc].map((path) => dirname(path));
  const flags = [
    '--mount',
    '--propagation',
    'private',
    '--pid',
    '--fork',
    '--kill-child=KILL',
    '--mount-proc',
  ];
  const unshare = run.start(
    'containerd',
    ...politely('unshare', [
      ...[...flags, '--', 'sh', '-ec', FIRST_PROCESS],
      ...[parts.containerd, files.containerdConfig],
    ]),
    { PATH: [...programs, process.env['PATH']].join(':') },
  );
  let init: ProcessIdentity | undefined;
  await waitUntil(
    'containerd listens',
    async () => {
      init = childOf(unshare.identity.pid);
      return init !== undefined && existsSync(files.containerdSocket);
    },
    { deadlineMs: READY_DEADLINE_MS, needed: [unshare] },
  );
  if (!init || !isStillRunning(init)) throw new Error('containerd ended at once');
  return { init };
}

async function importSandbox(folder: string, files: NodeFiles, parts: NodeParts): Promise<void> {
  const waiter = { path: 'waiter', content: readFileSync(parts.waiter), mode: 0o755 };
  const archive = join(folder, 'sandbox.tar');
  const image = makeImage({ files: [waiter], command: ['/waiter'] });
  writeFileSync(archive, imageArchive(image, SANDBOX_IMAGE));
  const address = ['--address', files.containerdSocket, '--namespace', 'k8s.io'];
  // The socket is there before it is served.
  await waitUntil(
    'the image of sandboxes is imported',
    async () => {
      const child = spawn(parts.ctr, [...address, 'images', 'import', archive], { stdio: 'pipe' });
      const said = text(child.stderr);
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0) throw new Error(`ctr ended with ${String(code)}: ${await said}`);
      return true;
    },
    { deadlineMs: READY_DEADLINE_MS, everyMs: 200 },
  );
}

interface NodeObject {
  readonly spec: { readonly taints?: readonly unknown[] };
  readonly status: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastHeartbeatTime: string;
    }[];
  };
}

async function isReady({ admin }: ControlPlane, name: string): Promise<boolean> {
  const { status, body } = await admin<NodeObject>('GET', `/api/v1/nodes/${name}`);
  if (status !== 200 || (body.spec.taints ?? []).length > 0) return false;
  return (body.status.conditions ?? []).some((each) => each.type === 'Ready' && each.status === 'True');
}

/** When its kubelet last told how it is: seconds, 0 where it never did. */
async function heartbeatOf({ admin }: ControlPlane, name: string): Promise<number> {
  const { status, body } = await admin<NodeObject>('GET', `/api/v1/nodes/${name}`);
  if (status !== 200) return 0;
  const ready = (body.status.conditions ?? []).find(({ type }) => type === 'Ready');
  return Date.parse(ready?.lastHeartbeatTime ?? '') || 0;
}

async function answers(url: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { headersTimeout: 2_000 });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}

/** Nobody listens there. Who is slow to answer has not ended. */
async function isClosed(url: string): Promise<boolean> {
  try {
    const { body } = await request(url, { headersTimeout: 2_000 });
    await body.dump();
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
  }
}

async function runInContainer(url: string, command: readonly string[]): Promise<string> {
  // The kubelet's certificate is its own; nothing secret is sent to it.
  const dispatcher = new Agent({ allowH2: false, connect: { rejectUnauthorized: false } });
  try {
    const { statusCode, body } = await request(`${url}?cmd=${encodeURIComponent(command.join(' '))}`, {
      method: 'POST',
      dispatcher,
    });
    const answer = await body.text();
    if (statusCode !== 200)
      throw new Error(`${command.join(' ')} was answered with ${statusCode}: ${answer}`);
    return answer;
  } finally {
    await dispatcher.close();
  }
}
