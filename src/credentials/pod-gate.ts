// Pods that wait for credentials: what they wait for, which gated ones may go, and which must go without.
import { isProblem, Problem } from '../problem.ts';
import {
  injectionOf,
  isGated,
  type AccountView,
  type NamespaceView,
  type PodView,
} from '../core/pod-view.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import { planPulls, type PlannedNeed, type PlanSettings } from '../core/pull-plan.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';

export interface PodGate {
  /** Looks at every pod that waits: releases the gated that may go, and returns what the others need. */
  review(): PlannedNeed[];
  onChange(change: ClusterChange): void;
}

export interface PodGateTools {
  readonly cluster: Pick<Cluster, 'view' | 'removeGate' | 'emit'>;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly log: Log;
  settings(): PlanSettings & { readonly gateSeconds: number };
  isLeading(): boolean;
  onReleased?(seconds: number, late: boolean): void;
}

/** However long the queue, a pod waits no longer, unless the config lets even a single attempt take more. */
const QUEUED_SECONDS = 120;
const PATCH_MS = 10_000;
/** A gate that could not be removed is tried again after it, however often the worker looks. */
const RETRY_MS = 1_000;
/** A worker that works looks once a second; after a longer pause it has not worked in between. */
const LONGEST_PAUSE_MS = 5_000;

/** What a pod waits for; `late` ends its wait without a credential. */
type Outlook =
  | { readonly kind: 'release'; readonly late?: Problem }
  | { readonly kind: 'wait'; readonly needs: readonly PlannedNeed[] };

export function createPodGate({
  cluster,
  keeper,
  clock,
  log,
  settings,
  isLeading,
  onReleased,
}: PodGateTools): PodGate {
  const waiting = new Map<string, PodView>();
  const releasing = new Set<string>();
  /** Since when we work without a pause: what no worker could do before is not held against the pods. */
  let workingSince = 0;
  let lookedAt = 0;
  /** A plan is a pure function of these, and a thousand waiting pods are looked at many times a second. */
  const plans = new WeakMap<
    PodView,
    { readonly from: readonly unknown[]; readonly needs: readonly PlannedNeed[] }
  >();

  function needsOf(pod: PodView, account: AccountView, namespace: NamespaceView): readonly PlannedNeed[] {
    const { rules, needsPerPod } = settings();
    const from = [account, namespace, rules];
    const known = plans.get(pod);
    if (known?.from.every((part, at) => part === from[at])) return known.needs;
    const { needs } = planPulls(pod, account, namespace.labels, { rules, needsPerPod });
    plans.set(pod, { from, needs });
    return needs;
  }

  /** Not gated: a DaemonSet's, one with a node already, or one that was admitted while no worker lived. */
  function needsOfUngated(pod: PodView): readonly PlannedNeed[] {
    const namespace = cluster.view.namespace(pod.namespace);
    const account = cluster.view.account(pod.namespace, pod.serviceAccount);
    if (!namespace || !account || injectionOf(namespace) !== 'enabled') return [];
    return needsOf(pod, account, namespace).filter(
      ({ need }) => pod.pullSecrets.includes(need.secretName) && keeper.standingOf(need).kind !== 'ready',
    );
  }

  function outlookOf(pod: PodView): Outlook {
    const { gateSeconds } = settings();
    const waited = (clock.now() - Math.max(pod.createdAt, workingSince)) / 1000;
    const namespace = cluster.view.namespace(pod.namespace);
    if (namespace && injectionOf(namespace) === 'off') {
      return {
        kind: 'release',
        late: new Problem('namespace-refused', `namespace ${pod.namespace} has not opted in (any more)`),
      };
    }
    const account = cluster.view.account(pod.namespace, pod.serviceAccount);
    if (!account || !namespace) {
      const missing = new Problem(
        'service-account-missing',
        `ServiceAccount ${pod.namespace}/${pod.serviceAccount} does not exist`,
      );
      return waited < gateSeconds ? { kind: 'wait', needs: [] } : { kind: 'release', late: missing };
    }
    const pending: PlannedNeed[] = [];
    let refusal: Problem | undefined;
    let obstacle: Problem | undefined;
    let staysHeld = false;
    for (const planned of needsOf(pod, account, namespace)) {
      const standing = keeper.standingOf(planned.need);
      if (standing.kind === 'ready') continue;
      pending.push(planned);
      const problem =
        standing.kind === 'refused' ? new Problem(standing.code, standing.message) : standing.problem;
      // Nobody's Secret is touched, and a pod that started beside it would pull with another's login.
      if (problem?.code === 'secret-not-ours') staysHeld = true;
      else if (standing.kind === 'refused') refusal ??= problem;
      else obstacle ??= problem;
    }
    if (pending.length === 0) return { kind: 'release' };
    if (refusal && !staysHeld) return { kind: 'release', late: refusal };
    if (staysHeld || isWithinPatience(pod, pending, gateSeconds)) return { kind: 'wait', needs: pending };
    const hosts = pending.map(({ need }) => need.host).join(', ');
    const late = new Problem('deadline', `no credential for ${hosts} came in ${Math.round(waited)} s`);
    return { kind: 'release', late: obstacle ?? late };
  }

  /** A need has its seconds from its first attempt on: what waits for its turn behind thousands is no fault of anybody's. */
  function isWithinPatience(pod: PodView, pending: readonly PlannedNeed[], gateSeconds: number): boolean {
    const now = clock.now();
    const from = Math.max(pod.createdAt, workingSince);
    if (now - from >= Math.max(QUEUED_SECONDS, gateSeconds) * 1000) return false;
    return pending.every(({ need }) => {
      const begunAt = keeper.begunAt(need);
      return begunAt === undefined || now - Math.max(begunAt, from) < gateSeconds * 1000;
    });
  }

  async function release(pod: PodView, late?: Problem): Promise<void> {
    if (releasing.has(pod.uid)) return;
    releasing.add(pod.uid);
    const seconds = Math.max(0, (clock.now() - pod.createdAt) / 1000);
    try {
      const outcome = await cluster.removeGate(pod, { signal: clock.deadline(PATCH_MS), urgent: true });
      // Another pod of that name, or this one as the watch knows it by now, is looked at for itself.
      if (waiting.get(keyOf(pod)) === pod) waiting.delete(keyOf(pod));
      if (outcome === 'gone') return;
      onReleased?.(seconds, late !== undefined);
      const shown = { namespace: pod.namespace, pod: pod.name, seconds, ...(late && { code: late.code }) };
      log[late ? 'warn' : 'info'](shown, late ? 'pod released without a credential' : 'pod released');
      const after = `${seconds.toFixed(1)} s`;
      cluster.emit({
        reason: late ? 'PodReleasedLate' : 'PodReleased',
        type: late ? 'Warning' : 'Normal',
        regarding: { kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
        note: late
          ? `released after ${after} without a credential (${late.code}): ${late.message}`
          : `credentials ready after ${after}`,
      });
    } catch (error) {
      const level = isProblem(error) ? 'debug' : 'error';
      log[level]({ namespace: pod.namespace, pod: pod.name, error }, 'gate not removed');
      await clock.sleep(RETRY_MS);
    } finally {
      releasing.delete(pod.uid);
    }
  }

  return {
    review() {
      if (!isLeading()) return [];
      const now = clock.now();
      if (Math.abs(now - lookedAt) > LONGEST_PAUSE_MS) workingSince = now;
      lookedAt = now;
      const wanted: PlannedNeed[] = [];
      for (const pod of waiting.values()) {
        if (!isGated(pod)) {
          wanted.push(...needsOfUngated(pod));
          continue;
        }
        const outlook = outlookOf(pod);
        if (outlook.kind === 'wait') wanted.push(...outlook.needs);
        else void release(pod, outlook.late);
      }
      return wanted;
    },
    onChange({ kind, gone, object }) {
      if (kind !== 'pod') return;
      const isOurs =
        !PROTECTED_NAMESPACES.includes(object.namespace) && !object.isDeleting && object.isPending;
      if (!gone && isOurs && (isGated(object) || object.pullSecrets.length > 0))
        waiting.set(keyOf(object), object);
      // The end of an earlier pod of that name is no end of this one's waiting.
      else if (!gone || waiting.get(keyOf(object))?.uid === object.uid) waiting.delete(keyOf(object));
    },
  };
}

function keyOf(pod: PodView): string {
  return `${pod.namespace}/${pod.name}`;
}
