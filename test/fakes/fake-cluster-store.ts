// What an API server keeps: raw objects with uids and rising resource versions, preconditions, and the garbage
// collector. Refusals are the Problems that src/cluster makes of the API server's own answers.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import { statusProblem } from '../../src/cluster/kube-problem.ts';
import type { Problem } from '../../src/problem.ts';

export type FakeKind = 'namespace' | 'account' | 'record' | 'secret' | 'pod' | 'lease' | 'event';

export interface OwnerEntry {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface StoredMetadata {
  /** Empty for a namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerEntry[];
}

export interface StoredObject {
  readonly metadata: StoredMetadata;
  readonly [field: string]: unknown;
}

/** An object as it is posted: the store gives it uid, version and creation time. */
export interface NewObject {
  readonly metadata: Partial<StoredMetadata> & { readonly name: string };
  readonly [field: string]: unknown;
}

export interface StoreChange {
  readonly kind: FakeKind;
  /** As it is now, or for a deletion as it was, with the deletion's own version. */
  readonly object: StoredObject;
  readonly gone: boolean;
}

export interface FakeStore {
  get(kind: FakeKind, namespace: string, name: string): StoredObject | undefined;
  list(kind: FakeKind): readonly StoredObject[];
  /** The version of the newest change. */
  version(): string;
  /** @throws Problem cluster-conflict: the name is taken */
  create(kind: FakeKind, object: NewObject): StoredObject;
  /** Replaces what is stored; uid and creation time stay. */
  write(kind: FakeKind, object: StoredObject): StoredObject;
  remove(kind: FakeKind, namespace: string, name: string): void;
  /** Told of every change, in order, in the same step in which it happens. */
  subscribe(listener: (change: StoreChange) => void): () => void;
}

/** How long the garbage collector takes; seen on a real one: 90 ms from the account to the Secret. */
const COLLECT_MS = 90;

export function createFakeStore(clock: Clock): FakeStore {
  const kinds = new Map<FakeKind, Map<string, StoredObject>>();
  const listeners = new Set<(change: StoreChange) => void>();
  let version = 1_000;

  const objectsOf = (kind: FakeKind) => kinds.get(kind) ?? kinds.set(kind, new Map()).get(kind) ?? new Map();
  const tell = (change: StoreChange) => {
    for (const listener of listeners) listener(change);
  };

  function put(kind: FakeKind, object: NewObject, uid: string, creationTimestamp: string): StoredObject {
    const { metadata } = object;
    const stored = freeze({
      ...structuredClone(object),
      metadata: {
        ...structuredClone(metadata),
        namespace: metadata.namespace ?? '',
        uid,
        creationTimestamp,
        resourceVersion: String(++version),
      },
    });
    objectsOf(kind).set(keyOf(stored.metadata), stored);
    tell({ kind, object: stored, gone: false });
    if ((kind === 'record' || kind === 'secret') && isOrphan(stored)) collectSoon();
    return stored;
  }

  function remove(kind: FakeKind, namespace: string, name: string): void {
    const objects = objectsOf(kind);
    const object = objects.get(keyOf({ namespace, name }));
    if (!object) return;
    objects.delete(keyOf(object.metadata));
    const metadata = { ...object.metadata, resourceVersion: String(++version) };
    tell({ kind, object: freeze({ ...object, metadata }), gone: true });
    if (kind === 'account' || kind === 'record') collectSoon();
  }

  /** True if it names owners and none of them lives. */
  function isOrphan({ metadata: { ownerReferences = [] } }: StoredObject): boolean {
    const owners = [...objectsOf('account').values(), ...objectsOf('record').values()];
    return (
      ownerReferences.length > 0 &&
      !ownerReferences.some(({ uid }) => owners.some((owner) => owner.metadata.uid === uid))
    );
  }

  function collectSoon(): void {
    const collect = () => {
      for (const kind of ['record', 'secret'] as const) {
        for (const object of [...objectsOf(kind).values()].filter(isOrphan)) {
          remove(kind, object.metadata.namespace, object.metadata.name);
        }
      }
    };
    void clock.sleep(COLLECT_MS).then(collect);
  }

  return {
    get: (kind, namespace, name) => objectsOf(kind).get(keyOf({ namespace, name })),
    list: (kind) => [...objectsOf(kind).values()],
    version: () => String(version),
    create(kind, object) {
      if (objectsOf(kind).has(keyOf({ namespace: '', ...object.metadata }))) {
        throw refusal(409, 'AlreadyExists', 'POST', kind);
      }
      return put(kind, object, randomUUID(), timestamp(clock));
    },
    write(kind, object) {
      const { uid, creationTimestamp } = object.metadata;
      return put(kind, object, uid, creationTimestamp);
    },
    remove,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** An API server's refusal, as src/cluster translates it; `policy` is the one that the answer names. */
export function refusal(
  status: number,
  reason: string,
  method: string,
  kind: FakeKind | 'token',
  more: { policy?: string; because?: string; cause?: string } = {},
): Problem {
  const { policy, because = 'a validation' } = more;
  const message =
    policy && `ValidatingAdmissionPolicy '${policy}' with binding '${policy}' denied request: ${because}`;
  const details = more.cause && { causes: [{ reason: more.cause }] };
  return statusProblem(status, { reason, message, details }, undefined, { method, path: `/fake/${kind}s` });
}

/** RBAC's no, in the API server's own words. */
export function missingRight(verb: string, resource: string, namespace: string): Problem {
  const [kind = ''] = resource.split('/');
  const user = 'system:serviceaccount:keyless-pull:keyless-pull';
  const message =
    `${kind} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "" ` +
    `in the namespace "${namespace}"`;
  const asked = { method: 'POST', path: `/fake/${kind}` };
  return statusProblem(403, { reason: 'Forbidden', message }, undefined, asked);
}

export function keyOf(metadata: { readonly namespace: string; readonly name: string }): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** Whole seconds, as Kubernetes writes its timestamps. */
export function timestamp(clock: Clock): string {
  return new Date(clock.now()).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) freeze(member);
  }
  return value;
}
