// The worker's loop: what is due is obtained, sixteen at once; what is dead and cannot be renewed is emptied.
import { isProblem } from '../problem.ts';
import { injectionOf } from '../core/pod-view.ts';
import { createTeller } from './credential-events.ts';
import { createDueNeeds, recordedNeedOf, recordNameOf } from './due-needs.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Issuer } from './issuer.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

export interface RefreshWorker {
  /** Runs until the signal aborts and all that is under way has ended. */
  run(signal: AbortSignal): Promise<void>;
}

export interface RefreshWorkerTools {
  readonly cluster: Pick<Cluster, 'view' | 'emit'>;
  readonly keeper: Keeper;
  readonly issuer: Issuer;
  readonly podGate: PodGate;
  readonly clock: Clock;
  readonly log: Log;
  rules(): readonly RegistryRule[];
  isLeading(): boolean;
}

/** As many needs at once as calls: more would only wait for one another, and a killed worker leaves no more half done. */
const AT_ONCE = 16;
const LOOK_MS = 1_000;
/** Changes come in bursts; one look serves them all, and looking at a thousand pods more often only costs. */
const GATHER_MS = 50;
/** What ended in a bug, or could not be emptied, is not tried again before. */
const REST_MS = 10_000;

type Work = 'obtain' | 'empty';

export function createRefreshWorker(tools: RefreshWorkerTools): RefreshWorker {
  const { cluster, keeper, issuer, podGate, clock, log, isLeading } = tools;
  const teller = createTeller(tools);
  const dueNeeds = createDueNeeds({ ...tools, view: cluster.view });
  /** By record, so that nobody empties what is being filled. */
  const underWay = new Map<string, Promise<void>>();
  /** Per kind of work and record: a need that cannot be obtained is emptied all the same. */
  const resting = new Map<string, number>();
  let wake = new AbortController();

  function onChange(change: ClusterChange): void {
    podGate.onChange(change);
    if (change.kind === 'record') dueNeeds.onRecord(change.object, change.gone);
    wake.abort();
  }

  const rests = (kind: Work, name: string) => resting.has(`${kind} ${name}`);

  function start(kind: Work, name: string, work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        log[isProblem(error) ? 'debug' : 'error']({ error }, 'work on a need failed');
        resting.set(`${kind} ${name}`, clock.now() + REST_MS);
      })
      .finally(() => {
        underWay.delete(name);
        wake.abort();
      });
    underWay.set(name, running);
  }

  async function obtain(planned: PlannedNeed): Promise<void> {
    const { namespace } = planned.need.identity;
    const before = cluster.view.record(namespace, planned.need.secretName)?.status;
    const attempt = await keeper.obtain(planned);
    teller.attempted(planned.need, before, attempt);
  }

  /** A dead credential is emptied even where its rule is gone; only a namespace that no longer lets us is left alone. */
  function emptyExpired(): void {
    const now = clock.now();
    for (const record of cluster.view.records()) {
      const { status } = record;
      if (underWay.size >= AT_ONCE) return;
      if (!status?.expiresAt || now < status.expiresAt || record.isDeleting) continue;
      const need = recordedNeedOf(record);
      const name = recordNameOf(need);
      if (underWay.has(name) || rests('empty', name)) continue;
      if (injectionOf(cluster.view.namespace(record.namespace)) === 'off') continue;
      const planned = dueNeeds.plannedFor(need);
      // After a suspend everything is dead at once: what can be renewed is renewed, and emptied only if that fails.
      if (planned && !rests('obtain', name) && dueNeeds.dueAt(planned.need) <= now) continue;
      start('empty', name, async () => {
        await issuer.empty(record, need);
        teller.expired(need, status.reason);
      });
    }
  }

  function look(): void {
    if (!isLeading() || cluster.view.unsynced().length > 0) return;
    for (const [work, until] of resting) if (until <= clock.now()) resting.delete(work);
    emptyExpired();
    for (const planned of dueNeeds.list()) {
      const name = recordNameOf(planned.need);
      if (underWay.size >= AT_ONCE) return;
      if (!underWay.has(name) && !rests('obtain', name)) start('obtain', name, () => obtain(planned));
    }
  }

  return {
    async run(signal) {
      const stop = cluster.view.onChange(onChange);
      for (const object of cluster.view.pods()) podGate.onChange({ kind: 'pod', gone: false, object });
      while (!signal.aborted) {
        wake = new AbortController();
        look();
        await clock.sleep(LOOK_MS, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
        await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      }
      stop();
      await Promise.all(underWay.values());
    },
  };
}
