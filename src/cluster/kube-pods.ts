// What we ask about pods: our own gate away, a look at a namespace, an eviction.
import { isProblem, Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { viewPod, type PodView } from '../core/pod-view.ts';
import { GATE } from '../core/vocabulary.ts';
import { pathTo, type KubeCall } from './kube-connection.ts';
import { isAnotherObject } from './kube-problem.ts';
import type { Cluster } from './cluster.ts';
import type { KubeCallTools } from './kube-calls.ts';

/** Pods of a page: a large one is a megabyte, and nobody waits for it. */
const PAGE = 500;

/** Takes our gate alone off this very pod. */
export function ungating({
  namespace,
  name,
  uid,
}: Pick<PodView, 'namespace' | 'name' | 'uid'>): Omit<KubeCall, 'signal'> {
  return {
    method: 'PATCH',
    path: pathTo`/api/v1/namespaces/${namespace}/pods/${name}`,
    contentType: 'application/strategic-merge-patch+json',
    body: { metadata: { uid }, spec: { schedulingGates: [{ name: GATE, $patch: 'delete' }] } },
  };
}

export function createPodCalls({
  connection,
}: KubeCallTools): Pick<Cluster, 'removeGate' | 'mayOpenGates' | 'findPods' | 'evictPod'> {
  return {
    async mayOpenGates(of, options) {
      const resourceAttributes = {
        resource: 'pods',
        verb: 'patch',
        ...(of !== undefined && { namespace: of }),
      };
      const answer = await connection.call({
        ...options,
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes },
        },
      });
      return fieldsOf(fieldsOf(answer)['status'])['allowed'] === true;
    },

    async removeGate(pod, options) {
      try {
        await connection.call({ ...options, ...ungating(pod) });
        return 'removed';
      } catch (error) {
        // 422 is another uid, or our fence on pods: a patch that finds no gate of ours changes nothing that it allows.
        if (isAnotherObject(error) || isProblem(error, 'cluster-missing', 'cluster-conflict')) return 'gone';
        throw error;
      }
    },

    async findPods(of, { signal }) {
      const found: PodView[] = [];
      let next = '';
      do {
        const page = fieldsOf(
          await connection.call({
            method: 'GET',
            priority: 'idle',
            path: pathTo`/api/v1/namespaces/${of}/pods`,
            query: { limit: String(PAGE), ...(next && { continue: next }) },
            signal,
          }),
        );
        const { items } = page;
        // Half an answer would say that nobody names what somebody names.
        if (!Array.isArray(items)) throw new Problem('cluster-unreachable', `no list of the pods of ${of}`);
        found.push(...items.map((item) => viewPod(item)));
        next = textOf(fieldsOf(page['metadata'])['continue']);
      } while (next !== '');
      return found;
    },

    async evictPod(pod, options) {
      try {
        await connection.call({
          ...options,
          method: 'POST',
          path: pathTo`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/eviction`,
          body: {
            apiVersion: 'policy/v1',
            kind: 'Eviction',
            metadata: { name: pod.name, namespace: pod.namespace },
            deleteOptions: { preconditions: { uid: pod.uid } },
          },
        });
        return 'evicted';
      } catch (error) {
        if (isProblem(error, 'cluster-missing', 'cluster-conflict')) return 'gone';
        // kube-problem.ts leaves a 429 under this code for a PodDisruptionBudget alone.
        if (isProblem(error, 'cluster-refused') && error.details.upstream?.startsWith('429')) return 'held';
        throw error;
      }
    },
  };
}
