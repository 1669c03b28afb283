// Static pull secrets in pods that were admitted with them, told as events: in namespaces that warn, and what an
// administrator let through in those that enforce. A review has no side effects, so the working worker tells, from what its
// watch shows it: pods that are pending. Best effort, and never a storm.
import { findingsOf, recordedNames, staticPullSecretsMode, type Policy } from '../core/pull-policy.ts';
import { injectionOf, type PodView } from '../core/pod-view.ts';
import { planPulls, type PlanSettings } from '../core/pull-plan.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { Cluster } from '../cluster/cluster.ts';

export interface StaticPullTools {
  readonly cluster: Pick<Cluster, 'view' | 'emit'>;
  readonly clock: Clock;
  readonly settings: () => PlanSettings & { readonly policy: Policy };
  readonly isLeading: () => boolean;
}

/** The same Secret of the same account is told again after it. */
const AGAIN_MS = 3_600_000;
/** Of one account within that time: names are tenants' to invent. */
const MOST_OF_ACCOUNT = 5;
const MOST_ACCOUNTS = 10_000;

/** @returns what ends it */
export function tellStaticPullSecrets(tools: StaticPullTools): () => void {
  const { cluster, clock, settings, isLeading } = tools;
  const { view } = cluster;
  /** By the account's uid. */
  const told = new Map<string, { readonly since: number; readonly secrets: Set<string> }>();

  function toldOf(accountUid: string): Set<string> {
    const now = clock.now();
    const known = told.get(accountUid);
    if (known && now - known.since < AGAIN_MS) return known.secrets;
    told.delete(accountUid);
    const [oldest] = told.keys();
    if (told.size >= MOST_ACCOUNTS && oldest !== undefined) told.delete(oldest);
    const secrets = new Set<string>();
    told.set(accountUid, { since: now, secrets });
    return secrets;
  }

  function look(pod: PodView): void {
    if (pod.pullSecrets.length === 0 || !pod.isPending || pod.isDeleting || pod.isMirror) return;
    if (!isLeading() || PROTECTED_NAMESPACES.includes(pod.namespace)) return;
    const namespace = view.namespace(pod.namespace);
    const account = view.account(pod.namespace, pod.serviceAccount);
    // What the watches do not know yet is there when the pod changes next.
    if (!namespace || namespace.isTerminating || !account) return;
    const { policy, ...plannable } = settings();
    if (!['enforce', 'warn'].includes(staticPullSecretsMode(namespace.labels, policy.defaultMode))) return;
    const already = told.get(account.uid)?.secrets;
    if (already && pod.pullSecrets.every((secret) => already.has(secret)) && toldOf(account.uid) === already)
      return;

    const asIfIncluded = { ...pod, labels: {} };
    const findings = findingsOf({
      pod,
      account,
      plan: planPulls(asIfIncluded, account, namespace.labels, plannable),
      ...recordedNames(view.recordsOf(pod.namespace, account.name), account.uid),
      namespaceOptedIn: injectionOf(namespace) === 'enabled',
      policy,
      now: clock.now(),
    });
    for (const { secret, what, cure, exemption } of findings) {
      if (exemption) continue;
      const secrets = toldOf(account.uid);
      if (secrets.has(secret) || secrets.size >= MOST_OF_ACCOUNT) continue;
      secrets.add(secret);
      const { namespace: space, name, uid } = pod;
      cluster.emit({
        reason: 'StaticPullSecret',
        type: 'Warning',
        note: `${what}; ${cure} (keyless-pull explain pod ${name} -n ${space} shows more)`,
        regarding: { kind: 'Pod', namespace: space, name, uid },
      });
    }
  }

  return view.onChange((change) => {
    if (change.kind === 'pod' && !change.gone) look(change.object);
  });
}
