// The calls of the port, each as one step on the store. Order of checks and refusals are a real API server's, with the
// shipped fences installed.
import type { Clock } from '../../src/clock.ts';
import type { Cluster, Lease } from '../../src/cluster/cluster.ts';
import { instantOf } from '../../src/core/fields.ts';
import { viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import { recordManifest, statusManifest, viewRecord } from '../../src/core/pull-credential-record.ts';
import { GATE } from '../../src/core/vocabulary.ts';
import { isProblem, Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import { gatesOf, type FakeFences } from './fake-cluster-fences.ts';
import {
  missingRight,
  refusal,
  timestamp,
  type FakeKind,
  type FakeStore,
  type NewObject,
  type StoredObject,
} from './fake-cluster-store.ts';
import type { FakeTokens } from './fake-cluster-tokens.ts';

export interface FakeCallTools {
  readonly store: FakeStore;
  readonly fences: FakeFences;
  readonly tokens: FakeTokens;
  readonly clock: Clock;
  /** Our own namespace. */
  readonly namespace: string;
  /** What tryFences answers. */
  missingFences(): readonly string[];
  /** What the key set says instead of the keys that sign here. */
  foreignKeys?(): readonly string[] | undefined;
  /** Fences around a right that the worker has nowhere. */
  fencesNowhere?(): readonly string[];
  /** Namespaces in which RBAC gives the worker no right to write. */
  readonly withoutRights?: ReadonlySet<string>;
  /** Namespaces in which a PodDisruptionBudget holds every pod that runs. */
  readonly budgets?: ReadonlySet<string>;
  /** The right that is given for `heal: evict` alone. */
  mayEvict?(): boolean;
}

/** Everything but the view; `emit` resolves when the event is stored. */
export type FakeCalls = Omit<Cluster, 'view' | 'emit'> & {
  emit(event: Parameters<Cluster['emit']>[0]): Promise<void>;
};

export function createFakeCalls(tools: FakeCallTools): FakeCalls {
  const { store, fences, tokens, clock } = tools;

  /** What RBAC says before anything is looked at. */
  function needsRight(verb: string, resource: string, namespace: string): void {
    if (tools.withoutRights?.has(namespace)) throw missingRight(verb, resource, namespace);
  }

  /** The stored object that a PUT or DELETE with this uid speaks of. */
  function present(
    method: string,
    kind: FakeKind,
    wanted: { namespace: string; name: string; uid?: string },
  ): StoredObject {
    const found = store.get(kind, wanted.namespace, wanted.name);
    if (!found) throw refusal(404, 'NotFound', method, kind);
    if (wanted.uid && found.metadata.uid !== wanted.uid) throw refusal(409, 'Conflict', method, kind);
    return found;
  }

  return {
    async findAccount(namespace, name) {
      const found = store.get('account', namespace, name);
      return found && viewAccount(found);
    },

    async findNamespace(name) {
      const found = store.get('namespace', '', name);
      return found && viewNamespace(found);
    },

    async mintToken({ need, audience, expirationSeconds, secretUid }) {
      const { namespace, account, uid } = need.identity;
      if (audience === '' || audience === tokens.issuer) {
        throw new Problem('token-refused', `audience ${JSON.stringify(audience)} is the API server's own`);
      }
      const issuedAt = clock.now();
      needsRight('create', 'serviceaccounts/token', namespace);
      fences.mayWrite('POST', 'token', namespace);
      const owner = present('POST', 'account', { namespace, name: account, uid });
      fences.mayMint(namespace, audience, expirationSeconds);
      const secret = present('POST', 'secret', { namespace, name: need.secretName, uid: secretUid });
      const { token, claims } = await tokens.sign(owner, secret, { audience, expirationSeconds });
      return {
        token: new SecretText(token),
        tokenId: String(claims.jti),
        keyId: tokens.keyId,
        issuedAt,
        expiresAt: Number(claims.exp) * 1000,
      };
    },

    findSigningKeys: async () => tools.foreignKeys?.() ?? tokens.keyIds(),

    async createRecord(need) {
      const { namespace } = need.identity;
      needsRight('create', 'pullcredentials', namespace);
      fences.mayWrite('POST', 'record', namespace);
      fences.isOptedIn('POST', 'record', namespace);
      return viewRecord(store.create('record', manifestOf(recordManifest(need))));
    },

    async updateRecordStatus(record, status) {
      needsRight('update', 'pullcredentials/status', record.namespace);
      const found = present('PUT', 'record', record);
      if (found.metadata.resourceVersion !== record.resourceVersion)
        throw refusal(409, 'Conflict', 'PUT', 'record');
      fences.isOptedIn('PUT', 'record', record.namespace);
      return viewRecord(store.write('record', { ...found, status: statusManifest(status) }));
    },

    async deleteRecord(record) {
      needsRight('delete', 'pullcredentials', record.namespace);
      present('DELETE', 'record', record);
      store.remove('record', record.namespace, record.name);
    },

    async createSecret(manifest) {
      needsRight('create', 'secrets', manifest.metadata.namespace);
      fences.mayWrite('POST', 'secret', manifest.metadata.namespace);
      fences.mayWriteSecret(manifest, undefined);
      return { uid: store.create('secret', { ...manifest }).metadata.uid };
    },

    async updateSecret(manifest, { dryRun = false }) {
      needsRight('update', 'secrets', manifest.metadata.namespace);
      const found = present('PUT', 'secret', manifest.metadata);
      try {
        fences.mayWriteSecret(manifest, found);
      } catch (error) {
        if (!isProblem(error, 'cluster-refused')) throw error;
        const { namespace, name } = manifest.metadata;
        const { details } = error;
        throw new Problem('secret-not-ours', `Secret ${namespace}/${name} exists and is not ours`, {
          cause: error,
          details,
        });
      }
      if (!dryRun)
        store.write('secret', { ...manifest, metadata: { ...found.metadata, ...manifest.metadata } });
      return { uid: found.metadata.uid };
    },

    async removeGate(pod) {
      needsRight('patch', 'pods', pod.namespace);
      const found = store.get('pod', pod.namespace, pod.name);
      if (!found || found.metadata.uid !== pod.uid || !gatesOf(found).includes(GATE)) return 'gone';
      fences.mayRemoveGate(found);
      const schedulingGates = gatesOf(found)
        .filter((name) => name !== GATE)
        .map((name) => ({ name }));
      store.write('pod', { ...found, spec: { ...Object(found['spec']), schedulingGates } });
      return 'removed';
    },

    async findPods(namespace) {
      const pods = store.list('pod').filter(({ metadata }) => metadata.namespace === namespace);
      return pods.map((pod) => viewPod(pod));
    },

    async evictPod(pod) {
      const found = store.get('pod', pod.namespace, pod.name);
      if (!found || found.metadata.uid !== pod.uid) return 'gone';
      if (tools.mayEvict?.() === false) throw refusal(403, 'Forbidden', 'POST', 'pod');
      fences.isOptedIn('POST', 'pod', pod.namespace);
      const { phase } = Object(found['status']) as { phase?: string };
      // A pod that is pending counts for no budget.
      if (phase === 'Running' && tools.budgets?.has(pod.namespace)) return 'held';
      store.remove('pod', pod.namespace, pod.name);
      return 'evicted';
    },

    async emit(event) {
      const { namespace, name } = event.regarding;
      fences.mayWrite('POST', 'event', namespace);
      const { uid } = { uid: store.version() };
      store.create('event', {
        metadata: { namespace, name: `${name}.${uid}` },
        eventTime: timestamp(clock),
        ...event,
      });
    },

    async findLease(name) {
      const found = store.get('lease', tools.namespace, name);
      return found && viewLease(found);
    },

    async createLease(lease) {
      return viewLease(store.create('lease', leaseManifest(lease, tools.namespace)));
    },

    async updateLease(lease) {
      const wanted = leaseManifest(lease, tools.namespace);
      const found = store.get('lease', tools.namespace, lease.name);
      // Leases are among the few kinds that a PUT creates.
      if (!found) return viewLease(store.create('lease', wanted));
      if (found.metadata.resourceVersion !== lease.resourceVersion)
        throw refusal(409, 'Conflict', 'PUT', 'lease');
      return viewLease(store.write('lease', { ...found, spec: wanted.spec }));
    },

    async tryFences({ onNowhere }) {
      for (const fence of tools.fencesNowhere?.() ?? []) onNowhere?.(fence);
      return tools.missingFences();
    },

    async mayOpenGates(namespace) {
      const { withoutRights } = tools;
      return namespace === undefined ? !withoutRights?.size : !withoutRights?.has(namespace);
    },
  };
}

/** recordManifest makes an object with a name and a namespace, though its type says less. */
function manifestOf(raw: Record<string, unknown>): NewObject {
  return raw as unknown as NewObject;
}

function leaseManifest(lease: Lease, namespace: string) {
  const renewTime = new Date(lease.renewedAt).toISOString();
  const { name, holder, durationSeconds, transitions, gatesIn } = lease;
  const spec = { holder, durationSeconds, transitions, renewTime, ...(gatesIn && { gatesIn }) };
  return { metadata: { namespace, name }, spec };
}

function viewLease({ metadata, spec }: StoredObject): Lease {
  const { renewTime, ...fields } = spec as ReturnType<typeof leaseManifest>['spec'];
  const { name, resourceVersion } = metadata;
  return { name, resourceVersion, ...fields, renewedAt: instantOf(renewTime) };
}
