// What lives in a cluster by keyless-pull: records, the accounts and namespaces they are of, and the pods that could be
// meant by a rule. Lists only, with the user's rights.
import {
  injectionOf,
  viewAccount,
  viewNamespace,
  viewPod,
  type AccountView,
  type NamespaceView,
  type PodView,
} from '../../core/pod-view.ts';
import { unlessRefused } from '../status/snapshot.ts';
import { namespaceObject } from '../user-choice.ts';
import { isOver, listAll } from '../migrate/plan/cluster-objects.ts';
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';

export interface LiveNeeds {
  readonly records: readonly PullCredentialRecord[];
  /** Of namespaces that have opted in, and neither over nor being deleted. */
  readonly pods: readonly PodView[];
  account(namespace: string, name: string): AccountView | undefined;
  namespace(name: string): NamespaceView | undefined;
  /** What the user may not list: then new needs are not known. */
  readonly notSeen: readonly string[];
}

/** @param only one namespace; undefined: all. @throws Problem if records, accounts or namespaces cannot be listed */
export async function readLiveNeeds(cluster: UserCluster, only: string | undefined): Promise<LiveNeeds> {
  const notSeen: string[] = [];
  const within = only === undefined ? '' : `/namespaces/${encodeURIComponent(only)}`;
  const [records, rawAccounts, rawNamespaces, rawPods] = await Promise.all([
    cluster.records(only),
    listAll(cluster, `/api/v1${within}/serviceaccounts`),
    only === undefined
      ? listAll(cluster, '/api/v1/namespaces')
      : namespaceObject(cluster, only).then((found) => [found]),
    unlessRefused('pods', notSeen, () => cluster.pods(only)),
  ]);
  const namespaces = new Map(rawNamespaces.map(viewNamespace).map((one) => [one.name, one]));
  const accounts = new Map(
    rawAccounts.map(viewAccount).map((account) => [`${account.namespace}/${account.name}`, account]),
  );
  const isMeant = ({ namespace, isDeleting, isMirror }: PodView) =>
    injectionOf(namespaces.get(namespace)) === 'enabled' && !isDeleting && !isMirror;
  return {
    records: records.filter(({ isDeleting }) => !isDeleting),
    pods: (rawPods ?? [])
      .filter((raw) => !isOver(raw))
      .map((raw) => viewPod(raw))
      .filter(isMeant),
    account: (namespace, name) => accounts.get(`${namespace}/${name}`),
    namespace: (name) => namespaces.get(name),
    notSeen,
  };
}
