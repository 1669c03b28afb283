// Which needs are due, best first: those that pods wait for, then by the nearest expiry; from pods, records and today's
// rules. What is done about them is the refresh worker's.
import { injectionOf, type AccountView } from '../core/pod-view.ts';
import { prewarmedNeeds } from '../core/prewarm.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import { createDueRecords, type Due } from './due-records.ts';
import { ruleSpeaksOf, type RegistryRule } from '../core/registry-rule.ts';
import { eachAtLeisure, MS_PER_ITEM } from './lookout.ts';
import { recordedNeedOf, recordNameOf } from './recorded-need.ts';
import { createWantedNeeds } from './wanted-needs.ts';
import type { Clock } from '../clock.ts';
import type { ClusterChange, ClusterView } from '../cluster/cluster.ts';
import type { EndpointLimits } from './endpoint-limits.ts';
import type { Keeper } from './keeper.ts';
import type { Need } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';
import { isRecordOf, type PullCredentialRecord } from '../core/pull-credential-record.ts';

export interface DueNeeds {
  /**
   * Those that may begin, of each kind the best first. Where many wait, some of it may be as it was seconds ago.
   * @param mayBegin asked once for all needs that have the same answer
   */
  list(mayBegin: (planned: PlannedNeed) => boolean): Promise<{
    readonly urgent: PlannedNeed[];
    readonly others: PlannedNeed[];
  }>;
  /** Records whose credential has ended, whether anybody may issue it anew or not. */
  expired(): PullCredentialRecord[];
  /** When something is to be done for the need again; epoch milliseconds, in the past for now. */
  dueAt(need: Need): number;
  /** The need under today's rules; undefined where nothing may or can be issued any more. */
  plannedFor(need: Need): PlannedNeed | undefined;
  onChange(change: ClusterChange): void;
}

export interface DueNeedsTools {
  readonly view: ClusterView;
  readonly keeper: Keeper;
  readonly podGate: PodGate;
  readonly clock: Clock;
  readonly limits: Pick<EndpointLimits, 'keyOf'>;
  rules(): readonly RegistryRule[];
}

/** Pods are looked at on every change, records once a second, and more seldom where many are due. */
const SCAN_MS = 1_000;
/** Who deletes a record or changes an account gets a new credential, but not as a way to make us mint without end. */
const SHORTEST_LIFE_MS = 10_000;
/** Of 100 bytes each. */
const MOST_MENDED = 10_000;
/** Of 500 bytes each; who does not lead only ever learns of more. */
const MOST_DELETED = 10_000;

export function createDueNeeds({ view, keeper, podGate, clock, limits, rules }: DueNeedsTools): DueNeeds {
  const records = createDueRecords({ view, rules });
  const { plannedFor } = records;
  const wanted = createWantedNeeds({ podGate, limits, clock, dueAt });
  /** Needs whose record somebody deleted, and when they may be issued again. */
  const deleted = new Map<string, { readonly need: Need; readonly from: number }>();
  /** When an account's refusals were last forgotten: its changes are no way to make us ask without end. */
  const mended = new Map<string, number>();
  /** Of records, accounts and deletions, best first, by what they wait for; and how many were looked at for it. */
  let scanned: readonly (readonly Due[])[] = [];
  let scannedCount = 0;
  let scannedAt = -SCAN_MS;

  function dueAt(need: Need): number {
    const gone = deleted.size > 0 ? deleted.get(recordNameOf(need)) : undefined;
    const from = gone?.need.identity.uid === need.identity.uid ? gone.from : 0;
    return Math.max(from, changeableFrom(need), keeper.dueAt(need));
  }

  /** A credential that was made a moment ago for other parameters lives its shortest life too: an account may be annotated all day. */
  function changeableFrom(need: Need): number {
    const record = view.record(need.identity.namespace, need.secretName);
    const { status } = record ?? {};
    if (!record || !status?.issuedAt || status.digest === need.digest || !isRecordOf(record, need)) return 0;
    return status.issuedAt + SHORTEST_LIFE_MS;
  }

  async function scan(now: number): Promise<void> {
    const due: Due[] = [];
    let count = 0;
    const find = (one: Due) => {
      count++;
      if (dueAt(one.planned.need) <= now) due.push(one);
    };
    await eachAtLeisure(clock, records.due(now), find);
    for (const planned of prewarmed()) find({ planned, order: now, isUrgent: false });
    for (const [name, { need, from }] of deleted) {
      if (now < from) continue;
      const planned = plannedFor(need);
      // It stays here until there is a record again: the first attempt may fail.
      if (planned && isNamedByPod(need)) find({ planned, order: now, isUrgent: false });
      else deleted.delete(name);
    }
    scannedAt = clock.monotonic();
    scannedCount = count;
    scanned = [...Map.groupBy(due.sort(byOrder), ({ planned }) => limits.keyOf(planned)).values()];
  }

  /** Of accounts that have no record of it yet: what has one is looked at as a record. */
  function* prewarmed(): Generator<PlannedNeed> {
    const prewarming = rules().filter((rule) => rule.prewarm);
    if (prewarming.length === 0) return;
    for (const account of view.accounts()) {
      const namespace = view.namespace(account.namespace);
      if (injectionOf(namespace) !== 'enabled' || namespace?.isTerminating || account.isDeleting) continue;
      if (PROTECTED_NAMESPACES.includes(account.namespace)) continue;
      for (const rule of prewarming) {
        if (!ruleSpeaksOf(rule, account.name, namespace?.labels ?? {})) continue;
        for (const planned of prewarmedNeeds(rule, account)) {
          if (!view.record(account.namespace, planned.need.secretName)) yield planned;
        }
      }
    }
  }

  function isNamedByPod({ identity, secretName }: Need): boolean {
    for (const pod of view.pods()) {
      if (pod.namespace === identity.namespace && pod.pullSecrets.includes(secretName)) return true;
    }
    return false;
  }

  /** What was refused may be no more: whoever mends an account need not wait for an hour. */
  function onAccount({ namespace, name }: AccountView): void {
    const key = `${namespace}/${name}`;
    const now = clock.now();
    const refused = view.recordsOf(namespace, name).filter(({ status }) => !status?.isReady);
    if (refused.length === 0 || now - (mended.get(key) ?? 0) < SHORTEST_LIFE_MS) return;
    if (mended.size >= MOST_MENDED) mended.clear();
    mended.set(key, now);
    for (const record of refused) {
      const planned = plannedFor(recordedNeedOf(record));
      if (planned) keeper.forget(planned.need);
    }
  }

  function onRecord(record: PullCredentialRecord, gone: boolean): void {
    const need = recordedNeedOf(record);
    const planned = gone ? plannedFor(need) : undefined;
    if (!planned) return void deleted.delete(recordNameOf(need));
    // What failed is forgotten too: deleting its record is a way to have it tried again.
    keeper.forget(planned.need);
    const [oldest] = deleted.keys();
    if (deleted.size >= MOST_DELETED && oldest !== undefined) deleted.delete(oldest);
    const { status } = record;
    const from = (status?.isReady ? status.issuedAt : clock.now()) + SHORTEST_LIFE_MS;
    deleted.set(recordNameOf(need), { need, from });
  }

  return {
    plannedFor,
    dueAt,
    async list(mayBegin) {
      const now = clock.now();
      await wanted.review(now);
      const pause = Math.max(SCAN_MS, scannedCount * MS_PER_ITEM);
      if (clock.monotonic() - scannedAt >= pause) await scan(now);
      const open = scanned.filter(([first]) => first && mayBegin(first.planned));
      const due = open.flat();
      if (open.length > 1) due.sort(byOrder);
      const plannedOf = (isUrgent: boolean) =>
        due.filter((one) => one.isUrgent === isUrgent).map(({ planned }) => planned);
      return { urgent: [...wanted.due(mayBegin), ...plannedOf(true)], others: plannedOf(false) };
    },
    expired: () => records.expired(clock.now()),
    onChange(change) {
      records.onChange(change);
      if (change.kind === 'record') onRecord(change.object, change.gone);
      if (change.kind === 'account' && !change.gone) onAccount(change.object);
    },
  };
}

function byOrder(one: Due, other: Due): number {
  return one.order - other.order;
}
