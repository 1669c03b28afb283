// What commands that talk to a cluster share: kubectl's flags as they arrive, the cluster they open, and its bounds.
import { systemClock, type Clock } from '../clock.ts';
import { openUserCluster, type UserCluster } from '../cluster/user-cluster.ts';
import { readEnvironment } from '../config.ts';
import { Problem } from '../problem.ts';
import type { CommandIo, OutputForm } from './output.ts';

export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly as?: string;
  readonly output: OutputForm;
  readonly color: boolean;
}

/** For tests. */
export interface ReplacedTools {
  readonly cluster?: UserCluster;
  readonly clock?: Clock;
}

export interface ClusterTools extends AsyncDisposable {
  readonly cluster: UserCluster;
  readonly clock: Clock;
}

/** @throws Problem config-invalid or file-unreadable */
export async function openTools(
  options: ClusterOptions,
  io: CommandIo,
  { cluster, clock = systemClock }: ReplacedTools,
): Promise<ClusterTools> {
  const opened =
    cluster ??
    (await openUserCluster(
      { ...options, usual: readEnvironment().kubeconfig },
      { clock, signal: io.signal },
    ));
  return { cluster: opened, clock, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

/** The namespace that is meant; undefined: all of them. @throws Problem usage for both flags at once */
export function namespaceOf(
  options: { readonly namespace?: string; readonly allNamespaces?: boolean },
  cluster: UserCluster,
): string | undefined {
  if (options.allNamespaces && options.namespace !== undefined)
    throw new Problem('usage', 'either --namespace or --all-namespaces');
  return options.allNamespaces ? undefined : cluster.namespace;
}

/** One namespace as it is. @throws Problem cluster-missing: that nothing is found in a misspelt one says nothing */
export async function namespaceObject(cluster: UserCluster, name: string): Promise<unknown> {
  const found = await cluster.find('/api/v1/namespaces', name);
  if (found !== undefined) return found;
  throw new Problem('cluster-missing', `there is no namespace ${JSON.stringify(name)}`);
}

/** Kubernetes' own names: what is none is no part of a path and no word of a cure. */
const POD_NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** `pod NAME`, or `pod/NAME` as kubectl prints it. @throws Problem usage */
export function podNameOf([kind = '', name = '', ...more]: readonly string[]): string {
  const [, ofKind, inOne = ''] = /^(pods?|po)(?:\/(.*))?$/.exec(kind) ?? [];
  const named = inOne || name;
  if (ofKind === undefined || more.length > 0 || (inOne !== '' && name !== '') || !POD_NAME.test(named))
    throw new Problem('usage', 'say which pod: pod NAME');
  return named;
}
