// What a pod that cannot pull has us do: its Secret is written again, for we cannot look whether somebody emptied it or
// took it away. The credential is a new one, because nobody here can read the old one back.
import { isProblem, type Problem } from '../problem.ts';
import { isReadyFor } from '../core/pull-credential-record.ts';
import { recordNameOf } from './recorded-need.ts';
import { mayPass } from './attempt.ts';
import type { Caretaking, CareTools } from './caretaker.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';

/** What is known of a need whose pods cannot pull. */
interface Trouble {
  /** The last time that its Secret was written for it, by the monotonic clock, and how long that is given to help. */
  readonly at: number;
  readonly waitMs: number;
  /** For whom that was; who comes later has not had a try. */
  readonly pods: ReadonlySet<string>;
}

/**
 * So young a Secret is good: what cannot pull yet has not tried with it. With a look and the issue itself it stays below the
 * minute after the first failed pull in which a Secret that somebody took away is back.
 */
const YOUNG_MS = 55_000;
/** Kubelets try again after 5 minutes at most. What writing did not cure, a misspelt tag for one, is asked for ever more seldom. */
const LONGEST_WAIT_MS = 900_000;

export function createSecretRepair(tools: CareTools): Caretaking {
  const { cluster, issuer, keeper, obtain, clock, log, limits, onRepair } = tools;
  let troubles = new Map<string, Trouble>();

  async function repair(planned: PlannedNeed): Promise<void> {
    const { need } = planned;
    const { namespace, account: serviceAccount } = need.identity;
    const shown = { namespace, serviceAccount, rule: need.rule, registry: need.host };
    // Not before there is a place: of a hundred that cannot pull those that only wait would use up the bucket.
    if (!limits.begin(planned)) return;
    try {
      await issuer.issue(planned);
      limits.ended(planned, { kind: 'ready', isNew: true, freshUntil: 0 });
      onRepair?.(need.rule, 'issued');
      log.info(shown, 'Secret written again for pods that cannot pull');
    } catch (error) {
      if (!isProblem(error)) {
        limits.ended(planned);
        throw error;
      }
      limits.ended(planned, { kind: 'failed', problem: error, firstAt: 0, failures: 1, freshUntil: 0 });
      onRepair?.(need.rule, error.code);
      log.warn({ ...shown, error }, 'Secret not written again for pods that cannot pull');
      await failed(planned, error);
    }
  }

  /** What is still good stays so; the record says why it could not be written anew. */
  async function failed({ need }: PlannedNeed, problem: Problem): Promise<void> {
    const name = recordNameOf(need);
    const known = troubles.get(name);
    const waitMs = Math.max(known?.waitMs ?? 0, problem.details.retryAfterMs ?? 0);
    if (known) troubles.set(name, { ...known, waitMs });
    if (!mayPass(problem.code)) await issuer.report(need, problem);
  }

  return {
    look(start, hanging) {
      const now = clock.now();
      const before = troubles;
      troubles = new Map();
      for (const [name, { planned, pods }] of needsOf(hanging)) {
        const known = before.get(name);
        if (known) troubles.set(name, known);
        const { need } = planned;
        const record = cluster.view.record(need.identity.namespace, need.secretName);
        // What is pending is the worker's own loop's; what has run and hangs again is nobody's.
        if (!record && keeper.dueAt(need) <= now) start(name, async () => void (await obtain(planned)));
        const { status } = record ?? {};
        if (!status || !isReadyFor(record, need, now) || now + YOUNG_MS >= status.refreshAt) continue;
        const isKnown = known && [...pods].every((uid) => known.pods.has(uid));
        const waitMs = isKnown ? known.waitMs : YOUNG_MS;
        const at = clock.monotonic();
        if (now < status.issuedAt + YOUNG_MS || at < (known?.at ?? -Infinity) + waitMs) continue;
        if (limits.mayBegin(planned) && start(name, () => repair(planned)))
          troubles.set(name, { at, waitMs: Math.min(2 * waitMs, LONGEST_WAIT_MS), pods });
      }
    },
  };

  /** By record: what the pods that cannot pull have a Secret for. */
  function needsOf(hanging: Parameters<Caretaking['look']>[1]) {
    const needs = new Map<string, { readonly planned: PlannedNeed; readonly pods: Set<string> }>();
    for (const { pod, failing } of hanging) {
      for (const planned of failing) {
        if (!pod.pullSecrets.includes(planned.need.secretName)) continue;
        const name = recordNameOf(planned.need);
        const known = needs.get(name) ?? { planned, pods: new Set<string>() };
        needs.set(name, known);
        known.pods.add(pod.uid);
      }
    }
    return needs;
  }
}
