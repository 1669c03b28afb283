// Pods that wait for credentials: what they wait for, which gated ones may go, and which must go without.
import { isProblem, type Problem } from '../problem.ts';
import { isGated } from '../core/pod-view.ts';
import type { PodView } from '../core/pod-view.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import { whileLeading } from './leader.ts';
import { createLookout, eachAtLeisure } from './lookout.ts';
import { withCure } from './missing-right.ts';
import { createPodNeeds } from './pod-needs.ts';
import { createPodOutlook } from './pod-outlook.ts';
import { createPodTeller } from './pod-teller.ts';
import { createUngatedPods } from './ungated-pods.ts';
import type { PlannedNeed, PlanSettings } from '../core/pull-plan.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';

export interface PodGate {
  /**
   * Looks at the pods that wait, where there are many at those that have changed: releases the gated that may go, and returns
   * what those that are held and what the others needed when they were last looked at. A list grows until all are looked at
   * again, and then is a new one.
   */
  review(): Promise<readonly (readonly PlannedNeed[])[]>;
  onChange(change: ClusterChange): void;
}

export interface PodGateTools {
  readonly cluster: Pick<Cluster, 'view' | 'removeGate' | 'emit'>;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly log: Log;
  settings(): PlanSettings & { readonly gateSeconds: number };
  isLeading(): boolean;
  /** `late`: why it goes without a credential. */
  onReleased?(seconds: number, late: Problem | undefined): void;
  /** RBAC does not let us open gates in this namespace. */
  onNoRight?(namespace: string): void;
}

const PATCH_MS = 10_000;
/** A gate that could not be removed is tried again after it, however often the worker looks. */
const RETRY_MS = 1_000;
/** And where we lack the right, or a policy of others stands in the way: somebody has to mend it first. */
const NO_RIGHT_MS = 10_000;
/** A worker that works looks once a second; after a longer pause it has not worked in between. */
const LONGEST_PAUSE_MS = 5_000;

export function createPodGate(tools: PodGateTools): PodGate {
  const { cluster, keeper, clock, log, settings, isLeading, onReleased, onNoRight } = tools;
  const waiting = createLookout<PodView>(clock);
  /** By record, since all were looked at: keys of the pods that wait for it. */
  const waitsFor = new Map<string, Set<string>>();
  let byGated: PlannedNeed[] = [];
  const releasing = new Set<string>();
  const teller = createPodTeller(tools);
  /** By uid, since we work without a pause: what no worker could do before is not held against the pods. */
  const firstLooks = new Map<string, number>();
  let lookedAt = 0;
  const needsOf = createPodNeeds(settings);
  const ungated = createUngatedPods({ view: cluster.view, keeper, clock, needsOf });
  const outlookOf = createPodOutlook({ view: cluster.view, keeper, clock, settings, needsOf });

  async function release(pod: PodView, late?: Problem): Promise<void> {
    if (releasing.has(pod.uid)) return;
    releasing.add(pod.uid);
    const seconds = Math.max(0, (clock.now() - pod.createdAt) / 1000);
    try {
      const options = { ...whileLeading(isLeading, clock, PATCH_MS), urgent: true };
      const outcome = await cluster.removeGate(pod, options);
      // Another pod of that name, or this one as the watch knows it by now, is looked at for itself.
      if (waiting.get(keyOf(pod)) === pod) waiting.delete(keyOf(pod));
      if (outcome === 'gone') return;
      onReleased?.(seconds, late);
      teller.released(pod, seconds, late);
    } catch (error) {
      // Not a token of ours that has just run out (401).
      const mayNot = isProblem(error, 'cluster-refused') && !error.details.upstream?.startsWith('401');
      // Gated by hand, or before the right was taken from us: the webhook holds no pod that we may not let go.
      if (mayNot && error.details.missingRight !== undefined) onNoRight?.(pod.namespace);
      if (mayNot) teller.held(pod, withCure(error));
      const level = isProblem(error) ? 'debug' : 'error';
      log[level]({ namespace: pod.namespace, pod: pod.name, error }, 'gate not removed');
      await clock.sleep(mayNot ? NO_RIGHT_MS : RETRY_MS);
    } finally {
      releasing.delete(pod.uid);
      waiting.touch(keyOf(pod));
    }
  }

  function reviewed(pod: PodView): readonly PlannedNeed[] {
    const heldSince = firstLooks.get(pod.uid) ?? clock.now();
    firstLooks.set(pod.uid, heldSince);
    const outlook = outlookOf(pod, heldSince);
    if (outlook.kind === 'release') {
      void release(pod, outlook.late);
      return [];
    }
    if (outlook.heldBy) teller.held(pod, outlook.heldBy);
    for (const { need } of outlook.needs) {
      const record = `${pod.namespace}/${need.secretName}`;
      waitsFor.set(record, (waitsFor.get(record) ?? new Set()).add(keyOf(pod)));
    }
    return outlook.needs;
  }

  return {
    async review() {
      if (!isLeading()) return [];
      const now = clock.now();
      if (Math.abs(now - lookedAt) > LONGEST_PAUSE_MS) {
        firstLooks.clear();
        waiting.hurry();
      }
      lookedAt = now;
      const { isAll, items } = waiting.next();
      if (isAll) {
        waitsFor.clear();
        byGated = [];
      }
      await eachAtLeisure(clock, items, (pod) => {
        // It may have gone or changed since this look began.
        if (waiting.get(keyOf(pod)) === pod) byGated.push(...reviewed(pod));
      });
      return [byGated, await ungated.missing()];
    },
    onChange({ kind, gone, object }) {
      if (kind === 'record') for (const key of waitsFor.get(keyOf(object)) ?? []) waiting.touch(key);
      if (kind === 'namespace' || kind === 'account') for (const pods of [waiting, ungated]) pods.hurry();
      if (kind !== 'pod') return;
      const key = keyOf(object);
      const isOurs =
        !gone && !PROTECTED_NAMESPACES.includes(object.namespace) && !object.isDeleting && object.isPending;
      // The end of an earlier pod of that name is no end of this one's waiting.
      if (isOurs && isGated(object)) waiting.set(key, object);
      else {
        firstLooks.delete(object.uid);
        if (!gone || waiting.get(key)?.uid === object.uid) waiting.delete(key);
      }
      if (isOurs && !isGated(object) && object.pullSecrets.length > 0) ungated.set(key, object);
      else ungated.delete(key, gone ? object.uid : undefined);
    },
  };
}

function keyOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}
