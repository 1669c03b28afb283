// What a pod needs, remembered: a plan is a pure function of these, and waiting pods are looked at many times.
import { planPulls, type PlannedNeed, type PlanSettings } from '../core/pull-plan.ts';
import type { AccountView, NamespaceView, PodView } from '../core/pod-view.ts';

export type PodNeeds = (
  pod: PodView,
  account: AccountView,
  namespace: NamespaceView,
) => readonly PlannedNeed[];

export function createPodNeeds(settings: () => PlanSettings): PodNeeds {
  const plans = new WeakMap<
    PodView,
    { readonly from: readonly unknown[]; readonly needs: readonly PlannedNeed[] }
  >();
  return (pod, account, namespace) => {
    const { rules, needsPerPod } = settings();
    const from = [account, namespace, rules];
    const known = plans.get(pod);
    if (known?.from.every((part, at) => part === from[at])) return known.needs;
    const { needs } = planPulls(pod, account, namespace.labels, { rules, needsPerPod });
    plans.set(pod, { from, needs });
    return needs;
  };
}
