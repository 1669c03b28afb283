// Finds the real parts of a cluster and a registry on this machine, or builds them from pinned sources.
// `node tools/parts.ts [names…]` prepares them ahead of the tests and the demo and prints where they are.
import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { BuildPlan, ProgressStream } from './build-part.ts';
import { buildPart, requiredVersion, whyGoCannotBuild } from './build-part.ts';
import { findOnPath, isExecutable } from './command-lines.ts';

/** Every part there is, in the order in which they are built. */
export const PART_NAMES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
  'registry',
] as const;

export type PartName = (typeof PART_NAMES)[number];

/** The `code` of the error that says which parts are missing and why they cannot be built. */
export const PARTS_MISSING = 'PARTS_MISSING';

/**
 * The paths of the parts. Looks into the folder KUBEBUILDER_ASSETS (envtest's convention:
 * https://book.kubebuilder.io/reference/envtest), then into the cache, for kubectl also on PATH, and builds the rest
 * with Go into the cache, which takes minutes the first time and reports to `progress` (standard error when absent).
 * Throws an error with code PARTS_MISSING where Go is missing or too old.
 */
export async function findParts<Name extends PartName>(
  names: readonly Name[],
  { progress = process.stderr }: { progress?: ProgressStream | undefined } = {},
): Promise<Record<Name, string>> {
  const wanted = PART_NAMES.filter((name) => names.some((each) => each === name));
  const found = new Map(wanted.map((name) => [name, findReadyMade(name)]));
  const missing = wanted.filter((name) => found.get(name) === undefined);
  for (const name of missing) {
    const reason = whyGoCannotBuild(buildPlan(name).module);
    if (reason !== undefined) throw missingParts(missing, reason);
  }
  for (const name of missing) {
    found.set(name, cachedPath(name));
    await buildPart(buildPlan(name), cachedPath(name), progress);
  }
  // Every name was either found or built above.
  return Object.fromEntries(found) as Record<Name, string>;
}

const KUBERNETES = 'k8s.io/kubernetes';
const ETCD = 'go.etcd.io/etcd/server/v3';
const DISTRIBUTION = 'github.com/distribution/distribution/v3';

// Measured on two cores with empty caches, downloads included.
const FIRST_TIMES: Record<PartName, string> = {
  etcd: 'about a minute',
  'kube-apiserver': 'about 5 minutes',
  'kube-controller-manager': 'about 2 minutes',
  'kube-scheduler': 'about 10 seconds',
  kubectl: 'about 40 seconds',
  registry: 'about 2 minutes',
};

function buildPlan(name: PartName): BuildPlan {
  const firstTime = FIRST_TIMES[name];
  if (name === 'registry') {
    const version = requiredVersion('distribution', DISTRIBUTION);
    const goPackage = `${DISTRIBUTION}/cmd/registry`;
    return { name, version, module: 'distribution', goPackage, linkerFlags: '-s -w', firstTime };
  }
  const module = 'control-plane';
  const kubernetes = requiredVersion(module, KUBERNETES);
  // One set of flags for all, etcd too: Go then compiles what they share once.
  const linkerFlags = kubernetesLinkerFlags(kubernetes);
  return name === 'etcd'
    ? { name, version: requiredVersion(module, ETCD), module, goPackage: ETCD, linkerFlags, firstTime }
    : { name, version: kubernetes, module, goPackage: `${KUBERNETES}/cmd/${name}`, linkerFlags, firstTime };
}

// Unstamped, the server calls itself v0.0.0-master+$Format:%H$, which kubectl and helm cannot parse.
function kubernetesLinkerFlags(version: string): string {
  const [major, minor] = version.slice(1).split('.');
  const stamp = (field: string, value = '') => `-X k8s.io/component-base/version.${field}=${value}`;
  return ['-s -w', stamp('gitVersion', version), stamp('gitMajor', major), stamp('gitMinor', minor)].join(
    ' ',
  );
}

function findReadyMade(name: PartName): string | undefined {
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

function cachedPath(name: PartName): string {
  const { version } = buildPlan(name);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  return join(cacheFolder(), `${name}-${version}-${process.platform}-${architecture}`, name);
}

function missingParts(names: readonly PartName[], reason: string): Error {
  const assets = process.env['KUBEBUILDER_ASSETS'];
  const sentence =
    `Missing ${names.join(', ')}: not in KUBEBUILDER_ASSETS (${assets || 'not set'}), ` +
    `not in the cache (${cacheFolder()}), and ${reason}; install Go from https://go.dev/dl and run ` +
    '`node tools/parts.ts` again, or let KUBEBUILDER_ASSETS name a folder that holds these programs.';
  return Object.assign(new Error(sentence), { code: PARTS_MISSING });
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !PART_NAMES.some((each) => each === name));
  if (unknown.length > 0) {
    console.error(`Unknown part ${unknown.join(', ')}; there are ${PART_NAMES.join(', ')}.`);
    process.exitCode = 2;
    return;
  }
  const wanted = PART_NAMES.filter((name) => names.length === 0 || names.includes(name));
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
