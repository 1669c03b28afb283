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

/** However long the queue, a pod waits no longer. */
const QUEUED_SECONDS = 120;
const PATCH_MS = 10_000;

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
    const waited = (clock.now() - pod.createdAt) / 1000;
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
    let staysHeld = false;
    for (const planned of needsOf(pod, account, namespace)) {
      const standing = keeper.standingOf(planned.need);
      if (standing.kind === 'ready') continue;
      pending.push(planned);
      if (standing.kind !== 'refused') continue;
      // Nobody's Secret is touched, and a pod that started beside it would pull with another's login.
      if (standing.code === 'secret-not-ours') staysHeld = true;
      else refusal ??= new Problem(standing.code, standing.message);
    }
    if (pending.length === 0) return { kind: 'release' };
    if (refusal && !staysHeld) return { kind: 'release', late: refusal };
    if (staysHeld || isWithinPatience(pod, pending, gateSeconds)) return { kind: 'wait', needs: pending };
    const hosts = pending.map(({ need }) => need.host).join(', ');
    return {
      kind: 'release',
      late: new Problem('deadline', `no credential for ${hosts} came in ${Math.round(waited)} s`),
    };
  }

  /** A need has its seconds from its first attempt on: what waits for its turn behind thousands is no fault of anybody's. */
  function isWithinPatience(pod: PodView, pending: readonly PlannedNeed[], gateSeconds: number): boolean {
    const now = clock.now();
    if (now - pod.createdAt >= QUEUED_SECONDS * 1000) return false;
    return pending.every(({ need }) => {
      const begunAt = keeper.begunAt(need);
      return begunAt === undefined || now - Math.max(begunAt, pod.createdAt) < gateSeconds * 1000;
    });
  }

  async function release(pod: PodView, late?: Problem): Promise<void> {
    if (releasing.has(pod.uid)) return;
    releasing.add(pod.uid);
    const seconds = Math.max(0, (clock.now() - pod.createdAt) / 1000);
    try {
      const outcome = await cluster.removeGate(pod, { signal: clock.deadline(PATCH_MS), urgent: true });
      waiting.delete(keyOf(pod));
      if (outcome === 'gone') return;
      onReleased?.(seconds, late !== undefined);
      const regarding = { kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid } as const;
      const shown = { namespace: pod.namespace, pod: pod.name, seconds };
      if (late) {
        log.warn({ ...shown, code: late.code }, 'pod released without a credential');
        const note = `released after ${seconds.toFixed(1)} s without a credential (${late.code}): ${late.message}`;
        cluster.emit({ reason: 'PodReleasedLate', type: 'Warning', regarding, note });
      } else {
        log.info(shown, 'pod released');
        cluster.emit({
          reason: 'PodReleased',
          type: 'Normal',
          regarding,
          note: `credentials ready after ${seconds.toFixed(1)} s`,
        });
      }
    } catch (error) {
      // The next look at all gated pods, a second away, tries again.
      const level = isProblem(error) ? 'debug' : 'error';
      log[level]({ namespace: pod.namespace, pod: pod.name, error }, 'gate not removed');
    } finally {
      releasing.delete(pod.uid);
    }
  }

  return {
    review() {
      if (!isLeading()) return [];
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
      else waiting.delete(keyOf(object));
    },
  };
}

function keyOf(pod: PodView): string {
  return `${pod.namespace}/${pod.name}`;
}
