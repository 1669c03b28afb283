// What the people of a fake cluster do and see: users, controllers, kubelets. They meet neither fences nor hooks.
import type { JWTPayload } from 'jose';
import type { ClusterEvent } from '../../src/cluster/cluster.ts';
import { viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import type { AccountView, NamespaceView, PodView } from '../../src/core/pod-view.ts';
import { viewRecord, type PullCredentialRecord } from '../../src/core/pull-credential-record.ts';
import { isGated } from '../../src/core/pod-view.ts';
import type { Clock } from '../../src/clock.ts';
import {
  TEST_AUDIENCE,
  accountManifest,
  namespaceManifest,
  podManifest,
  type AccountWish,
  type NamespaceWish,
  type PodWish,
} from './builders.ts';
import {
  keyOf,
  timestamp,
  type FakeKind,
  type FakeStore,
  type NewObject,
  type StoredObject,
} from './fake-cluster-store.ts';
import type { FakeTokens } from './fake-cluster-tokens.ts';

/** A docker config as a kubelet reads it. */
export interface DockerConfig {
  readonly auths: Readonly<
    Record<string, { readonly username: string; readonly password: string; readonly auth: string }>
  >;
}

export interface FakeHands {
  /** Opted in (`enabled`) unless its labels say otherwise. No account is made in it. */
  addNamespace(name: string, wish?: NamespaceWish): NamespaceView;
  /** Replaces all labels. */
  labelNamespace(name: string, labels: Readonly<Record<string, string>>): NamespaceView;
  /** Terminating: nothing may be created in it any more. */
  terminateNamespace(name: string): NamespaceView;
  /** The namespace and all that is in it. */
  deleteNamespace(name: string): void;
  addAccount(namespace: string, name: string, wish?: AccountWish): AccountView;
  /** Replaces all annotations. */
  annotateAccount(
    namespace: string,
    name: string,
    annotations: Readonly<Record<string, string>>,
  ): AccountView;
  deleteAccount(namespace: string, name: string): void;
  /** Deletes and creates at once: the same name with another uid. */
  recreateAccount(namespace: string, name: string, wish?: AccountWish): AccountView;
  addPod(namespace: string, name: string, wish?: PodWish): PodView;
  /** The pod as `change` makes it of what is stored. */
  changePod(namespace: string, name: string, change: (pod: StoredObject) => StoredObject): PodView;
  deletePod(namespace: string, name: string): void;
  addSecret(object: NewObject): StoredObject;
  deleteSecret(namespace: string, name: string): void;
  deleteRecord(namespace: string, name: string): void;
  /** The record stays, its owner entry goes, as with `--cascade=orphan`. */
  orphanRecord(namespace: string, name: string): void;

  pod(namespace: string, name: string): PodView | undefined;
  /** `namespace/name` of the pods that our gate still holds. */
  gatedPods(): readonly string[];
  record(namespace: string, name: string): PullCredentialRecord | undefined;
  records(): readonly PullCredentialRecord[];
  secret(namespace: string, name: string): StoredObject | undefined;
  secrets(): readonly StoredObject[];
  /** What the Secret holds; undefined if there is no such Secret. */
  dockerConfig(namespace: string, name: string): DockerConfig | undefined;
  /**
   * The claims behind the Secret's password for that host, if it is a token of this cluster for that audience, in
   * time and not dead: whether a pull would succeed at a registry that takes the token itself.
   */
  loginClaims(
    namespace: string,
    name: string,
    host: string,
    audience?: string,
  ): Promise<JWTPayload | undefined>;
  events(): readonly ClusterEvent[];
}

export function createFakeHands(store: FakeStore, tokens: FakeTokens, clock: Clock): FakeHands {
  function change(
    kind: FakeKind,
    namespace: string,
    name: string,
    make: (object: StoredObject) => StoredObject,
  ) {
    const found = store.get(kind, namespace, name);
    if (!found)
      throw new Error(`the test changes a ${kind} that is not there: ${keyOf({ namespace, name })}`);
    return store.write(kind, make(found));
  }

  const addAccount: FakeHands['addAccount'] = (namespace, name, wish) =>
    viewAccount(store.create('account', accountManifest(namespace, name, wish)));
  const deleteAccount: FakeHands['deleteAccount'] = (namespace, name) =>
    store.remove('account', namespace, name);

  const hands: FakeHands = {
    addNamespace: (name, wish) => viewNamespace(store.create('namespace', namespaceManifest(name, wish))),
    labelNamespace: (name, labels) =>
      viewNamespace(change('namespace', '', name, (found) => withMetadata(found, { labels }))),
    terminateNamespace: (name) => {
      const deletionTimestamp = timestamp(clock);
      return viewNamespace(
        change('namespace', '', name, (found) => withMetadata(found, { deletionTimestamp })),
      );
    },
    deleteNamespace(name) {
      for (const kind of ['pod', 'account', 'record', 'secret', 'lease', 'event'] as const) {
        for (const { metadata } of store.list(kind)) {
          if (metadata.namespace === name) store.remove(kind, name, metadata.name);
        }
      }
      store.remove('namespace', '', name);
    },
    addAccount,
    annotateAccount: (namespace, name, annotations) =>
      viewAccount(change('account', namespace, name, (found) => withMetadata(found, { annotations }))),
    deleteAccount,
    recreateAccount(namespace, name, wish) {
      deleteAccount(namespace, name);
      return addAccount(namespace, name, wish);
    },
    addPod: (namespace, name, wish) => viewPod(store.create('pod', podManifest(namespace, name, wish))),
    changePod: (namespace, name, make) => viewPod(change('pod', namespace, name, make)),
    deletePod: (namespace, name) => store.remove('pod', namespace, name),
    addSecret: (object) => store.create('secret', object),
    deleteSecret: (namespace, name) => store.remove('secret', namespace, name),
    deleteRecord: (namespace, name) => store.remove('record', namespace, name),
    orphanRecord: (namespace, name) => {
      change('record', namespace, name, (found) => withMetadata(found, { ownerReferences: [] }));
    },

    pod(namespace, name) {
      const found = store.get('pod', namespace, name);
      return found && viewPod(found);
    },
    gatedPods: () =>
      store
        .list('pod')
        .map((pod) => viewPod(pod))
        .filter(isGated)
        .map(keyOf),
    record(namespace, name) {
      const found = store.get('record', namespace, name);
      return found && viewRecord(found);
    },
    records: () => store.list('record').map(viewRecord),
    secret: (namespace, name) => store.get('secret', namespace, name),
    secrets: () => store.list('secret'),
    dockerConfig(namespace, name) {
      const data = store.get('secret', namespace, name)?.['data'] as Record<string, string> | undefined;
      const text = data?.['.dockerconfigjson'];
      // What we wrote ourselves has this shape; the contract suite compares it with a real Secret's.
      return text === undefined
        ? undefined
        : (JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as DockerConfig);
    },
    async loginClaims(namespace, name, host, audience = TEST_AUDIENCE) {
      const login = hands.dockerConfig(namespace, name)?.auths[host];
      return login && (await tokens.review(login.password, audience));
    },
    // emit() stored nothing else under this kind.
    events: () => store.list('event') as unknown as readonly ClusterEvent[],
  };
  return hands;
}

function withMetadata(object: StoredObject, changes: Partial<StoredObject['metadata']>): StoredObject {
  return { ...object, metadata: { ...object.metadata, ...changes } };
}
