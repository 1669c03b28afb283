// One process's way to the fake cluster: the port, with a view of its own.
import type { Cluster } from '../../src/cluster/cluster.ts';
import { createFakeCalls, type FakeCallTools } from './fake-cluster-calls.ts';
import { createFakeNetwork, type FakeNetworkTools } from './fake-cluster-network.ts';
import { createFakeView, type FakeView } from './fake-cluster-view.ts';

export interface FakeClient extends Cluster {
  readonly name: string;
  readonly view: FakeView;
  /** As `kill -9`: no call of it is ever answered again, pending ones included, and its view stands still. */
  kill(): void;
  /** The network drops everything: calls hang until their deadline, the view stands still. */
  partition(): void;
  /** The network is back: calls that hang end as cluster-unreachable, the view lists anew. */
  heal(): void;
  /** Holds back what the watches would tell; `releaseWatch` lets it through, in order, before it returns. */
  holdWatch(): void;
  releaseWatch(): void;
  /** The first listing of a client that was made with `synced: false`. */
  sync(): void;
}

export interface FakeClientTools extends FakeCallTools, FakeNetworkTools {
  readonly lagMs: number;
}

export function createFakeClient(
  name: string,
  { pods = true, synced = true }: { readonly pods?: boolean; readonly synced?: boolean },
  tools: FakeClientTools,
): FakeClient {
  const { clock, lagMs } = tools;
  const network = createFakeNetwork(name, tools);
  const view = createFakeView(tools.store, { clock, lagMs, pods, isStopped: () => network.isDead });
  const calls = createFakeCalls(tools);
  const { run } = network;
  let isWatchHeld = false;

  async function keep(record: ReturnType<Cluster['createRecord']>) {
    const answer = await record;
    view.putRecord(answer);
    return answer;
  }

  if (synced) view.relist();
  return {
    name,
    view,
    findAccount: (namespace, account, options) =>
      run('findAccount', { namespace, account }, { ...options, urgent: true }, () =>
        calls.findAccount(namespace, account, options),
      ),
    findNamespace: (namespace, options) =>
      run('findNamespace', { namespace }, { ...options, urgent: true }, () =>
        calls.findNamespace(namespace, options),
      ),
    mintToken: (wish, options) => {
      const { namespace, account } = wish.need.identity;
      const details = { namespace, account, name: wish.need.secretName, audience: wish.audience };
      return run('mintToken', details, options, () => calls.mintToken(wish, options));
    },
    findSigningKeys: (options) => run('findSigningKeys', {}, options, () => calls.findSigningKeys(options)),
    createRecord: (need, options) => {
      const { namespace, account } = need.identity;
      const details = { namespace, account, name: need.secretName };
      return keep(run('createRecord', details, options, () => calls.createRecord(need, options)));
    },
    updateRecordStatus: (record, status, options) => {
      const details = { ...namesOf(record), account: record.account, reason: status.reason };
      return keep(
        run('updateRecordStatus', details, options, () => calls.updateRecordStatus(record, status, options)),
      );
    },
    deleteRecord: (record, options) =>
      run('deleteRecord', { ...namesOf(record), account: record.account }, options, () =>
        calls.deleteRecord(record, options),
      ),
    createSecret: (manifest, options) =>
      run('createSecret', namesOf(manifest.metadata), options, () => calls.createSecret(manifest, options)),
    updateSecret: (manifest, options) => {
      const details = { ...namesOf(manifest.metadata), ...(options.dryRun && { dryRun: true }) };
      return run('updateSecret', details, options, () => calls.updateSecret(manifest, options));
    },
    removeGate: (pod, options) =>
      run('removeGate', namesOf(pod), options, () => calls.removeGate(pod, options)),
    findPods: (namespace, options) =>
      run('findPods', { namespace }, options, () => calls.findPods(namespace, options)),
    evictPod: (pod, options) => run('evictPod', namesOf(pod), options, () => calls.evictPod(pod, options)),
    emit: (event) => {
      const details = { ...namesOf(event.regarding), reason: event.reason };
      const { signal } = new AbortController();
      run('emit', details, { signal }, () => calls.emit(event)).catch(() => undefined);
    },
    findLease: (lease, options) =>
      run('findLease', { name: lease }, { ...options, urgent: true }, () => calls.findLease(lease, options)),
    createLease: (lease, options) =>
      run('createLease', { name: lease.name }, { ...options, urgent: true }, () =>
        calls.createLease(lease, options),
      ),
    updateLease: (lease, options) =>
      run('updateLease', { name: lease.name }, { ...options, urgent: true }, () =>
        calls.updateLease(lease, options),
      ),
    tryFences: (options) => run('tryFences', {}, options, () => calls.tryFences(options)),
    mayOpenGates: (namespace, options) =>
      run('mayOpenGates', namespace === undefined ? {} : { namespace }, options, () =>
        calls.mayOpenGates(namespace, options),
      ),
    kill: network.kill,
    partition() {
      network.cut();
      view.hold();
    },
    heal() {
      if (!network.isCut) return;
      network.heal();
      view.relist();
      if (!isWatchHeld) view.release();
    },
    holdWatch() {
      isWatchHeld = true;
      view.hold();
    },
    releaseWatch() {
      isWatchHeld = false;
      if (!network.isCut) view.release();
    },
    sync: () => view.relist(),
  };
}

function namesOf({ namespace, name }: { readonly namespace: string; readonly name: string }) {
  return { namespace, name };
}
