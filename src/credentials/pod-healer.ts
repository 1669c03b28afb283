// Pods that should carry our reference and do not: made before the opt-in, or under other rules. Nobody can add it to a
// pod that is there; a new one has it. They are reported, and where the config says so evicted, each once.
import { isProblem } from '../problem.ts';
import { injectionOf, type PodView } from '../core/pod-view.ts';
import { whileLeading } from './leader.ts';
import type { Caretaking, CareTools, HealingOutcome } from './caretaker.ts';
import type { EventReason } from '../cluster/cluster.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';

/** A pod that was just made is seen before its account's or namespace's last change. */
const SETTLED_MS = 10_000;
const CALL_MS = 10_000;
/** A PodDisruptionBudget, or a right that is missing, is tried again after it. */
const RETRY_MS = 60_000;
/** What was made in place of a pod that we evicted, and hangs again, hangs for another reason: once an hour is no loop. */
const REPLACED_MS = 3_600_000;
/** Of what is remembered of pods that are no more; looking for it costs the more the more pods there are. */
const PRUNE_MS = 60_000;
/** They make no other one, or the very same at the same node. */
const NOT_EVICTED = ['DaemonSet', 'Node'];

export function createPodHealer(tools: CareTools): Caretaking {
  const { cluster, obtain, clock, log, settings, onHealing } = tools;
  /** By uid, when something was last done about a pod; `evicted` is done for good. */
  const known = new Map<string, { readonly isEvicted: boolean; readonly tryAt: number }>();
  /** By the uid of a controller, when the first of its pods was evicted. */
  const replaced = new Map<string, number>();
  let prunedAt = 0;

  function tell(pod: PodView, outcome: HealingOutcome, reason: EventReason, note: string): void {
    onHealing?.(outcome);
    const { namespace, name, uid } = pod;
    log.warn({ namespace, pod: name, outcome }, 'pod without its credential');
    const type = reason === 'PodHealed' ? 'Normal' : 'Warning';
    cluster.emit({ reason, type, note, regarding: { kind: 'Pod', namespace, name, uid } });
  }

  function report(pod: PodView, missing: readonly PlannedNeed[]): void {
    known.set(pod.uid, { isEvicted: false, tryAt: 0 });
    const hosts = missing.map(({ need }) => need.host).join(', ');
    const names = missing.map(({ need }) => need.secretName).join(', ');
    const note = `this pod does not name ${names} and so pulls from ${hosts} without a credential: a new pod in its place will have it`;
    tell(pod, 'reported', 'PodWithoutCredential', note);
  }

  function mayEvict(pod: PodView, now: number): boolean {
    const { controller } = pod;
    if (settings().heal !== 'evict' || !controller) return false;
    if (pod.ownedByDaemonSet || NOT_EVICTED.includes(controller.kind)) return false;
    const since = replaced.get(controller.uid);
    if (since === undefined || now - since >= REPLACED_MS) return true;
    // Timestamps of pods are whole seconds.
    return pod.createdAt < Math.floor(since / 1000) * 1000;
  }

  async function evict(pod: PodView, needs: readonly PlannedNeed[]): Promise<void> {
    const later = () => known.set(pod.uid, { isEvicted: false, tryAt: clock.now() + RETRY_MS });
    later();
    // Without a credential its successor would hang in its place.
    for (const planned of needs) if (!(await obtain(planned))) return;
    const current = cluster.view.namespace(pod.namespace);
    if (!tools.isLeading() || injectionOf(current) !== 'enabled' || current?.isTerminating) return;
    known.set(pod.uid, { isEvicted: true, tryAt: 0 });
    try {
      const outcome = await cluster.evictPod(pod, whileLeading(tools.isLeading, clock, CALL_MS));
      if (outcome === 'held') {
        later();
        onHealing?.('held');
      }
      if (outcome !== 'evicted') return;
      if (pod.controller && !isReplacing(pod.controller.uid)) replaced.set(pod.controller.uid, clock.now());
      const hosts = needs.map(({ need }) => need.host).join(', ');
      tell(pod, 'evicted', 'PodHealed', `evicted: the pod in its place will have a credential for ${hosts}`);
    } catch (error) {
      if (!isProblem(error)) throw error;
      // Whether it was done is not known: where it was, the watch shows a pod that is being deleted.
      later();
      onHealing?.('failed');
      log.warn({ namespace: pod.namespace, pod: pod.name, error }, 'pod not evicted');
    }
  }

  const isReplacing = (controller: string) =>
    clock.now() - (replaced.get(controller) ?? -REPLACED_MS) < REPLACED_MS;

  /** Runs with what it was given under the rules or annotations of its time, and will until it is made anew. */
  function hasEarlier(pod: PodView, { need }: PlannedNeed): boolean {
    return pod.pullSecrets.some(
      (name) => cluster.view.record(pod.namespace, name)?.host === need.host && name !== need.secretName,
    );
  }

  return {
    look(start, pods) {
      const now = clock.now();
      // As long as the pod is there: what hides it for a moment does not have it told of, or evicted, twice.
      if (known.size > 0 && now - prunedAt >= PRUNE_MS) {
        prunedAt = now;
        const there = new Set<string>();
        for (const { uid } of cluster.view.pods()) there.add(uid);
        for (const uid of known.keys()) if (!there.has(uid)) known.delete(uid);
      }
      for (const [controller, at] of replaced) if (now - at >= REPLACED_MS) replaced.delete(controller);
      for (const { pod, missing, failing } of pods) {
        if (missing.length === 0) continue;
        const seen = known.get(pod.uid);
        // While a namespace is drained its new pods are given nothing.
        if (injectionOf(cluster.view.namespace(pod.namespace)) !== 'enabled') continue;
        const hanging = missing.filter((planned) => failing.includes(planned));
        const isWrong = hanging.length > 0 || missing.some((planned) => !hasEarlier(pod, planned));
        if (!isWrong || now - pod.createdAt < SETTLED_MS) continue;
        if (!seen) report(pod, hanging.length > 0 ? hanging : missing);
        else if (hanging.length > 0 && !seen.isEvicted && now >= seen.tryAt && mayEvict(pod, now))
          // One at a time, all over the cluster.
          start('evict', () => evict(pod, hanging));
      }
    },
  };
}
