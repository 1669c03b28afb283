// Pods that pend without our gate and name our Secrets: a DaemonSet's, one with a node already, one that was admitted while
// no worker lived, one that was released and waits for a node. What they still need.
import { injectionOf } from '../core/pod-view.ts';
import { createLookout, eachAtLeisure } from './lookout.ts';
import type { PodView } from '../core/pod-view.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { Keeper } from './keeper.ts';
import type { PodNeeds } from './pod-needs.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';

export interface UngatedPods {
  set(key: string, pod: PodView): void;
  /** @param uid of this pod alone: the end of an earlier one of that name is no end of this one */
  delete(key: string, uid?: string): void;
  hurry(): void;
  /** What they missed when they were last looked at; grows until all are looked at again, and then is a new list. */
  missing(): Promise<readonly PlannedNeed[]>;
}

export interface UngatedPodsTools {
  readonly view: ClusterView;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly needsOf: PodNeeds;
}

export function createUngatedPods({ view, keeper, clock, needsOf }: UngatedPodsTools): UngatedPods {
  const pods = createLookout<PodView>(clock);
  let missing: PlannedNeed[] = [];

  function missingOf(pod: PodView): readonly PlannedNeed[] {
    const namespace = view.namespace(pod.namespace);
    const account = view.account(pod.namespace, pod.serviceAccount);
    if (!namespace || !account || namespace.isTerminating || injectionOf(namespace) !== 'enabled') return [];
    return needsOf(pod, account, namespace).filter(
      ({ need }) => pod.pullSecrets.includes(need.secretName) && keeper.standingOf(need).kind !== 'ready',
    );
  }

  return {
    set: pods.set,
    delete(key, uid) {
      if (uid === undefined || pods.get(key)?.uid === uid) pods.delete(key);
    },
    hurry: pods.hurry,
    async missing() {
      const { isAll, items } = pods.next();
      if (isAll) missing = [];
      await eachAtLeisure(clock, items, (pod) => missing.push(...missingOf(pod)));
      return missing;
    },
  };
}
