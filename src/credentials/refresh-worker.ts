// The worker's loop: what is due is obtained, waiting pods first, then the nearest expiry; what is dead is emptied.
import { isProblem } from '../problem.ts';
import { injectionOf } from '../core/pod-view.ts';
import { digestOf, keyOf, type Need } from '../core/pull-credential.ts';
import { createTeller } from './credential-events.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Issuer } from './issuer.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

export interface RefreshWorker {
  /** Runs until the signal aborts and all that is under way has ended. Never rejects. */
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
/** Changes come in bursts; one look serves them all. */
const GATHER_MS = 20;
/** Who deletes a record gets a new credential, but not as a way to make us mint without end. */
const SHORTEST_LIFE_MS = 10_000;

interface Due {
  readonly planned: PlannedNeed;
  /** Waiting pods have 0; else the expiry of what is there. */
  readonly order: number;
}

export function createRefreshWorker(tools: RefreshWorkerTools): RefreshWorker {
  const { cluster, keeper, issuer, podGate, clock, log, rules, isLeading } = tools;
  const teller = createTeller(tools);
  const underWay = new Map<string, Promise<void>>();
  /** Needs whose record somebody deleted while pods still name its Secret, and when they may be issued again. */
  const deleted = new Map<string, { need: Need; from: number }>();
  let wake = new AbortController();
  /** Pods are looked at on every change, all records once a second. */
  let scanned: Due[] = [];
  let scannedAt = -LOOK_MS;

  function onChange(change: ClusterChange): void {
    podGate.onChange(change);
    if (change.kind === 'record' && change.gone) remember(change.object);
    wake.abort();
  }

  function remember(record: PullCredentialRecord): void {
    const need = needOf(record);
    keeper.forget(need);
    for (const pod of cluster.view.pods()) {
      if (pod.namespace !== record.namespace || !pod.pullSecrets.includes(record.secretName)) continue;
      deleted.set(keyOf(need), { need, from: (record.status?.issuedAt ?? 0) + SHORTEST_LIFE_MS });
      return;
    }
  }

  /** What to do now, best first, without what is under way. */
  function dueNow(): Due[] {
    const now = clock.now();
    const due = new Map<string, Due>();
    const add = (planned: PlannedNeed, order: number) => {
      const key = keyOf(planned.need);
      const known = due.get(key);
      if (underWay.has(key) || (known && known.order <= order) || keeper.dueAt(planned.need) > now) return;
      due.set(key, { planned, order });
    };
    for (const planned of podGate.review()) add(planned, 0);
    if (clock.monotonic() - scannedAt >= LOOK_MS) scanRecords(now);
    for (const { planned, order } of scanned) add(planned, order);
    for (const [key, { need, from }] of deleted) {
      if (now < from) continue;
      const planned = plannedFor(need);
      if (planned) add(planned, now);
      deleted.delete(key);
    }
    return [...due.values()].sort((one, other) => one.order - other.order);
  }

  function scanRecords(now: number): void {
    scanned = [];
    scannedAt = clock.monotonic();
    for (const record of cluster.view.records()) {
      const planned = plannedFor(needOf(record));
      if (!planned) continue;
      const { status } = record;
      const isDue = !status?.isReady || status.digest !== planned.need.digest || now >= status.refreshAt;
      if (isDue) scanned.push({ planned, order: status?.expiresAt || now });
    }
  }

  /** The need under today's rules; undefined where nothing may or can be issued any more. */
  function plannedFor(need: Need): PlannedNeed | undefined {
    const rule = rules().find(({ name, delivery }) => name === need.rule && delivery.includes('secret'));
    const namespace = cluster.view.namespace(need.identity.namespace);
    const account = cluster.view.account(need.identity.namespace, need.identity.account);
    if (!rule || !namespace || namespace.isTerminating || injectionOf(namespace) === 'off') return undefined;
    if (account?.uid !== need.identity.uid) return undefined;
    return { need: { ...need, digest: digestOf(rule) }, rule };
  }

  function start(key: string, work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        log[isProblem(error) ? 'debug' : 'error']({ error }, 'work on a need failed');
      })
      .finally(() => {
        underWay.delete(key);
        wake.abort();
      });
    underWay.set(key, running);
  }

  async function obtain({ planned }: Due): Promise<void> {
    const { namespace } = planned.need.identity;
    const before = cluster.view.record(namespace, planned.need.secretName)?.status;
    const attempt = await keeper.obtain(planned);
    teller.attempted(planned.need, before, attempt);
  }

  /** A dead credential is emptied even where its rule is gone; only a namespace that no longer lets us is left alone. */
  function emptyExpired(): void {
    for (const record of cluster.view.records()) {
      const { status } = record;
      if (underWay.size >= AT_ONCE) return;
      if (!status?.expiresAt || clock.now() < status.expiresAt || record.isDeleting) continue;
      const need = needOf(record);
      const key = `empty ${keyOf(need)}`;
      if (underWay.has(key) || injectionOf(cluster.view.namespace(record.namespace)) === 'off') continue;
      start(key, async () => {
        await issuer.empty(record, need);
        teller.expired(need, status.reason);
      });
    }
  }

  function look(): void {
    if (!isLeading() || cluster.view.unsynced().length > 0) return;
    emptyExpired();
    for (const due of dueNow()) {
      if (underWay.size >= AT_ONCE) return;
      start(keyOf(due.planned.need), () => obtain(due));
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

/** Under the digest that its record carries; today's comes with `plannedFor`. */
function needOf(record: PullCredentialRecord): Need {
  return {
    identity: { namespace: record.namespace, account: record.account, uid: record.accountUid },
    rule: record.rule,
    principal: record.principal,
    host: record.host,
    secretName: record.secretName,
    digest: record.status?.digest ?? '',
  };
}
