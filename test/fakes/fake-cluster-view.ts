// What one client's watches have seen. Changes come through a queue, in order and a moment later, which a test can
// hold back; the client's own writes are put in at once, as src/cluster/watch.ts does.
import type { Clock } from '../../src/clock.ts';
import type { ClusterChange, ClusterView } from '../../src/cluster/cluster.ts';
import { fieldsOf } from '../../src/core/fields.ts';
import { viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import type { AccountView, NamespaceView, PodView } from '../../src/core/pod-view.ts';
import { viewRecord, type PullCredentialRecord } from '../../src/core/pull-credential-record.ts';
import { MANAGED_LABEL } from '../../src/core/vocabulary.ts';
import { keyOf, type FakeStore, type StoreChange, type StoredObject } from './fake-cluster-store.ts';

export interface FakeView extends ClusterView {
  /** What a write of this client answered. */
  putRecord(record: PullCredentialRecord): void;
  /** From now on changes wait in the queue. */
  hold(): void;
  /** Lets all that waits through, in order, before it returns. */
  release(): void;
  /** Lists everything anew, as after a lost place: what is gone is told as gone. The first call makes the view synced. */
  relist(): void;
}

type ViewKind = ClusterChange['kind'];
type Viewed = ClusterChange['object'];

const WATCHES: Readonly<Record<ViewKind, string>> = {
  namespace: 'namespaces',
  account: 'serviceaccounts',
  record: 'pullcredentials',
  pod: 'pending-pods',
};

export interface FakeViewOptions {
  readonly clock: Clock;
  /** How long after the change the watch tells it; 0: within the same turn of the event loop, but never in the same step. */
  readonly lagMs: number;
  readonly pods: boolean;
  /** True once the client is dead: it sees nothing any more. */
  readonly isStopped: () => boolean;
}

export function createFakeView(
  store: FakeStore,
  { clock, lagMs, pods, isStopped }: FakeViewOptions,
): FakeView {
  const kinds: readonly ViewKind[] = ['namespace', 'account', 'record', ...(pods ? (['pod'] as const) : [])];
  const known = new Map(kinds.map((kind) => [kind, new Map<string, { object: Viewed; version: bigint }>()]));
  /** Keys of records, as src/cluster/kube-view.ts has them. */
  const byAccount = new Map<string, Set<string>>();
  const listeners = new Set<(change: ClusterChange) => void>();
  const queue: { readonly change: StoreChange; readonly dueAt: number }[] = [];
  let isHeld = false;
  let isSynced = false;
  let seenUpTo = 0n;

  const entriesOf = (kind: ViewKind) =>
    known.get(kind) ?? new Map<string, { object: Viewed; version: bigint }>();

  function keysOf({ namespace, account: name }: PullCredentialRecord): Set<string> {
    const key = keyOf({ namespace, name });
    const keys = byAccount.get(key) ?? new Set();
    byAccount.set(key, keys);
    return keys;
  }

  function tell(kind: ViewKind, object: Viewed, gone: boolean): void {
    // Kind and object always come from the same line of viewOf.
    for (const listener of listeners) listener({ kind, object, gone } as ClusterChange);
  }

  function set(kind: ViewKind, key: string, object: Viewed, version: bigint): void {
    const before = entriesOf(kind).get(key);
    if (before && before.version >= version) return;
    entriesOf(kind).set(key, { object, version });
    if (kind === 'record') keysOf(object as PullCredentialRecord).add(key);
    tell(kind, object, false);
  }

  function drop(kind: ViewKind, key: string, version: bigint): void {
    const before = entriesOf(kind).get(key);
    if (!before || before.version > version) return;
    entriesOf(kind).delete(key);
    if (kind === 'record') keysOf(before.object as PullCredentialRecord).delete(key);
    tell(kind, before.object, true);
  }

  function take({ kind, object, gone }: StoreChange): void {
    const version = BigInt(object.metadata.resourceVersion);
    seenUpTo = version;
    const view = viewOf(kind, object);
    if (!view || !known.has(view.kind)) return;
    if (gone || !matches(view.kind, object)) drop(view.kind, keyOf(object.metadata), version);
    else set(view.kind, keyOf(object.metadata), view.object, version);
  }

  function flush(until: number): void {
    for (let [next] = queue; next && next.dueAt <= until && !isStopped(); [next] = queue) {
      queue.shift();
      take(next.change);
    }
  }

  async function flushSoon(): Promise<void> {
    if (lagMs > 0) await clock.sleep(lagMs);
    else await Promise.resolve();
    if (!isHeld) flush(clock.now());
  }

  store.subscribe((change) => {
    if (!isSynced || isStopped()) return;
    queue.push({ change, dueAt: clock.now() + lagMs });
    if (!isHeld) void flushSoon();
  });

  // The casts say which kind's map this is; set() put nothing else there.
  const find = (kind: ViewKind, namespace: string, name: string) =>
    entriesOf(kind).get(keyOf({ namespace, name }))?.object;
  function* all(kind: ViewKind) {
    for (const { object } of entriesOf(kind).values()) yield object;
  }

  return {
    namespace: (name) => find('namespace', '', name) as NamespaceView | undefined,
    namespaces: () => all('namespace') as Iterable<NamespaceView>,
    account: (namespace, name) => find('account', namespace, name) as AccountView | undefined,
    accounts: () => all('account') as Iterable<AccountView>,
    record: (namespace, name) => find('record', namespace, name) as PullCredentialRecord | undefined,
    recordsOf: (namespace, account) =>
      [...(byAccount.get(keyOf({ namespace, name: account })) ?? [])].flatMap(
        (key) => (entriesOf('record').get(key)?.object as PullCredentialRecord | undefined) ?? [],
      ),
    records: () => all('record') as Iterable<PullCredentialRecord>,
    pods: () => all('pod') as Iterable<PodView>,
    unsynced: () => (isSynced ? [] : kinds.map((kind) => WATCHES[kind])),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    putRecord(record) {
      const version = BigInt(record.resourceVersion);
      // The watch is past this version already: if it does not know the record, the record is gone.
      if (version <= seenUpTo && !entriesOf('record').has(keyOf(record))) return;
      set('record', keyOf(record), record, version);
    },
    hold: () => {
      isHeld = true;
    },
    release: () => {
      isHeld = false;
      flush(Infinity);
    },
    relist() {
      if (isStopped()) return;
      queue.length = 0;
      isSynced = true;
      seenUpTo = BigInt(store.version());
      for (const kind of kinds) {
        const present = store.list(kind).filter((object) => matches(kind, object));
        const keys = new Set(present.map(({ metadata }) => keyOf(metadata)));
        for (const object of present) take({ kind, object, gone: false });
        for (const key of [...entriesOf(kind).keys()])
          if (!keys.has(key)) drop(kind, key, BigInt(store.version()));
      }
      seenUpTo = BigInt(store.version());
    },
  };
}

function viewOf(
  kind: StoreChange['kind'],
  object: StoredObject,
): { kind: ViewKind; object: Viewed } | undefined {
  switch (kind) {
    case 'namespace':
      return { kind, object: viewNamespace(object) };
    case 'account':
      return { kind, object: viewAccount(object) };
    case 'record':
      return { kind, object: viewRecord(object) };
    case 'pod':
      return { kind, object: viewPod(object) };
    case 'secret':
    case 'lease':
    case 'event':
      return undefined;
  }
}

/** Pods are watched while they are pending or carry our label. */
function matches(kind: ViewKind, object: StoredObject): boolean {
  const isPending = fieldsOf(object['status'])['phase'] === 'Pending';
  return kind !== 'pod' || isPending || object.metadata.labels?.[MANAGED_LABEL] === 'true';
}
