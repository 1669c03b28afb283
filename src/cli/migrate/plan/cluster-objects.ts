// What a plan looks at in a cluster, with the user's rights and nothing but lists: namespaces, accounts, workloads, and the
// pods that no workload known here makes. No Secret is read.
import { fieldsOf, listOf, textOf } from '../../../core/fields.ts';
import { viewAccount, viewPod } from '../../../core/pod-view.ts';
import { pathTo } from '../../../cluster/kube-connection.ts';
import { unlessRefused } from '../../status/snapshot.ts';
import { expand, type Manifest } from '../../manifests.ts';
import { namespaceObject } from '../../user-choice.ts';
import type { UserCluster } from '../../../cluster/user-cluster.ts';

export interface ClusterObjects {
  readonly manifests: readonly Manifest[];
  /** What the user may not list, and so is not in the plan. */
  readonly notSeen: readonly string[];
}

const KINDS = [
  { kind: 'ServiceAccount', group: '/api/v1', plural: 'serviceaccounts' },
  { kind: 'ReplicationController', group: '/api/v1', plural: 'replicationcontrollers' },
  { kind: 'Deployment', group: '/apis/apps/v1', plural: 'deployments' },
  { kind: 'StatefulSet', group: '/apis/apps/v1', plural: 'statefulsets' },
  { kind: 'DaemonSet', group: '/apis/apps/v1', plural: 'daemonsets' },
  { kind: 'ReplicaSet', group: '/apis/apps/v1', plural: 'replicasets' },
  { kind: 'CronJob', group: '/apis/batch/v1', plural: 'cronjobs' },
  { kind: 'Job', group: '/apis/batch/v1', plural: 'jobs' },
] as const;
/** What a pod of theirs says, their template says. */
const OWNERS = new Set<string>(KINDS.map(({ kind }) => kind));

/** @param namespace undefined: all of them. @throws Problem if accounts cannot be listed: then nothing can be said */
export async function readClusterObjects(
  cluster: UserCluster,
  namespace: string | undefined,
): Promise<ClusterObjects> {
  const notSeen: string[] = [];
  const manifests: Manifest[] = [];
  const spaces = await unlessRefused('namespaces', notSeen, () =>
    namespace === undefined
      ? listAll(cluster, '/api/v1/namespaces')
      : namespaceObject(cluster, namespace).then((found) => [found]),
  );
  manifests.push(...(spaces ?? []).flatMap((raw) => manifestOf(raw, 'Namespace', 'v1')));
  for (const { kind, group, plural } of KINDS) {
    const path =
      namespace === undefined
        ? `${group}/${plural}`
        : `${group}${pathTo`/namespaces/${namespace}`}/${plural}`;
    const look = () => listAll(cluster, path);
    const found = kind === 'ServiceAccount' ? await look() : await unlessRefused(plural, notSeen, look);
    const apiVersion = group.replace(/^\/apis?\//, '');
    manifests.push(
      ...(found ?? []).flatMap((raw) => (isOwned(raw) ? [] : manifestOf(raw, kind, apiVersion))),
    );
  }
  const pods = await unlessRefused('pods', notSeen, () => cluster.pods(namespace));
  const bare = (pods ?? []).filter((raw) => !isOwned(raw) && !isOver(raw));
  manifests.push(
    ...withoutInherited(
      bare.flatMap((raw) => manifestOf(raw, 'Pod', 'v1')),
      manifests,
    ),
  );
  return { manifests, notSeen };
}

/** Every item of a collection. */
export async function listAll(cluster: UserCluster, path: string): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const page of cluster.pages(path)) items.push(...page.items);
  return items;
}

/** Items of a list name neither kind nor version. */
function manifestOf(raw: unknown, kind: string, apiVersion: string): Manifest[] {
  return expand({ apiVersion, kind, ...fieldsOf(raw) }, '');
}

function isOwned(raw: unknown): boolean {
  const owners = fieldsOf(fieldsOf(raw)['metadata'])['ownerReferences'];
  return listOf(owners).some(({ kind, controller }) => controller === true && OWNERS.has(textOf(kind)));
}

export function isOver(raw: unknown): boolean {
  return ['Succeeded', 'Failed'].includes(textOf(fieldsOf(fieldsOf(raw)['status'])['phase']));
}

/** What the API server copied from the account is the account's to give up. */
function withoutInherited(pods: readonly Manifest[], others: readonly Manifest[]): Manifest[] {
  const accounts = new Map(
    others
      .filter(({ kind }) => kind === 'ServiceAccount')
      .map(({ namespace, name, object }) => [`${namespace}/${name}`, viewAccount(object).pullSecrets]),
  );
  return pods.map((pod) => {
    const view = viewPod(pod.object);
    const inherited = accounts.get(`${pod.namespace}/${view.serviceAccount}`) ?? [];
    if (!inherited.every((name, at) => view.pullSecrets[at] === name)) return pod;
    const own = view.pullSecrets.slice(inherited.length).map((name) => ({ name }));
    const spec = { ...fieldsOf(pod.object['spec']), imagePullSecrets: own };
    return { ...pod, object: { ...pod.object, spec } };
  });
}
