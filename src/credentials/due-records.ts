// Which records are due or dead, and what is planned for them under today's rules. Of ten thousand records a few are looked at
// every second, and all every five minutes.
import { injectionOf } from '../core/pod-view.ts';
import { principalsOf } from '../core/identity-parameters.ts';
import { needFor, type PlannedNeed } from '../core/pull-plan.ts';
import { ruleCovers, type RegistryRule } from '../core/registry-rule.ts';
import type { ClusterChange, ClusterView } from '../cluster/cluster.ts';
import { renewalAt, type Need } from '../core/pull-credential.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';

/** Something to do for a need, if it is not left alone just now. */
export interface Due {
  readonly planned: PlannedNeed;
  /** Waiting pods have 0; else the expiry of what is there. */
  readonly order: number;
  /** A pod waits, or half the time for retries is over: pods that keep coming must not starve what others run on. */
  readonly isUrgent: boolean;
}

export interface DueRecords {
  /** What records ask for at this moment of the wall clock. */
  due(now: number): Generator<Due>;
  /** Whose credential has ended, whether anybody may issue it anew or not. */
  expired(now: number): PullCredentialRecord[];
  /** The need under today's rules; undefined where nothing may or can be issued any more. */
  plannedFor(need: Omit<Need, 'digest'>): PlannedNeed | undefined;
  onChange(change: ClusterChange): void;
}

export interface DueRecordsTools {
  readonly view: ClusterView;
  rules(): readonly RegistryRule[];
}

const SOON_MS = 300_000;

export function createDueRecords({ view, rules }: DueRecordsTools): DueRecords {
  /** By name: was or will be due or dead within `SOON_MS` of the last look at all, or has changed since. */
  const soon = new Map<string, PullCredentialRecord>();
  let allSeen: { readonly at: number; readonly under: readonly RegistryRule[] } | undefined;

  const plannedFor: DueRecords['plannedFor'] = (need) => {
    const { namespace: name, account: accountName, uid } = need.identity;
    // Of a rule that has moved to the nodes too: pods that were made before name the Secret as long as they live.
    const rule = rules().find((candidate) => candidate.name === need.rule);
    const namespace = view.namespace(name);
    const account = view.account(name, accountName);
    if (!rule || !namespace || namespace.isTerminating || injectionOf(namespace) === 'off') return undefined;
    if (account?.uid !== uid) return undefined;
    // A rule that was taken away from a host or an account sends no more tokens there.
    if (!ruleCovers(rule, { host: need.host, account: accountName }, namespace.labels)) return undefined;
    for (const principal of principalsOf(rule, account, need.host).principals) {
      const today = needFor(need.identity, rule, need.host, principal);
      if (principal.name === need.principal && today.secretName === need.secretName)
        return { need: today, rule, principal };
    }
    return undefined;
  };

  /** A plan is a pure function of these, and ten thousand records that are refused are looked at every second. */
  const plans = new WeakMap<
    PullCredentialRecord,
    { readonly from: readonly unknown[]; readonly planned: PlannedNeed | undefined }
  >();

  function plannedForRecord(record: PullCredentialRecord): PlannedNeed | undefined {
    const { namespace, account, accountUid: uid } = record;
    const from = [rules(), view.namespace(namespace), view.account(namespace, account)];
    const known = plans.get(record);
    if (known?.from.every((part, at) => part === from[at])) return known.planned;
    const planned = plannedFor({ ...record, identity: { namespace, account, uid } });
    plans.set(record, { from, planned });
    return planned;
  }

  /** @returns until when `soon` has all that there is to do. Wall clocks are compared: a suspended machine has slept. */
  function seeAll(now: number): number {
    const since = allSeen?.under === rules() ? now - allSeen.at : -1;
    if (allSeen && since >= 0 && since < SOON_MS) return allSeen.at + SOON_MS;
    allSeen = { at: now, under: rules() };
    for (const record of view.records()) soon.set(keyOf(record), record);
    return now + SOON_MS;
  }

  return {
    plannedFor,
    *due(now) {
      const until = seeAll(now);
      for (const [name, record] of soon) {
        const { isReady, digest, expiresAt = 0, refreshAt = 0 } = record.status ?? {};
        const planned = plannedForRecord(record);
        const isGood = planned && isReady && digest === planned.need.digest;
        const from = isGood ? renewalAt(record.status, now) : planned ? 0 : expiresAt || Infinity;
        if (from >= until) {
          soon.delete(name);
          plans.delete(record);
        }
        if (!planned || now < from) continue;
        const isUrgent = expiresAt > 0 && now > (refreshAt + expiresAt) / 2;
        yield { planned, order: expiresAt || now, isUrgent };
      }
    },
    expired: (now) => [...soon.values()].filter(({ status }) => status?.expiresAt && now >= status.expiresAt),
    onChange({ kind, gone, object }) {
      if (kind === 'record' && gone) soon.delete(keyOf(object));
      else if (kind === 'record') soon.set(keyOf(object), object);
      else if (kind === 'namespace') allSeen = undefined;
      else if (kind === 'account')
        for (const record of view.recordsOf(object.namespace, object.name)) soon.set(keyOf(record), record);
    },
  };
}

function keyOf({ namespace, name }: PullCredentialRecord): string {
  return `${namespace}/${name}`;
}
