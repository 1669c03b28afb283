// A changed config that was refused, told as an event on our own pod, and that a good one has taken its place.
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterEvent } from '../cluster/cluster.ts';
import type { Problem } from '../problem.ts';

export interface ConfigTellerTools {
  readonly cluster: Pick<Cluster, 'emit' | 'findPods'>;
  readonly clock: Clock;
  readonly namespace: string;
  /** Absent outside of a cluster: there is nothing to hang an event on. */
  readonly podName: string | undefined;
}

const LOOK_UP_MS = 10_000;

/** @returns what is told of each reload: the problem, or nothing for a config that was taken */
export function createConfigTeller(tools: ConfigTellerTools): (refusal: Problem | undefined) => void {
  const { cluster, clock, namespace, podName } = tools;
  let wasRefused = false;

  async function tell(name: string, event: Pick<ClusterEvent, 'reason' | 'type' | 'note'>): Promise<void> {
    // `kubectl describe` asks for events by uid; without one, `kubectl get events` still shows it.
    const pods = await cluster
      .findPods(namespace, { signal: clock.deadline(LOOK_UP_MS) })
      .catch((): readonly { name: string; uid: string }[] => []);
    const uid = pods.find((pod) => pod.name === name)?.uid ?? '';
    cluster.emit({ ...event, regarding: { kind: 'Pod', namespace, name, uid } });
  }

  return (refusal) => {
    const isNews = refusal !== undefined || wasRefused;
    wasRefused = refusal !== undefined;
    if (podName === undefined || !isNews) return;
    void tell(
      podName,
      refusal
        ? {
            reason: 'ConfigRefused',
            type: 'Warning',
            // The faults stay in the log: YAML's own words may repeat what stands in the file.
            note: `the changed config is refused, the old one stays in force (${refusal.code}): ${refusal.message}; the log names every fault`,
          }
        : { reason: 'ConfigTaken', type: 'Normal', note: 'the config on disk is good again and in force' },
    );
  };
}
