// The port to the API server: what our watches know, and the few calls we make. Implementations: kube-cluster.ts, and
// the fake in test/fakes. Every call throws a Problem and nothing else.
import type { AccountView, NamespaceView, PodView } from '../core/pod-view.ts';
import type { Need } from '../core/pull-credential.ts';
import type { PullCredentialRecord, RecordStatus } from '../core/pull-credential-record.ts';
import type { SecretManifest } from '../core/pull-secret.ts';
import type { SecretText } from '../secret-text.ts';

/** What changed, after the view has it. `gone` carries the last known state. */
export type ClusterChange =
  | { readonly kind: 'namespace'; readonly gone: boolean; readonly object: NamespaceView }
  | { readonly kind: 'account'; readonly gone: boolean; readonly object: AccountView }
  | { readonly kind: 'record'; readonly gone: boolean; readonly object: PullCredentialRecord }
  | { readonly kind: 'pod'; readonly gone: boolean; readonly object: PodView };

/** What the watches have seen; reading it never leaves the process. */
export interface ClusterView {
  namespace(name: string): NamespaceView | undefined;
  namespaces(): Iterable<NamespaceView>;
  account(namespace: string, name: string): AccountView | undefined;
  accounts(): Iterable<AccountView>;
  record(namespace: string, name: string): PullCredentialRecord | undefined;
  /** The records that name this account, of whatever uid. */
  recordsOf(namespace: string, account: string): readonly PullCredentialRecord[];
  records(): Iterable<PullCredentialRecord>;
  /** Pods that are pending or carry our label; empty unless this process is a worker. */
  pods(): Iterable<PodView>;
  /** Names of the watches that have not listed yet; empty when all is known. */
  unsynced(): readonly string[];
  /** The listener must not throw. Returns what ends the subscription. */
  onChange(listener: (change: ClusterChange) => void): () => void;
}

/** A ServiceAccount token as the API server made it. Instants are epoch milliseconds. */
export interface MintedToken {
  readonly token: SecretText;
  /** `jti`, which the API server's audit log calls credential-id. */
  readonly tokenId: string;
  /** `kid` of its header; empty where there is none, or one that no record has room for. */
  readonly keyId: string;
  /** When the request was started. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface TokenWish {
  readonly need: Need;
  readonly audience: string;
  /** 600 to 3600. */
  readonly expirationSeconds: number;
  /** The token dies (for whoever asks the API server) with this Secret. */
  readonly secretUid: string;
}

/** coordination.k8s.io/v1 Lease, the fields that leader election reads. */
export interface Lease {
  readonly name: string;
  readonly holder: string;
  readonly durationSeconds: number;
  /** Epoch milliseconds; 0 when absent. */
  readonly renewedAt: number;
  readonly transitions: number;
  readonly resourceVersion: string;
  /** The namespaces in which its holder may open gates; absent: all of them. */
  readonly gatesIn?: readonly string[];
}

export type EventReason =
  | 'ConfigRefused'
  | 'ConfigTaken'
  | 'CredentialIssued'
  | 'CredentialRefused'
  | 'CredentialRecovered'
  | 'CredentialExpired'
  | 'PodReleased'
  | 'PodReleasedLate'
  | 'PodHealed'
  | 'PodHeld'
  | 'PodWithoutCredential'
  | 'RuleUnknown'
  | 'SecretNotOurs'
  | 'StaticPullSecret';

export interface ClusterEvent {
  readonly reason: EventReason;
  readonly type: 'Normal' | 'Warning';
  readonly note: string;
  readonly regarding: {
    readonly kind: 'ServiceAccount' | 'Pod';
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Ahead of all calls that are not: releasing a pod comes before issuing for the next. */
  readonly urgent?: boolean;
  /** Asked again right before the call is sent, which may be long after: behind others, or after a 429. @throws Problem */
  readonly mayStill?: () => void;
}

export interface Cluster {
  readonly view: ClusterView;
  /** A live look, by LIST with a field selector (no `get` right). */
  findAccount(namespace: string, name: string, options: CallOptions): Promise<AccountView | undefined>;
  findNamespace(name: string, options: CallOptions): Promise<NamespaceView | undefined>;
  /** @throws Problem cluster-conflict: the account's uid is another; cluster-missing: account or Secret is gone */
  mintToken(wish: TokenWish, options: CallOptions): Promise<MintedToken>;
  /**
   * Ids of the keys that the API server publishes for its tokens now (`/openid/v1/jwks`); none where its answer is no key
   * set. @throws Problem cluster-missing: it has no https issuer and publishes none; cluster-refused: we may not look
   */
  findSigningKeys(options: CallOptions): Promise<readonly string[]>;
  /** @throws Problem cluster-conflict: the name is taken */
  createRecord(need: Need, options: CallOptions): Promise<PullCredentialRecord>;
  /** @throws Problem cluster-conflict: the record has changed since `record` was read */
  updateRecordStatus(
    record: PullCredentialRecord,
    status: RecordStatus,
    options: CallOptions,
  ): Promise<PullCredentialRecord>;
  deleteRecord(record: PullCredentialRecord, options: CallOptions): Promise<void>;
  /** @throws Problem cluster-conflict: the name is taken */
  createSecret(manifest: SecretManifest, options: CallOptions): Promise<{ uid: string }>;
  /**
   * @throws Problem cluster-conflict: another uid than the manifest's; cluster-missing; secret-not-ours: the fence says
   * that the Secret of that name belongs to somebody else or to an earlier life
   */
  updateSecret(
    manifest: SecretManifest,
    options: CallOptions & { dryRun?: boolean },
  ): Promise<{ uid: string }>;
  /** Removes our gate alone. `gone`: the pod or its gate is no more; somebody was faster. */
  removeGate(pod: PodView, options: CallOptions): Promise<'removed' | 'gone'>;
  /** A live look at all pods of a namespace: the watches do not know those that run and have lost our label. */
  findPods(namespace: string, options: CallOptions): Promise<readonly PodView[]>;
  /** Through the Eviction API. `held`: a PodDisruptionBudget says not now. `gone`: it, or this life of it, is no more. */
  evictPod(pod: PodView, options: CallOptions): Promise<'evicted' | 'held' | 'gone'>;
  /** Best effort: an event that cannot be written is dropped. */
  emit(event: ClusterEvent): void;
  /** In our own namespace, by LIST. */
  findLease(name: string, options: CallOptions): Promise<Lease | undefined>;
  createLease(lease: Lease, options: CallOptions): Promise<Lease>;
  /**
   * A Lease that was deleted is made again: Leases are among the few kinds that a PUT creates.
   * @throws Problem cluster-conflict: somebody else wrote since `lease.resourceVersion`
   */
  updateLease(lease: Lease, options: CallOptions): Promise<Lease>;
  /**
   * Asks for what our fences forbid; resolves to the names of those that did not refuse. `onNowhere` is told of each fence
   * around a right that we have in no namespace: it stands around nothing, and cannot be tried.
   */
  tryFences(options: CallOptions & { onNowhere?(fence: string): void }): Promise<readonly string[]>;
  /** Whether RBAC lets us take our gate off pods, in this namespace or (undefined) in every one. */
  mayOpenGates(namespace: string | undefined, options: CallOptions): Promise<boolean>;
}
