// Whether the fences around our own rights stand: we ask for what they forbid. Only a refusal that names our policy
// counts; a missing right would refuse as well, and would prove nothing. Where we lack the right, another namespace is asked:
// a policy holds in all of them, a right perhaps in one.
import { isProblem, Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { injectionOf } from '../core/pod-view.ts';
import { FENCE_PROBE_AUDIENCE } from '../core/vocabulary.ts';
import { pathTo, type KubeCall } from './kube-connection.ts';
import type { Cluster } from './cluster.ts';
import type { KubeCallTools } from './kube-calls.ts';

/** The prefix of every policy in webhook-config/ and the chart. */
const POLICY = /policy keyless-pull-/;

type Probe = Pick<KubeCall, 'method' | 'path' | 'query' | 'body'>;
/** `unclear`: nothing was let through, but it was neither our fence nor RBAC that said no. */
type Finding = 'stands' | 'open' | 'no-right' | 'unclear';

/** The view must have listed the namespaces. */
export async function tryFences(
  tools: KubeCallTools,
  { signal, onNowhere }: Parameters<Cluster['tryFences']>[0],
): Promise<readonly string[]> {
  const self = await whoAmI(tools, signal);
  const namespaces = namespacesToTry(tools);
  const fences = {
    // Our own namespace has a fence of its own, which would refuse in this one's place.
    secrets: ['default', ...namespaces.filter((name) => name !== 'default')].map(secretProbe),
    tokens: [tokenProbe(self.namespace, self.name), ...namespaces.map((name) => tokenProbe(name, 'default'))],
  };
  const missing: string[] = [];
  for (const [fence, probes] of Object.entries(fences)) {
    const found = await tryOne(tools, probes, signal);
    if (found === 'no-right') onNowhere?.(fence);
    else if (found !== 'stands') missing.push(fence);
  }
  return missing;
}

/** Until one tells; `no-right` only if RBAC said no in every one. */
async function tryOne(
  { connection }: KubeCallTools,
  probes: readonly Probe[],
  signal: AbortSignal,
): Promise<Finding> {
  let all: Finding = 'no-right';
  for (const probe of probes) {
    const found = await connection.call({ ...probe, signal }).then((): Finding => 'open', findingIn);
    if (found === 'stands' || found === 'open') return found;
    if (found === 'unclear') all = found;
  }
  return all;
}

function findingIn(error: unknown): Finding {
  if (!isProblem(error, 'cluster-refused', 'namespace-refused', 'quota-exceeded', 'cluster-missing'))
    throw error;
  const { upstream = '', missingRight } = error.details;
  if (POLICY.test(upstream)) return 'stands';
  // In a namespace that is about to go nothing can be made any more.
  return missingRight !== undefined || error.code === 'namespace-refused' ? 'no-right' : 'unclear';
}

/** Those that opted in first: where somebody gives us rights one namespace at a time, it is there. */
function namespacesToTry({ view, namespace }: KubeCallTools): string[] {
  const optedIn: string[] = [];
  const others: string[] = [];
  for (const each of view.namespaces()) {
    if (each.isTerminating || each.name === namespace) continue;
    (injectionOf(each) === 'off' ? others : optedIn).push(each.name);
  }
  return [...optedIn, ...others];
}

function secretProbe(namespace: string): Probe {
  return {
    method: 'POST',
    path: pathTo`/api/v1/namespaces/${namespace}/secrets`,
    query: { dryRun: 'All' },
    body: {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      // Not under our prefix: the fence on everybody else must not answer for the one on us.
      metadata: { name: 'fence-probe.keyless-pull.dev' },
      data: {},
    },
  };
}

/** Nobody asks for a token of this audience but to see that there is none to be had. */
function tokenProbe(namespace: string, account: string): Probe {
  return {
    method: 'POST',
    path: pathTo`/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: [FENCE_PROBE_AUDIENCE], expirationSeconds: 600 },
    },
  };
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
