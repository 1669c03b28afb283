// Whether the fences around our own rights stand: we ask for what they forbid. Only a refusal that names our policy
// counts; a missing right would refuse as well, and would prove nothing.
import { isProblem, Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/pod-view.ts';
import { FENCE_PROBE_AUDIENCE } from '../core/vocabulary.ts';
import { pathTo, type KubeCall } from './kube-connection.ts';
import type { CallOptions } from './cluster.ts';
import type { KubeCallTools } from './kube-calls.ts';

/** The prefix of every policy in webhook-config/ and the chart. */
const POLICY = /policy keyless-pull-/;

/** @returns the names of the fences that let us through */
export async function tryFences(tools: KubeCallTools, { signal }: CallOptions): Promise<readonly string[]> {
  const { connection } = tools;
  const self = await whoAmI(tools, signal);
  const probes: Record<string, Omit<KubeCall, 'signal'>> = {
    secrets: {
      method: 'POST',
      path: pathTo`/api/v1/namespaces/${'default'}/secrets`,
      query: { dryRun: 'All' },
      body: {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'Opaque',
        metadata: { name: 'keyless-pull-fence-probe' },
        data: {},
      },
    },
    tokens: {
      method: 'POST',
      path: pathTo`/api/v1/namespaces/${self.namespace}/serviceaccounts/${self.name}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [FENCE_PROBE_AUDIENCE], expirationSeconds: 600 },
      },
    },
  };
  const missing: string[] = [];
  for (const [fence, probe] of Object.entries(probes)) {
    try {
      await connection.call({ ...probe, signal });
      missing.push(fence);
    } catch (error) {
      if (!isProblem(error, 'cluster-refused')) throw error;
      if (!POLICY.test(error.details.upstream ?? '')) missing.push(fence);
    }
  }
  return missing;
}

async function whoAmI(
  { connection }: KubeCallTools,
  signal: AbortSignal,
): Promise<{ namespace: string; name: string }> {
  const answer = await connection.call({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    signal,
  });
  const { username } = fieldsOf(fieldsOf(fieldsOf(answer)['status'])['userInfo']);
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(textOf(username));
  if (match?.[1] && match[2]) return { namespace: match[1], name: match[2] };
  throw new Problem(
    'fence-missing',
    'the fences speak of a ServiceAccount, and this process is none: run it as one, or set fences: optional for a trial',
  );
}
