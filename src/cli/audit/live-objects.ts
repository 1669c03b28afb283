// The objects of a running cluster, page by page, in the user's name. What the user may not list is named, not guessed.
import { isProblem } from '../../problem.ts';
import { fieldsOf } from '../../core/fields.ts';
import { API_GROUP, RECORD_API_VERSION, RECORD_KIND, RECORD_PLURAL } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { namespaceObject } from '../user-choice.ts';
import { PULL_SECRET_TYPES } from './secret-facts.ts';
import type { RawObject } from '../objects/json-objects.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';

export interface LiveWish {
  /** Undefined: all of them. */
  readonly namespace: string | undefined;
  readonly withSecrets: boolean;
  readonly onObjects: (seen: number, remaining: number) => void;
}

interface ListKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly query?: Readonly<Record<string, string>>;
}

const secretKinds: readonly ListKind[] = Object.keys(PULL_SECRET_TYPES).map((type) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  query: { fieldSelector: `type=${type}` },
}));

/** What pods are made of before the pods, so that one that is made meanwhile finds its owner. */
const kinds: readonly ListKind[] = [
  { apiVersion: RECORD_API_VERSION, kind: RECORD_KIND, plural: RECORD_PLURAL },
  { apiVersion: 'v1', kind: 'ServiceAccount', plural: 'serviceaccounts' },
  { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments' },
  { apiVersion: 'apps/v1', kind: 'StatefulSet', plural: 'statefulsets' },
  { apiVersion: 'apps/v1', kind: 'DaemonSet', plural: 'daemonsets' },
  { apiVersion: 'apps/v1', kind: 'ReplicaSet', plural: 'replicasets' },
  { apiVersion: 'v1', kind: 'ReplicationController', plural: 'replicationcontrollers' },
  { apiVersion: 'batch/v1', kind: 'CronJob', plural: 'cronjobs' },
  { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs' },
  { apiVersion: 'v1', kind: 'Pod', plural: 'pods' },
];

/** The verb `list` on each of these is all that an audit needs: tests hold the help and the API server to it. */
export const LISTED: readonly string[] = [
  ...new Set([
    'namespaces',
    ...secretKinds.map(({ plural }) => plural),
    ...kinds.map(({ plural }) => plural),
  ]),
];

/** @param notSeen is given the plurals that the user may not list. @throws Problem like a UserCluster's */
export async function* liveObjects(
  cluster: UserCluster,
  wish: LiveWish,
  notSeen: string[],
): AsyncGenerator<RawObject> {
  yield* namespaces();
  for (const kind of [...(wish.withSecrets ? secretKinds : []), ...kinds])
    yield* listed(kind, wish.namespace);

  async function* namespaces(): AsyncGenerator<RawObject> {
    const kind = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces' };
    if (wish.namespace === undefined) return yield* listed(kind, undefined);
    try {
      const found = await namespaceObject(cluster, wish.namespace);
      yield { apiVersion: kind.apiVersion, kind: kind.kind, ...fieldsOf(found) };
    } catch (error) {
      if (!isForbidden(error)) throw error;
      notSeen.push(kind.plural);
    }
  }

  async function* listed(
    { apiVersion, kind, plural, query }: ListKind,
    namespace: string | undefined,
  ): AsyncGenerator<RawObject> {
    const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const path =
      namespace === undefined
        ? `${group}/${plural}`
        : `${group}${pathTo`/namespaces/${namespace}`}/${plural}`;
    try {
      for await (const { items, remaining } of cluster.pages(path, query)) {
        wish.onObjects(items.length, remaining);
        for (const item of items) yield { apiVersion, kind, ...fieldsOf(item) };
      }
    } catch (error) {
      // Where keyless-pull is not installed there are no records of it.
      if (isProblem(error, 'cluster-missing') && apiVersion.startsWith(API_GROUP)) return;
      if (!isForbidden(error)) throw error;
      if (!notSeen.includes(plural)) notSeen.push(plural);
    }
  }
}

function isForbidden(error: unknown): boolean {
  return isProblem(error, 'cluster-refused') && error.details.upstream?.startsWith('403') === true;
}
