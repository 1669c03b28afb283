// Pods that are there to pull and cannot, or lack what they should carry. Of ten thousand pods a few are looked at every
// second, and all every ten minutes.
import { injectionOf, isGated, type PodView } from '../core/pod-view.ts';
import { hostOfImage } from '../core/image-reference.ts';
import { planPulls, type PlannedNeed, type PlanSettings } from '../core/pull-plan.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { ClusterChange, ClusterView } from '../cluster/cluster.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

/** A pod that is there to pull. */
export interface PulledPod {
  readonly pod: PodView;
  /** What it should carry and does not. */
  readonly missing: readonly PlannedNeed[];
  /** Of all that it should carry, those for whose host the kubelet has tried in vain. */
  readonly failing: readonly PlannedNeed[];
}

export interface PulledPods {
  /** Those with something missing or failing. Must be called no more often than once in a while: it looks at many. */
  list(): PulledPod[];
  onChange(change: ClusterChange): void;
}

export interface PulledPodsTools {
  readonly view: ClusterView;
  readonly clock: Clock;
  settings(): PlanSettings;
}

/** The more there are, the more seldom all are looked at. */
const MS_PER_POD = 60;
const LONGEST_PAUSE_MS = 600_000;
/** Accounts change all the time, and what that changes for their pods is not urgent. */
const LONGEST_AFTER_CHANGE_MS = 10_000;

export function createPulledPods({ view, clock, settings }: PulledPodsTools): PulledPods {
  /** By name: had something missing or failing at the last look, or has changed since. */
  const soon = new Map<string, PodView>();
  let allSeen: { until: number; readonly under: readonly RegistryRule[] } | undefined;
  /** A plan is a pure function of these. */
  const plans = new WeakMap<PodView, { readonly from: readonly unknown[]; readonly made: PulledPod }>();

  /** In namespaces that have left nothing is looked after any more. */
  function pulled(pod: PodView): PulledPod | undefined {
    if (pod.isDeleting || pod.isOver || pod.isMirror || isGated(pod)) return undefined;
    if (PROTECTED_NAMESPACES.includes(pod.namespace)) return undefined;
    const namespace = view.namespace(pod.namespace);
    const account = view.account(pod.namespace, pod.serviceAccount);
    if (!namespace || namespace.isTerminating || injectionOf(namespace) === 'off') return undefined;
    if (!account || account.isDeleting) return undefined;
    const { rules, needsPerPod } = settings();
    const from = [namespace, account, rules];
    const known = plans.get(pod);
    if (known?.from.every((part, at) => part === from[at])) return known.made;
    const { needs } = planPulls(pod, account, namespace.labels, { rules, needsPerPod });
    const hosts = pod.failedImages.map(hostOfImage);
    const failing = needs.filter(({ need }) => hosts.includes(need.host));
    const missing = needs.filter(({ need }) => !pod.pullSecrets.includes(need.secretName));
    const made = { pod, missing, failing };
    plans.set(pod, { from, made });
    return made;
  }

  return {
    list() {
      const now = clock.monotonic();
      const { rules } = settings();
      if (!allSeen || allSeen.under !== rules || now >= allSeen.until) {
        soon.clear();
        for (const pod of view.pods()) soon.set(keyOf(pod), pod);
        const pause = Math.min(soon.size * MS_PER_POD, LONGEST_PAUSE_MS);
        allSeen = { until: now + pause, under: rules };
      }
      const wrong: PulledPod[] = [];
      for (const [key, pod] of soon) {
        const made = pulled(pod);
        if (made && made.missing.length + made.failing.length > 0) wrong.push(made);
        else {
          soon.delete(key);
          plans.delete(pod);
        }
      }
      return wrong;
    },
    onChange({ kind, gone, object }) {
      if (kind === 'pod' && gone) soon.delete(keyOf(object));
      else if (kind === 'pod') soon.set(keyOf(object), object);
      else if (kind === 'namespace') allSeen = undefined;
      else if (kind === 'account' && allSeen)
        allSeen.until = Math.min(allSeen.until, clock.monotonic() + LONGEST_AFTER_CHANGE_MS);
    },
  };
}

function keyOf({ namespace, name }: PodView): string {
  return `${namespace}/${name}`;
}
