// The watches of one process, put together as a view: namespaces, accounts, records, and for a worker its pods.
import { API_GROUP, MANAGED_LABEL, RECORD_PLURAL } from '../core/vocabulary.ts';
import {
  viewAccount,
  viewNamespace,
  viewPod,
  type AccountView,
  type NamespaceView,
  type PodView,
} from '../core/pod-view.ts';
import { viewRecord, type PullCredentialRecord } from '../core/pull-credential-record.ts';
import { createWatch, type Watch, type WatchTools } from './watch.ts';
import type { ClusterChange, ClusterView } from './cluster.ts';

export interface KubeView extends ClusterView {
  /** What a write of ours answered. */
  putRecord(record: PullCredentialRecord): void;
  /** Seconds since the API server was last heard, by watch. */
  silences(): ReadonlyMap<string, number>;
  /** Runs all watches until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

const keyOf = (object: { readonly namespace: string; readonly name: string }) =>
  `${object.namespace}/${object.name}`;

export function createKubeView(
  wants: { readonly pods: boolean },
  tools: Omit<WatchTools<unknown>, 'onChange'>,
): KubeView {
  const listeners = new Set<(change: ClusterChange) => void>();
  const tell = (change: ClusterChange) => {
    for (const listener of listeners) listener(change);
  };
  const byAccount = new Map<string, readonly string[]>();

  const namespaces = createWatch<NamespaceView>(
    { name: 'namespaces', path: '/api/v1/namespaces', view: viewNamespace, keyOf: ({ name }) => name },
    { ...tools, onChange: (object, gone) => tell({ kind: 'namespace', gone, object }) },
  );
  const accounts = createWatch<AccountView>(
    { name: 'serviceaccounts', path: '/api/v1/serviceaccounts', view: viewAccount, keyOf },
    { ...tools, onChange: (object, gone) => tell({ kind: 'account', gone, object }) },
  );
  const records = createWatch<PullCredentialRecord>(
    { name: RECORD_PLURAL, path: `/apis/${API_GROUP}/v1alpha1/${RECORD_PLURAL}`, view: viewRecord, keyOf },
    {
      ...tools,
      onChange: (object, gone) => {
        index(byAccount, `${object.namespace}/${object.account}`, keyOf(object), gone);
        tell({ kind: 'record', gone, object });
      },
    },
  );
  // Two watches, because a tenant may take our label off a pod that is still gated.
  const podTools = (other: () => Watch<PodView>) => ({
    ...tools,
    onChange: (object: PodView, gone: boolean) => {
      if (!gone || !other().get(keyOf(object))) tell({ kind: 'pod', gone, object });
    },
  });
  const pendingPods = createWatch<PodView>(
    {
      name: 'pending-pods',
      path: '/api/v1/pods',
      selector: { fieldSelector: 'status.phase=Pending' },
      view: viewWatchedPod,
      keyOf,
    },
    podTools(() => managedPods),
  );
  const managedPods: Watch<PodView> = createWatch<PodView>(
    {
      name: 'managed-pods',
      path: '/api/v1/pods',
      selector: { labelSelector: `${MANAGED_LABEL}=true` },
      view: viewWatchedPod,
      keyOf,
    },
    podTools(() => pendingPods),
  );
  const podWatches = wants.pods ? { 'pending-pods': pendingPods, 'managed-pods': managedPods } : {};
  const watches = { namespaces, serviceaccounts: accounts, [RECORD_PLURAL]: records, ...podWatches };

  return {
    namespace: (name) => namespaces.get(name),
    namespaces: () => namespaces.values(),
    account: (namespace, name) => accounts.get(`${namespace}/${name}`),
    accounts: () => accounts.values(),
    record: (namespace, name) => records.get(`${namespace}/${name}`),
    recordsOf: (namespace, account) =>
      (byAccount.get(`${namespace}/${account}`) ?? []).flatMap((key) => records.get(key) ?? []),
    records: () => records.values(),
    *pods() {
      yield* pendingPods.values();
      for (const pod of managedPods.values()) if (!pendingPods.get(keyOf(pod))) yield pod;
    },
    unsynced: () => Object.entries(watches).flatMap(([name, watch]) => (watch.isSynced() ? [] : [name])),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    silences: () => new Map(Object.entries(watches).map(([name, watch]) => [name, watch.silentMs() / 1000])),
    putRecord: (record) => records.put(record, record.resourceVersion),
    async run(signal) {
      await Promise.all(Object.values(watches).map((watch) => watch.run(signal)));
    },
  };
}

/** What others note on a pod may be a quarter of a megabyte, and a tenant may have thousands of them: what is ours is kept. */
function viewWatchedPod(raw: unknown): PodView {
  const pod = viewPod(raw);
  return { ...pod, labels: oursIn(pod.labels), annotations: oursIn(pod.annotations) };
}

function oursIn(texts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(texts).filter(([key]) => key.startsWith(`${API_GROUP}/`)));
}

/** Lists, because most have one key, and ten thousand sets of one take a megabyte or two more. */
function index(map: Map<string, readonly string[]>, owner: string, key: string, gone: boolean): void {
  const known = map.get(owner) ?? [];
  const others = known.filter((other) => other !== key);
  const keys = gone ? others : known.includes(key) ? known : [...known, key];
  if (keys.length > 0) map.set(owner, keys);
  else map.delete(owner);
}
