// What becomes of a pod that is held: it may go, it must go without, or it waits, and for what.
import { injectionOf, type PodView } from '../core/pod-view.ts';
import { Problem } from '../problem.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { Keeper } from './keeper.ts';
import type { PodNeeds } from './pod-needs.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';

/** What a pod waits for; `late` ends its wait without a credential. */
export type Outlook =
  | { readonly kind: 'release'; readonly late?: Problem }
  /** `heldBy`: what no waiting cures. */
  | { readonly kind: 'wait'; readonly needs: readonly PlannedNeed[]; readonly heldBy?: Problem };

/** @param heldSince epoch milliseconds by our own clock, not by the API server's, which may be minutes from it */
export type PodOutlook = (pod: PodView, heldSince: number) => Outlook;

export interface PodOutlookTools {
  readonly view: ClusterView;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly needsOf: PodNeeds;
  settings(): { readonly gateSeconds: number };
}

/** However long the queue, a pod waits no longer, unless the config lets even a single attempt take more. */
const QUEUED_SECONDS = 120;

export function createPodOutlook({ view, keeper, clock, needsOf, settings }: PodOutlookTools): PodOutlook {
  function outlookOf(pod: PodView, heldSince: number): Outlook {
    const { gateSeconds } = settings();
    const waited = (clock.now() - heldSince) / 1000;
    const namespace = view.namespace(pod.namespace);
    // It takes its pods along, and nothing can be made in it any more.
    if (namespace?.isTerminating) return { kind: 'wait', needs: [] };
    if (namespace && injectionOf(namespace) === 'off') {
      return {
        kind: 'release',
        late: new Problem('namespace-refused', `namespace ${pod.namespace} has not opted in (any more)`),
      };
    }
    const account = view.account(pod.namespace, pod.serviceAccount);
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
    let heldBy: Problem | undefined;
    for (const planned of needsOf(pod, account, namespace)) {
      const standing = keeper.standingOf(planned.need);
      if (standing.kind === 'ready') continue;
      pending.push(planned);
      const problem =
        standing.kind === 'refused' ? new Problem(standing.code, standing.message) : standing.problem;
      // Nobody's Secret is touched, and a pod that started beside it would pull with another's login.
      if (problem?.code === 'secret-not-ours') {
        staysHeld = true;
        if (standing.kind === 'refused') heldBy ??= problem;
      } else if (standing.kind === 'refused') refusal ??= problem;
      else obstacle ??= problem;
    }
    if (pending.length === 0) return { kind: 'release' };
    if (refusal && !staysHeld) return { kind: 'release', late: refusal };
    if (staysHeld || isWithinPatience(heldSince, pending, gateSeconds))
      return { kind: 'wait', needs: pending, ...(heldBy && { heldBy }) };
    const hosts = pending.map(({ need }) => need.host).join(', ');
    const late = new Problem('deadline', `no credential for ${hosts} came in ${Math.round(waited)} s`);
    return { kind: 'release', late: obstacle ?? late };
  }

  /** A need has its seconds from its first attempt on: what waits for its turn behind thousands is no fault of anybody's. */
  function isWithinPatience(from: number, pending: readonly PlannedNeed[], gateSeconds: number): boolean {
    const now = clock.now();
    if (now - from >= Math.max(QUEUED_SECONDS, gateSeconds) * 1000) return false;
    return pending.every(({ need }) => {
      const begunAt = keeper.begunAt(need);
      return begunAt === undefined || now - Math.max(begunAt, from) < gateSeconds * 1000;
    });
  }

  return outlookOf;
}
