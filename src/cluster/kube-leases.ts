// Leases in our own namespace: the sign of life of the working worker.
import { fieldsOf, instantOf, textOf } from '../core/fields.ts';
import { GATES_ANNOTATION } from '../core/vocabulary.ts';
import { findOne, pathTo } from './kube-connection.ts';
import type { Cluster, Lease } from './cluster.ts';
import type { KubeCallTools } from './kube-calls.ts';

export function createLeaseCalls({
  connection,
  namespace,
}: KubeCallTools): Pick<Cluster, 'findLease' | 'createLease' | 'updateLease'> {
  const leases = pathTo`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  return {
    async findLease(name, { signal }) {
      const found = await findOne(connection, leases, name, signal, 'vital');
      return found === undefined ? undefined : viewLease(found);
    },
    async createLease(lease, options) {
      // The API server answers 500 to a new object with a version.
      const body = leaseManifest({ ...lease, resourceVersion: '' });
      return viewLease(
        await connection.call({ ...options, priority: 'vital', method: 'POST', path: leases, body }),
      );
    },
    async updateLease(lease, options) {
      const path = `${leases}${pathTo`/${lease.name}`}`;
      const body = leaseManifest(lease);
      return viewLease(await connection.call({ ...options, priority: 'vital', method: 'PUT', path, body }));
    },
  };
}

function viewLease(raw: unknown): Lease {
  const metadata = fieldsOf(fieldsOf(raw)['metadata']);
  const spec = fieldsOf(fieldsOf(raw)['spec']);
  const gatesIn = fieldsOf(metadata['annotations'])[GATES_ANNOTATION];
  return {
    name: textOf(metadata['name']),
    resourceVersion: textOf(metadata['resourceVersion']),
    holder: textOf(spec['holderIdentity']),
    durationSeconds: Number(spec['leaseDurationSeconds'] ?? 0),
    renewedAt: instantOf(spec['renewTime']),
    transitions: Number(spec['leaseTransitions'] ?? 0),
    ...(typeof gatesIn === 'string' && { gatesIn: gatesIn.split(',').filter(Boolean) }),
  };
}

function leaseManifest(lease: Lease): Record<string, unknown> {
  const renewTime = new Date(lease.renewedAt).toISOString().replace('Z', '000Z');
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: lease.name,
      ...(lease.resourceVersion && { resourceVersion: lease.resourceVersion }),
      ...(lease.gatesIn && { annotations: { [GATES_ANNOTATION]: gatesText(lease.gatesIn) } }),
    },
    spec: {
      holderIdentity: lease.holder,
      leaseDurationSeconds: lease.durationSeconds,
      renewTime,
      leaseTransitions: lease.transitions,
    },
  };
}

/** Kubernetes lets an object have 256 KiB of annotations. In what is cut off pods are not held, and pull all the same. */
const LONGEST_GATES = 200_000;

function gatesText(namespaces: readonly string[]): string {
  const text = namespaces.join(',');
  return text.length <= LONGEST_GATES ? text : text.slice(0, text.lastIndexOf(',', LONGEST_GATES));
}
