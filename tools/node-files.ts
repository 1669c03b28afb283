// The files and flags with which containerd and a kubelet start in a folder of their own, beside whatever else runs on the
// machine: nothing of theirs is written outside of it.
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** The image of every pod's sandbox: imported, pulled by nobody. */
export const SANDBOX_IMAGE = 'sandbox.keyless-pull.test/waiter:1';

/** Paths in the run folder of a node. */
export interface NodeFiles {
  readonly containerdConfig: string;
  readonly containerdSocket: string;
  readonly kubeletConfig: string;
  readonly kubeletRoot: string;
  /** `<host>/hosts.toml` in it says how a registry is reached; containerd reads it at each pull. */
  readonly registriesFolder: string;
}

/** Writes all but the kubelet's config. */
export function writeNodeFiles(folder: string): NodeFiles {
  const files = {
    containerdConfig: join(folder, 'containerd.toml'),
    containerdSocket: join(folder, 'containerd', 'containerd.sock'),
    kubeletConfig: join(folder, 'kubelet.yaml'),
    kubeletRoot: join(folder, 'kubelet'),
    registriesFolder: join(folder, 'registries'),
  };
  for (const name of ['containerd', 'registries', 'cni', 'cni-programs', 'kubelet'])
    mkdirSync(join(folder, name));
  writeFileSync(files.containerdConfig, containerdConfig(folder, files));
  writeFileSync(join(folder, 'cni', '10-none.conflist'), NO_NETWORK);
  return files;
}

/** Has containerd trust `certificateAuthorityFile` for a registry ("127.0.0.1:5000") and the token server it names. */
export function writeRegistryTrust(files: NodeFiles, host: string, certificateAuthorityFile: string): void {
  mkdirSync(join(files.registriesFolder, host), { recursive: true });
  // https://github.com/containerd/containerd/blob/main/docs/hosts.md
  const lines = [`server = "https://${host}"`, `ca = "${certificateAuthorityFile}"`, ''];
  writeFileSync(join(files.registriesFolder, host, 'hosts.toml'), lines.join('\n'));
}

// With any network configured the node becomes Ready. Pods of the host's network never ask for it, others would fail.
const NO_NETWORK = JSON.stringify({ cniVersion: '1.0.0', name: 'none', plugins: [{ type: 'none' }] });

const OVERLAY_FILE_SYSTEM = 0x794c7630;

// https://github.com/containerd/containerd/blob/main/docs/cri/config.md
function containerdConfig(folder: string, files: NodeFiles): string {
  // One overlay cannot lie on another: in a container the temporary folder is one.
  const snapshotter = statfsSync(folder).type === OVERLAY_FILE_SYSTEM ? 'native' : 'overlayfs';
  return `\
version = 3
root = "${folder}/containerd/root"
state = "${folder}/containerd/state"
[grpc]
  address = "${files.containerdSocket}"
[plugins.'io.containerd.internal.v1.opt']
  path = "${folder}/containerd/opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "${snapshotter}"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "${SANDBOX_IMAGE}"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "${files.registriesFolder}"
[plugins.'io.containerd.cri.v1.runtime']
  # Where CAP_SYS_RESOURCE is lacking, every sandbox would die with "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["${folder}/cni-programs"]
    conf_dir = "${folder}/cni"
`;
}

/** https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/; `settings` replace what is here. */
export function kubeletConfig(
  folder: string,
  files: NodeFiles,
  ports: { readonly port: number; readonly healthzPort: number },
  settings: Readonly<Record<string, unknown>>,
): string {
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    ...ports,
    readOnlyPort: 0,
    containerRuntimeEndpoint: `unix://${files.containerdSocket}`,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    // Out of the machine's own cgroups, packet filter and swap.
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    localStorageCapacityIsolation: false,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    resolvConf: '',
    podLogsDir: join(folder, 'pod-logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    // The machine is not this node's to keep tidy.
    evictionHard: {
      'imagefs.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'memory.available': '1Mi',
    },
    imageGCHighThresholdPercent: 100,
    // Its own limit of 5 pulls a second would show as ErrImagePull, and be nobody's fault.
    registryPullQPS: 0,
    serializeImagePulls: false,
    maxParallelImagePulls: 10,
    eventRecordQPS: 0,
    // With its 50 calls a second a crowd's calls wait for one another, and a second try for a Secret comes after all of them.
    kubeAPIQPS: 500,
    kubeAPIBurst: 1000,
    shutdownGracePeriod: '0s',
    ...settings,
  });
}
