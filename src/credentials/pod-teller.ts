// What people are told of a pod's gate: an event on the pod, and one log line each.
import { isProblem, type Problem } from '../problem.ts';
import type { PodView } from '../core/pod-view.ts';
import type { Cluster, ClusterEvent } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

export interface PodTeller {
  /** @param late why it goes without a credential */
  released(pod: PodView, seconds: number, late: Problem | undefined): void;
  /** What keeps it held until somebody makes way: another's Secret, or a right that we lack. Once for each pod and problem. */
  held(pod: PodView, problem: Problem): void;
}

/** Of 60 bytes each; whoever is forgotten is told once more. */
const MOST_HELD = 10_000;

export function createPodTeller({
  cluster,
  log,
}: {
  readonly cluster: Pick<Cluster, 'emit'>;
  readonly log: Log;
}): PodTeller {
  const told = new Set<string>();

  function emit(pod: PodView, event: Pick<ClusterEvent, 'reason' | 'type' | 'note'>): void {
    const { namespace, name, uid } = pod;
    cluster.emit({ ...event, regarding: { kind: 'Pod', namespace, name, uid } });
  }

  return {
    released(pod, seconds, late) {
      const shown = { namespace: pod.namespace, pod: pod.name, seconds, ...(late && { code: late.code }) };
      log[late ? 'warn' : 'info'](shown, late ? 'pod released without a credential' : 'pod released');
      const after = `${seconds.toFixed(1)} s`;
      emit(pod, {
        reason: late ? 'PodReleasedLate' : 'PodReleased',
        type: late ? 'Warning' : 'Normal',
        note: late
          ? `released after ${after} without a credential (${late.code}): ${late.message}`
          : `credentials ready after ${after}`,
      });
    },

    held(pod, problem) {
      const key = `${pod.uid} ${problem.code}`;
      if (told.has(key)) return;
      if (told.size >= MOST_HELD) told.clear();
      told.add(key);
      log.warn({ namespace: pod.namespace, pod: pod.name, error: problem }, 'pod held');
      const why = `(${problem.code}): ${problem.message}`;
      if (isProblem(problem, 'secret-not-ours'))
        return emit(pod, {
          reason: 'SecretNotOurs',
          type: 'Warning',
          note: `held until that Secret is gone ${why}`,
        });
      emit(pod, {
        reason: 'PodHeld',
        type: 'Warning',
        note: `its gate may not be opened ${why}; keyless-pull release opens it with your own rights`,
      });
    },
  };
}
