// Finds the real parts of a cluster and a registry on this machine, or builds them from pinned sources.
// `node tools/parts.ts [names…]` prepares them ahead of the tests and the demo and prints where they are; `--node` stands
// for what a node needs besides.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { BuildPlan, ProgressStream } from './build-part.ts';
import { buildPart, requiredVersion, whyGoCannotBuild } from './build-part.ts';
import { findChromium, installChromium, whyNoChromium } from './chromium.ts';
import { findOnPath, isExecutable } from './command-lines.ts';
import { installPackages, whyNoPackages } from './debian-package.ts';
import { whyNoNode } from './node-needs.ts';

/** What only a real node needs, and nobody's cluster waits for. */
const NODE_PART_NAMES = [
  'kubelet',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'crane',
  'waiter',
  'runc',
] as const;

/** Every part there is, in the order in which they are built. */
const PART_NAMES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
  'kubelet-matcher',
  'helm',
  'registry',
  'registry-2.8',
  'promtool',
  'chromium',
  ...NODE_PART_NAMES,
] as const;

export type PartName = (typeof PART_NAMES)[number];
/** All but those that are nobody's to build. */
type BuiltPart = Exclude<PartName, 'chromium' | 'runc'>;

/** The `code` of the error that says which parts are missing and why they cannot be built. */
export const PARTS_MISSING = 'PARTS_MISSING';

/**
 * The paths of the parts. Looks into the folder KUBEBUILDER_ASSETS (envtest's convention:
 * https://book.kubebuilder.io/reference/envtest), then into the cache, for kubectl also on PATH, and builds the rest
 * with Go into the cache, which takes minutes the first time and reports to `progress` (standard error when absent).
 * Chromium and runc are looked for on PATH, and installed where this is Debian and we are root. Throws an error with code
 * PARTS_MISSING where Go is missing or too old, or one of those two cannot be had.
 */
export async function findParts<Name extends PartName>(
  names: readonly Name[],
  { progress = process.stderr }: { progress?: ProgressStream | undefined } = {},
): Promise<Record<Name, string>> {
  const wanted = PART_NAMES.filter((name) => names.some((each) => each === name));
  const found = new Map(wanted.map((name) => [name, findReadyMade(name)]));
  const missing = wanted.filter((name) => found.get(name) === undefined);
  for (const name of missing) {
    const reason = isBuilt(name) ? whyGoCannotBuild(buildPlan(name).module) : whyNotInstalled(name);
    if (reason !== undefined) throw missingParts(isBuilt(name) ? missing.filter(isBuilt) : [name], reason);
  }
  for (const name of missing) {
    if (!isBuilt(name)) {
      found.set(name, await (name === 'chromium' ? installChromium(progress) : installRunc(progress)));
      continue;
    }
    found.set(name, cachedPath(name));
    await buildPart(buildPlan(name), cachedPath(name), progress);
  }
  // Every name was either found or built above.
  return Object.fromEntries(found) as Record<Name, string>;
}

function isBuilt(name: PartName): name is BuiltPart {
  return name !== 'chromium' && name !== 'runc';
}

function whyNotInstalled(name: 'chromium' | 'runc'): string | undefined {
  return name === 'chromium' ? whyNoChromium() : whyNoPackages('install runc, or put it on PATH');
}

async function installRunc(progress: ProgressStream): Promise<string> {
  progress.write('installing runc (a few seconds the first time) …\n');
  await installPackages('runc');
  const path = findOnPath('runc');
  if (path === undefined) throw new Error('apt-get installed runc, and it is not on PATH');
  return path;
}

const KUBERNETES = 'k8s.io/kubernetes';
const ETCD = 'go.etcd.io/etcd/server/v3';
const HELM = 'helm.sh/helm/v3';
const DISTRIBUTION = 'github.com/distribution/distribution/v3';
// The name under which 2.8 imports itself. It knows no modules: its go.mod here pins what it was written for, and puts
// an empty package in the place of rsc.io/letsencrypt, which is not published any more.
const DISTRIBUTION_2 = 'github.com/docker/distribution';
const PROMETHEUS = 'github.com/prometheus/prometheus';
const CONTAINERD = 'github.com/containerd/containerd/v2';
const GO_CONTAINERREGISTRY = 'github.com/google/go-containerregistry';

// Measured on two cores with empty caches, downloads included.
const FIRST_TIMES: Record<BuiltPart, string> = {
  etcd: 'about a minute',
  'kube-apiserver': 'about 5 minutes',
  'kube-controller-manager': 'about 2 minutes',
  'kube-scheduler': 'about 10 seconds',
  kubectl: 'about 40 seconds',
  'kubelet-matcher': 'a few seconds',
  helm: 'about a minute and a half',
  registry: 'about 2 minutes',
  'registry-2.8': 'about 30 seconds',
  promtool: 'about 3 minutes',
  kubelet: 'about 20 seconds after kube-apiserver',
  containerd: 'about 2 minutes',
  'containerd-shim-runc-v2': 'a few seconds',
  ctr: 'a few seconds',
  crane: 'about 10 seconds',
  waiter: 'a few seconds',
};

/** Each is wanted by tests that see to it themselves: nobody's cluster waits for it. */
const UNASKED: readonly PartName[] = ['promtool', 'chromium'];

function buildPlan(name: BuiltPart): BuildPlan {
  const firstTime = FIRST_TIMES[name];
  if (name === 'registry') {
    const version = requiredVersion('distribution', DISTRIBUTION);
    const goPackage = `${DISTRIBUTION}/cmd/registry`;
    return { name, version, module: 'distribution', goPackage, linkerFlags: '-s -w', firstTime };
  }
  if (name === 'registry-2.8') {
    const version = requiredVersion('distribution-2', DISTRIBUTION_2);
    const goPackage = `${DISTRIBUTION_2}/cmd/registry`;
    return { name, version, module: 'distribution-2', goPackage, linkerFlags: '-s -w', firstTime };
  }
  if (name === 'helm') {
    const version = requiredVersion(name, HELM);
    const linkerFlags = helmLinkerFlags(version);
    return { name, version, module: name, goPackage: `${HELM}/cmd/helm`, linkerFlags, firstTime };
  }
  if (name === 'promtool') {
    const version = requiredVersion('prometheus', PROMETHEUS);
    const goPackage = `${PROMETHEUS}/cmd/promtool`;
    // Without the discovery of every cloud, whose libraries are most of the program and none of what rules need.
    const tags = 'remove_all_sd';
    return { name, version, module: 'prometheus', goPackage, linkerFlags: '-s -w', tags, firstTime };
  }
  if (name === 'waiter') {
    const version = digestOf(join('node', name, 'main.go'));
    return { name, version, module: 'node', goPackage: `./${name}`, linkerFlags: '-s -w', firstTime };
  }
  if (name === 'containerd' || name === 'containerd-shim-runc-v2' || name === 'ctr' || name === 'crane') {
    const source = name === 'crane' ? GO_CONTAINERREGISTRY : CONTAINERD;
    const version = requiredVersion('node', source);
    const goPackage = `${source}/cmd/${name}`;
    return { name, version, module: 'node', goPackage, linkerFlags: '-s -w', firstTime };
  }
  const module = 'control-plane';
  const kubernetes = requiredVersion(module, KUBERNETES);
  // One set of flags for all, etcd too: Go then compiles what they share once.
  const linkerFlags = kubernetesLinkerFlags(kubernetes);
  if (name === 'kubelet-matcher') {
    const version = `${kubernetes}-${digestOf(join(module, name, 'main.go'))}`;
    return { name, version, module, goPackage: `./${name}`, linkerFlags, firstTime };
  }
  return name === 'etcd'
    ? { name, version: requiredVersion(module, ETCD), module, goPackage: ETCD, linkerFlags, firstTime }
    : { name, version: kubernetes, module, goPackage: `${KUBERNETES}/cmd/${name}`, linkerFlags, firstTime };
}

/** A program of our own has no version but its text. */
function digestOf(file: string): string {
  const text = readFileSync(join(import.meta.dirname, file));
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

// Unstamped, the server calls itself v0.0.0-master+$Format:%H$, which kubectl and helm cannot parse.
function kubernetesLinkerFlags(version: string): string {
  const [major, minor] = version.slice(1).split('.');
  const stamp = (field: string, value = '') => `-X k8s.io/component-base/version.${field}=${value}`;
  return ['-s -w', stamp('gitVersion', version), stamp('gitMajor', major), stamp('gitMinor', minor)].join(
    ' ',
  );
}

// Unstamped, it takes `helm template` without --kube-version for one of Kubernetes 1.20, and calls itself v3 of no commit.
function helmLinkerFlags(version: string): string {
  const [major, minor] = requiredVersion('control-plane', KUBERNETES).slice(1).split('.');
  const stamp = (field: string, value = '') => `-X ${HELM}/${field}=${value}`;
  return [
    '-s -w',
    stamp('internal/version.version', version),
    ...[
      ['Major', major],
      ['Minor', minor],
    ].flatMap(([field, value]) => [
      stamp(`pkg/lint/rules.k8sVersion${field}`, value),
      stamp(`pkg/chartutil.k8sVersion${field}`, value),
    ]),
  ].join(' ');
}

function findReadyMade(name: PartName): string | undefined {
  if (name === 'chromium') return findChromium();
  if (name === 'runc') return findOnPath('runc');
  const assets = process.env['KUBEBUILDER_ASSETS'];
  const candidates = [...(assets ? [join(assets, name)] : []), cachedPath(name)];
  return candidates.find(isExecutable) ?? (name === 'kubectl' ? findKubectlOnPath() : undefined);
}

// Some machines have a kubectl that is only a stub asking to be installed.
function findKubectlOnPath(): string | undefined {
  const path = findOnPath('kubectl');
  if (path === undefined) return undefined;
  const answer = spawnSync(path, ['version', '--client'], { stdio: 'ignore', timeout: 10_000 });
  return answer.status === 0 ? path : undefined;
}

function cacheFolder(): string {
  const ownCache = process.env['KEYLESS_PULL_CACHE'];
  const userCache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(ownCache || join(userCache, 'keyless-pull'), 'parts');
}

function cachedPath(name: BuiltPart): string {
  const { version } = buildPlan(name);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  return join(cacheFolder(), `${name}-${version}-${process.platform}-${architecture}`, name);
}

function missingParts(names: readonly PartName[], reason: string): Error {
  const packaged = names.find((name) => !isBuilt(name));
  if (packaged !== undefined)
    return Object.assign(new Error(`Missing ${packaged}: not on PATH, and ${reason}.`), {
      code: PARTS_MISSING,
    });
  const assets = process.env['KUBEBUILDER_ASSETS'];
  const sentence =
    `Missing ${names.join(', ')}: not in KUBEBUILDER_ASSETS (${assets || 'not set'}), ` +
    `not in the cache (${cacheFolder()}), and ${reason}; install Go from https://go.dev/dl and run ` +
    '`node tools/parts.ts` again, or let KUBEBUILDER_ASSETS name a folder that holds these programs.';
  return Object.assign(new Error(sentence), { code: PARTS_MISSING });
}

async function main(words: readonly string[]): Promise<void> {
  const names = words.filter((word) => word !== '--node');
  const withNode = names.length < words.length;
  const whyNot = withNode ? whyNoNode() : undefined;
  if (whyNot !== undefined) {
    console.error(whyNot);
    process.exitCode = 2;
    return;
  }
  const unknown = names.filter((name) => !PART_NAMES.some((each) => each === name));
  if (unknown.length > 0) {
    console.error(`Unknown part ${unknown.join(', ')}; there are ${PART_NAMES.join(', ')}.`);
    process.exitCode = 2;
    return;
  }
  const isNodes = (name: PartName) => NODE_PART_NAMES.some((each) => each === name);
  const isWanted = (name: PartName) =>
    names.length === 0 ? !UNASKED.includes(name) && !isNodes(name) : names.includes(name);
  const wanted = PART_NAMES.filter((name) => isWanted(name) || (withNode && isNodes(name)));
  try {
    const paths = await findParts(wanted);
    const width = Math.max(...wanted.map((name) => name.length));
    for (const name of wanted) console.log(`${name.padEnd(width)}  ${paths[name]}`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = error instanceof Error && 'code' in error && error.code === PARTS_MISSING ? 2 : 1;
  }
}

if (import.meta.main) await main(process.argv.slice(2));
