// Keeps a Node object ready that has no kubelet: its Lease is renewed, as a kubelet would.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiRequest } from '../api-client.ts';

/** A kubelet's own interval: https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats */
const RENEW_MS = 10_000;
const LEASE_SECONDS = 40;

/** Renews the node's Lease now and until the result is disposed. */
export async function keepNodeAlive(admin: ApiRequest, node: string): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const path = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node}?fieldManager=demo&force=true`;

  async function renew(): Promise<void> {
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: node },
      spec: {
        holderIdentity: node,
        leaseDurationSeconds: LEASE_SECONDS,
        renewTime: new Date().toISOString().replace('Z', '000Z'),
      },
    };
    // Server-side apply creates what is not there yet.
    await admin('PATCH', path, lease, { contentType: 'application/apply-patch+yaml' });
  }

  async function keepRenewing(): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(RENEW_MS, undefined, { signal: stop.signal, ref: false });
      await renew();
    }
  }

  await renew();
  // It ends with an AbortError, or with the API server; neither is anybody's trouble by then.
  const renewing = keepRenewing().catch(() => undefined);
  return {
    [Symbol.asyncDispose]() {
      stop.abort();
      return renewing;
    },
  };
}
