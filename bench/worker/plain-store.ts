// The fake cluster's store without what tests want of it and costs a day most of its time: no garbage collector, which looks
// at every account for every write (nothing is orphaned here), no copies (nobody here changes what is stored), no signatures.
import type { Clock } from '../../src/clock.ts';
import {
  keyOf,
  refusal,
  timestamp,
  type FakeKind,
  type FakeStore,
  type NewObject,
  type StoreChange,
  type StoredObject,
} from '../../test/fakes/fake-cluster-store.ts';
import type { FakeTokens } from '../../test/fakes/fake-cluster-tokens.ts';

const KEY = 'the-only-key';

/** Nobody looks into a token here. */
export function createPlainTokens(clock: Clock): FakeTokens {
  let made = 0;
  const nobody = () => Promise.reject(new TypeError('no token is looked into in this bench'));
  return {
    issuer: 'https://kubernetes.default.svc',
    keyId: KEY,
    keyIds: () => [KEY],
    rotateKey: () => undefined,
    retireKeys: () => undefined,
    publicJwk: nobody,
    review: nobody,
    async sign(_account, _secret, { expirationSeconds }) {
      const jti = `token-${++made}`;
      return { token: jti, claims: { jti, exp: Math.floor(clock.now() / 1000) + expirationSeconds } };
    },
  };
}

export function createPlainStore(clock: Clock): FakeStore {
  const kinds = new Map<FakeKind, Map<string, StoredObject>>();
  const listeners = new Set<(change: StoreChange) => void>();
  let version = 1_000;

  const objectsOf = (kind: FakeKind) => {
    const known = kinds.get(kind) ?? new Map<string, StoredObject>();
    kinds.set(kind, known);
    return known;
  };

  function put(kind: FakeKind, object: NewObject, uid: string, creationTimestamp: string): StoredObject {
    const namespace = object.metadata.namespace ?? '';
    const resourceVersion = String(++version);
    const metadata = { ...object.metadata, namespace, uid, creationTimestamp, resourceVersion };
    const stored = { ...object, metadata };
    objectsOf(kind).set(keyOf(metadata), stored);
    for (const listener of listeners) listener({ kind, object: stored, gone: false });
    return stored;
  }

  return {
    get: (kind, namespace, name) => objectsOf(kind).get(keyOf({ namespace, name })),
    list: (kind) => [...objectsOf(kind).values()],
    version: () => String(version),
    create(kind, object) {
      if (objectsOf(kind).has(keyOf({ namespace: '', ...object.metadata })))
        throw refusal(409, 'AlreadyExists', 'POST', kind);
      return put(kind, object, `uid-${++version}`, timestamp(clock));
    },
    write: (kind, object) => put(kind, object, object.metadata.uid, object.metadata.creationTimestamp),
    remove() {
      throw new TypeError('nothing is deleted in this bench');
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
