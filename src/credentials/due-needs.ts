// Which needs are due, best first: those that pods wait for, then by the nearest expiry; from pods, records and today's
// rules. What is done about them is the refresh worker's.
import { injectionOf } from '../core/pod-view.ts';
import { digestOf, type Need } from '../core/pull-credential.ts';
import { hostMatches, ruleSpeaksOf, type RegistryRule } from '../core/registry-rule.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { Keeper } from './keeper.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';

export interface DueNeeds {
  /** One entry per record name. */
  list(): PlannedNeed[];
  /** When something is to be done for the need again; epoch milliseconds, in the past for now. */
  dueAt(need: Need): number;
  /** The need under today's rules; undefined where nothing may or can be issued any more. */
  plannedFor(need: Need): PlannedNeed | undefined;
  onRecord(record: PullCredentialRecord, gone: boolean): void;
}

export interface DueNeedsTools {
  readonly view: ClusterView;
  readonly keeper: Keeper;
  readonly podGate: PodGate;
  readonly clock: Clock;
  rules(): readonly RegistryRule[];
}

/** Pods are looked at on every change, all records once a second. */
const SCAN_MS = 1_000;
/** Who deletes a record gets a new credential, but not as a way to make us mint without end. */
const SHORTEST_LIFE_MS = 10_000;

interface Due {
  readonly planned: PlannedNeed;
  /** Waiting pods have 0; else the expiry of what is there. */
  readonly order: number;
}

export function createDueNeeds({ view, keeper, podGate, clock, rules }: DueNeedsTools): DueNeeds {
  /** Needs whose record somebody deleted, and when they may be issued again. */
  const deleted = new Map<string, { readonly need: Need; readonly from: number }>();
  let scanned: Due[] = [];
  let scannedAt = -SCAN_MS;

  function plannedFor(need: Need): PlannedNeed | undefined {
    const { namespace: name, account: accountName, uid } = need.identity;
    const rule = rules().find(
      (candidate) => candidate.name === need.rule && candidate.delivery.includes('secret'),
    );
    const namespace = view.namespace(name);
    const account = view.account(name, accountName);
    if (!rule || !namespace || namespace.isTerminating || injectionOf(namespace) === 'off') return undefined;
    if (account?.uid !== uid) return undefined;
    // A rule that was taken away from a host or an account sends no more tokens there.
    if (!rule.hosts.some((pattern) => hostMatches(pattern, need.host))) return undefined;
    if (!ruleSpeaksOf(rule, accountName, namespace.labels)) return undefined;
    return { need: { ...need, digest: digestOf(rule) }, rule };
  }

  function dueAt(need: Need): number {
    const gone = deleted.get(recordNameOf(need));
    const from = gone?.need.identity.uid === need.identity.uid ? gone.from : 0;
    return Math.max(from, keeper.dueAt(need));
  }

  function scan(now: number): void {
    scanned = [];
    scannedAt = clock.monotonic();
    const digests = new Map(rules().map((rule) => [rule.name, digestOf(rule)]));
    for (const record of view.records()) {
      const { status } = record;
      if (status?.isReady && status.digest === digests.get(record.rule) && now < status.refreshAt) continue;
      const planned = plannedFor(recordedNeedOf(record));
      if (planned) scanned.push({ planned, order: status?.expiresAt || now });
    }
    for (const [name, { need, from }] of deleted) {
      if (now < from) continue;
      const planned = plannedFor(need);
      // It stays here until there is a record again: the first attempt may fail.
      if (planned && isNamedByPod(need)) scanned.push({ planned, order: now });
      else deleted.delete(name);
    }
  }

  function isNamedByPod({ identity, secretName }: Need): boolean {
    for (const pod of view.pods()) {
      if (pod.namespace === identity.namespace && pod.pullSecrets.includes(secretName)) return true;
    }
    return false;
  }

  return {
    plannedFor,
    dueAt,
    list() {
      const now = clock.now();
      const due = new Map<string, Due>();
      const add = (planned: PlannedNeed, order: number) => {
        const name = recordNameOf(planned.need);
        const known = due.get(name);
        if ((known && known.order <= order) || dueAt(planned.need) > now) return;
        due.set(name, { planned, order });
      };
      for (const planned of podGate.review()) add(planned, 0);
      if (clock.monotonic() - scannedAt >= SCAN_MS) scan(now);
      for (const { planned, order } of scanned) add(planned, order);
      return [...due.values()].sort((one, other) => one.order - other.order).map(({ planned }) => planned);
    },
    onRecord(record, gone) {
      const need = recordedNeedOf(record);
      const planned = gone ? plannedFor(need) : undefined;
      if (!planned) return void deleted.delete(recordNameOf(need));
      // What failed is forgotten too: deleting its record is a way to have it tried again.
      keeper.forget(planned.need);
      const { status } = record;
      const from = (status?.isReady ? status.issuedAt : clock.now()) + SHORTEST_LIFE_MS;
      deleted.set(recordNameOf(need), { need, from });
    },
  };
}

/** Under the digest that its record carries; today's comes with `plannedFor`. */
export function recordedNeedOf(record: PullCredentialRecord): Need {
  return {
    identity: { namespace: record.namespace, account: record.account, uid: record.accountUid },
    rule: record.rule,
    principal: record.principal,
    host: record.host,
    secretName: record.secretName,
    digest: record.status?.digest ?? '',
  };
}

export function recordNameOf({ identity, secretName }: Need): string {
  return `${identity.namespace}/${secretName}`;
}
