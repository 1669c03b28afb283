// The fences of webhook-config/ on the worker, and the API server's own limits, in plain words; the contract suite
// keeps them true to the real ones.
import { injectionOf, viewNamespace } from '../../src/core/pod-view.ts';
import type { SecretManifest } from '../../src/core/pull-secret.ts';
import { INJECT_LABEL, MANAGED_LABEL, PROTECTED_NAMESPACES } from '../../src/core/vocabulary.ts';
import { refusal, type FakeKind, type FakeStore, type StoredObject } from './fake-cluster-store.ts';

export interface FakeFences {
  /** What every write into a namespace meets before its object is looked at. */
  mayWrite(method: string, kind: FakeKind | 'token', namespace: string): void;
  /** What the policy on the worker's writes says of this namespace. */
  isOptedIn(method: string, kind: 'record' | 'secret' | 'token' | 'pod', namespace: string): void;
  mayWriteSecret(manifest: SecretManifest, before: StoredObject | undefined): void;
  mayMint(namespace: string, audience: string, expirationSeconds: number): void;
  mayRemoveGate(pod: StoredObject): void;
}

const POLICIES = {
  secret: 'keyless-pull-worker-secrets',
  token: 'keyless-pull-worker-token-requests',
  record: 'keyless-pull-worker-pullcredentials',
  pod: 'keyless-pull-worker-pods',
} as const;

export function createFakeFences(
  store: FakeStore,
  settings: { readonly namespace: string; readonly audiences: ReadonlySet<string> },
): FakeFences {
  const deny = (method: string, kind: keyof typeof POLICIES, because?: string) =>
    refusal(422, 'Invalid', method, kind, { policy: POLICIES[kind], ...(because && { because }) });
  const isProtected = (namespace: string) =>
    PROTECTED_NAMESPACES.includes(namespace) || namespace === settings.namespace;

  function isOptedIn(method: string, kind: keyof typeof POLICIES, namespace: string): void {
    const found = store.get('namespace', '', namespace);
    if (isProtected(namespace)) throw deny(method, kind, "not in Kubernetes' own namespaces");
    if (injectionOf(found && viewNamespace(found)) === 'off') {
      throw deny(method, kind, `only in namespaces with the label ${INJECT_LABEL}`);
    }
  }

  return {
    mayWrite(method, kind, namespace) {
      const found = store.get('namespace', '', namespace);
      if (!found) throw refusal(404, 'NotFound', method, 'namespace');
      if (method === 'POST' && kind !== 'token' && viewNamespace(found).isTerminating) {
        throw refusal(403, 'Forbidden', method, kind, { cause: 'NamespaceTerminating' });
      }
    },
    isOptedIn,
    mayWriteSecret(manifest, before) {
      const method = before ? 'PUT' : 'POST';
      const { labels, ownerReferences: owners, namespace } = manifest.metadata;
      const isOurs =
        manifest.type === 'kubernetes.io/dockerconfigjson' &&
        labels[MANAGED_LABEL] === 'true' &&
        owners.filter(({ kind }) => kind === 'PullCredential').length === 1;
      const wasOurs =
        !before ||
        (before.metadata.labels?.[MANAGED_LABEL] === 'true' &&
          (before.metadata.ownerReferences ?? []).every(({ uid }) =>
            owners.some((owner) => owner.uid === uid),
          ));
      if (!isOurs || !wasOurs) throw deny(method, 'secret');
      isOptedIn(method, 'secret', namespace);
    },
    mayMint(namespace, audience, expirationSeconds) {
      if (expirationSeconds < 600) throw refusal(422, 'Invalid', 'POST', 'token');
      if (!settings.audiences.has(audience) || expirationSeconds > 3600) throw deny('POST', 'token');
      isOptedIn('POST', 'token', namespace);
    },
    mayRemoveGate(pod) {
      if (isProtected(pod.metadata.namespace))
        throw deny('PATCH', 'pod', "not in Kubernetes' own namespaces");
    },
  };
}

export function gatesOf(pod: StoredObject): readonly string[] {
  const { schedulingGates = [] } = (pod['spec'] ?? {}) as { schedulingGates?: readonly { name: string }[] };
  return schedulingGates.map(({ name }) => name);
}
