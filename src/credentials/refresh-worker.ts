// The worker's loop: what is due is obtained, sixteen at once, namespaces in turn and as often as endpoints are asked; what
// is dead and cannot be renewed is emptied.
import { isProblem } from '../problem.ts';
import { injectionOf } from '../core/pod-view.ts';
import { createTeller } from './credential-events.ts';
import { createDueNeeds } from './due-needs.ts';
import { recordedNeedOf, recordNameOf } from './recorded-need.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Attempt } from './attempt.ts';
import type { EndpointLimits } from './endpoint-limits.ts';
import type { Issuer } from './issuer.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';
import type { Need } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

export interface RefreshWorker {
  /** Runs until the signal aborts and all that is under way has ended. */
  run(signal: AbortSignal): Promise<void>;
  /** Who has just become the leader does not wait for the next look. */
  wake(): void;
}

export interface RefreshWorkerTools {
  readonly cluster: Pick<Cluster, 'view' | 'emit'>;
  readonly keeper: Keeper;
  readonly issuer: Issuer;
  readonly podGate: PodGate;
  readonly limits: EndpointLimits;
  readonly clock: Clock;
  readonly log: Log;
  rules(): readonly RegistryRule[];
  isLeading(): boolean;
}

/** As many needs at once as calls: more would only wait for one another, and a killed worker leaves no more half done. */
const AT_ONCE = 16;
/** Who waits longer waits for an answer from outside, and takes nobody's place: a service that hangs is not everybody's. */
const HANGS_MS = 1_000;
/** With all that hang. */
const MOST_UNDER_WAY = 4 * AT_ONCE;
/** Namespaces whose last turn is remembered, of 100 bytes each. */
const MOST_SERVED = 10_000;
const LOOK_MS = 1_000;
/** Changes come in bursts; one look serves them all, and looking at a thousand pods more often only costs. */
const GATHER_MS = 50;
/** What ended in a bug, or could not be emptied, is not tried again before. */
const REST_MS = 10_000;

type Work = 'obtain' | 'empty';

interface Running {
  readonly namespace: string;
  /** By the monotonic clock. */
  readonly since: number;
  readonly mayHang: boolean;
  readonly done: Promise<void>;
}

export function createRefreshWorker(tools: RefreshWorkerTools): RefreshWorker {
  const { cluster, keeper, issuer, podGate, limits, clock, log, isLeading } = tools;
  const teller = createTeller(tools);
  const dueNeeds = createDueNeeds({ ...tools, view: cluster.view });
  /** By record, so that nobody empties what is being filled. */
  const underWay = new Map<string, Running>();
  /** By the monotonic clock, per kind of work and record: a need that cannot be obtained is emptied all the same. */
  const resting = new Map<string, number>();
  /** By namespace, in the order of their last turns. */
  const served = new Map<string, number>();
  let turn = 0;
  let wake = new AbortController();

  function onChange(change: ClusterChange): void {
    podGate.onChange(change);
    dueNeeds.onChange(change);
    wake.abort();
  }

  const rests = (kind: Work, name: string) => resting.size > 0 && resting.has(`${kind} ${name}`);

  function hasPlace(): boolean {
    const hangsSince = clock.monotonic() - HANGS_MS;
    const busy = [...underWay.values()].filter(({ mayHang, since }) => !mayHang || since > hangsSince);
    return busy.length < AT_ONCE && underWay.size < MOST_UNDER_WAY;
  }

  function start(kind: Work, need: Need, mayHang: boolean, work: () => Promise<void>): void {
    const name = recordNameOf(need);
    const done = work()
      .catch((error: unknown) => {
        log[isProblem(error) ? 'debug' : 'error']({ error }, 'work on a need failed');
        resting.set(`${kind} ${name}`, clock.monotonic() + REST_MS);
      })
      .finally(() => {
        underWay.delete(name);
        wake.abort();
      });
    underWay.set(name, { namespace: need.identity.namespace, since: clock.monotonic(), mayHang, done });
  }

  async function obtain(planned: PlannedNeed): Promise<void> {
    const { namespace } = planned.need.identity;
    const before = cluster.view.record(namespace, planned.need.secretName)?.status;
    let attempt: Attempt | undefined;
    try {
      attempt = await keeper.obtain(planned);
    } finally {
      limits.ended(planned, attempt);
    }
    teller.attempted(planned.need, before, attempt);
  }

  /** A dead credential is emptied even where its rule is gone; only a namespace that no longer lets us is left alone. */
  function emptyExpired(): void {
    const now = clock.now();
    for (const record of dueNeeds.expired()) {
      const { status } = record;
      if (!hasPlace()) return;
      if (!status || record.isDeleting) continue;
      const need = recordedNeedOf(record);
      const name = recordNameOf(need);
      if (underWay.has(name) || rests('empty', name)) continue;
      if (injectionOf(cluster.view.namespace(record.namespace)) === 'off') continue;
      const planned = dueNeeds.plannedFor(need);
      const isDown = planned !== undefined && limits.isDown(planned);
      // After a suspend everything is dead at once: what can be renewed is renewed, and emptied only if that fails.
      if (planned && !isDown && !rests('obtain', name) && dueNeeds.dueAt(planned.need) <= now) continue;
      start('empty', need, false, async () => {
        await issuer.empty(record, need);
        // Whoever only waited for the others' probes has nothing in its record.
        teller.expired(need, isDown && status.reason === 'issued' ? 'exchange-unreachable' : status.reason);
      });
    }
  }

  function beginFirstThatMay(best: PlannedNeed[], manyHang: boolean): boolean {
    for (let planned = best.pop(); planned; planned = best.pop()) {
      const { need, rule } = planned;
      const mayHang = rule.family.endpoints.length > 0;
      if ((manyHang && mayHang) || !limits.mayBegin(planned)) continue;
      const name = recordNameOf(need);
      if (underWay.has(name) || rests('obtain', name) || dueNeeds.dueAt(need) > clock.now()) continue;
      if (!limits.begin(planned)) continue;
      start('obtain', need, mayHang, obtain.bind(undefined, planned));
      return true;
    }
    return false;
  }

  /**
   * Namespaces take turns, the one with the least under way first: thousands of needs of one never stand before another's. Where
   * many of one hang, what asks nobody outside goes on.
   */
  function beginInTurns(bestFirst: readonly PlannedNeed[]): void {
    const byNamespace = Map.groupBy(bestFirst.toReversed(), ({ need }) => need.identity.namespace);
    const running = Map.groupBy(underWay.values(), ({ namespace }) => namespace);
    const inFlight = (namespace: string) => running.get(namespace)?.length ?? 0;
    const levels: string[][] = Array.from({ length: AT_ONCE + 1 }, () => []);
    for (const one of byNamespace.keys()) levels[Math.min(inFlight(one), AT_ONCE - 1)]?.push(one);
    for (const [level, namespaces] of levels.slice(0, AT_ONCE).entries()) {
      const lastTurn = (namespace: string) => served.get(namespace) ?? 0;
      for (const namespace of namespaces.sort((one, other) => lastTurn(one) - lastTurn(other))) {
        if (!hasPlace()) return;
        if (!beginFirstThatMay(byNamespace.get(namespace) ?? [], inFlight(namespace) >= AT_ONCE)) continue;
        if (served.size >= MOST_SERVED) served.clear();
        served.set(namespace, ++turn);
        levels[level + 1]?.push(namespace);
      }
    }
  }

  async function look(): Promise<void> {
    if (!isLeading() || cluster.view.unsynced().length > 0) return;
    for (const [work, until] of resting) if (until <= clock.monotonic()) resting.delete(work);
    const { urgent, others } = await dueNeeds.list(limits.mayBegin);
    if (!isLeading()) return;
    emptyExpired();
    for (const due of [urgent, others]) beginInTurns(due);
  }

  return {
    wake: () => wake.abort(),
    async run(signal) {
      const stop = cluster.view.onChange(onChange);
      for (const object of cluster.view.pods()) podGate.onChange({ kind: 'pod', gone: false, object });
      while (!signal.aborted) {
        wake = new AbortController();
        await look();
        const pause = Math.min(LOOK_MS, Math.max(0, limits.waitMs() - GATHER_MS));
        await clock.sleep(pause, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
        await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      }
      stop();
      await Promise.all([...underWay.values()].map(({ done }) => done));
    },
  };
}
