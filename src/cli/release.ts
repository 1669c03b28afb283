// keyless-pull release: takes our gate off pods by hand, with the user's rights, for the day when no worker does it.
import { isProblem, Problem } from '../problem.ts';
import { isGated, viewPod, type PodView } from '../core/pod-view.ts';
import { alignColumns, writeResult, type CommandIo, type ExitCode } from './output.ts';
import { printable } from './printable.ts';
import { namespaceOf, openTools, podNameOf, type ClusterOptions, type ReplacedTools } from './user-choice.ts';
import type { UserCluster } from '../cluster/user-cluster.ts';

export interface ReleaseOptions extends ClusterOptions {
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

interface Release {
  readonly namespace: string;
  readonly pod: string;
  /** `gone`: somebody was faster, or the pod is another by now. `refused`: see `problem`. */
  readonly outcome: 'released' | 'would be released' | 'not held' | 'gone' | 'refused';
  readonly problem?: string;
}

/** More would only wait inside for one another. */
const AT_ONCE = 8;

/** @param words `pod NAME`, or none with `--all`. @param replaced for tests */
export async function release(
  words: readonly string[],
  options: ReleaseOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const name = readWish(words, options);
  await using tools = await openTools(options, io, replaced);
  const { cluster } = tools;
  const pods = name === undefined ? await allHeld(cluster, options) : [await onePod(cluster, name)];
  const releases = await releaseAll(cluster, pods, options.dryRun === true);
  const ok = releases.every(({ outcome }) => outcome !== 'refused');
  writeResult(io, options.output, { pods: releases, ok }, () => tableOf(releases));
  return ok ? 0 : 2;
}

/** The one pod's name; undefined: all. */
function readWish(words: readonly string[], options: ReleaseOptions): string | undefined {
  if (options.all && words.length > 0) throw new Problem('usage', 'either one pod or --all');
  if (!options.all && options.allNamespaces) throw new Problem('usage', '--all-namespaces goes with --all');
  if (!options.all) return podNameOf(words);
  if (!options.yes && !options.dryRun) {
    throw new Problem(
      'usage',
      'released pods start without their credentials: --dry-run shows which these are, --yes releases them',
    );
  }
  return undefined;
}

async function onePod(cluster: UserCluster, name: string): Promise<PodView> {
  const found = await cluster.findPod(cluster.namespace, name);
  if (found !== undefined) return viewPod(found, cluster.namespace);
  throw new Problem('cluster-missing', `there is no pod ${cluster.namespace}/${name}`);
}

async function allHeld(cluster: UserCluster, options: ReleaseOptions): Promise<PodView[]> {
  const pods = await cluster.pods(namespaceOf(options, cluster), { fieldSelector: 'status.phase=Pending' });
  return pods.map((pod) => viewPod(pod)).filter((pod) => isGated(pod) && !pod.isDeleting);
}

async function releaseAll(
  cluster: UserCluster,
  pods: readonly PodView[],
  isDryRun: boolean,
): Promise<Release[]> {
  const releases: Release[] = [];
  const next = pods.entries();
  const work = async () => {
    for (const [at, pod] of next) releases[at] = await releaseOne(cluster, pod, isDryRun);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return releases;
}

/** One pod's refusal keeps no other from going. An API server that is away ends it all. */
async function releaseOne(cluster: UserCluster, pod: PodView, isDryRun: boolean): Promise<Release> {
  const named = { namespace: pod.namespace, pod: pod.name };
  if (!isGated(pod)) return { ...named, outcome: 'not held' };
  if (isDryRun) return { ...named, outcome: 'would be released' };
  try {
    return { ...named, outcome: await cluster.releaseGate(pod) };
  } catch (error) {
    if (!isProblem(error, 'cluster-refused', 'namespace-refused')) throw error;
    return { ...named, outcome: 'refused', problem: `${error.message} (${error.code})` };
  }
}

function tableOf(releases: readonly Release[]): string {
  const rows = releases.map(({ namespace, pod, outcome, problem = '' }) =>
    [`${namespace}/${pod}`, outcome, problem].map(printable),
  );
  const count = (outcome: Release['outcome']) => releases.filter((one) => one.outcome === outcome).length;
  const told = (['released', 'would be released', 'not held', 'gone', 'refused'] as const)
    .filter((outcome) => count(outcome) > 0)
    .map((outcome) => `${count(outcome)} ${outcome}`);
  return `${alignColumns(rows)}${told.join(', ') || 'no pod is held'}\n`;
}
