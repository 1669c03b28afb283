// What a config would change for the needs that live in a cluster: record by record what becomes of it, and pod by pod what
// comes besides.
import { injectionOf, type PodView } from '../../core/pod-view.ts';
import { principalsOf } from '../../core/identity-parameters.ts';
import { needFor, planPulls, type PlannedNeed } from '../../core/pull-plan.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from '../../core/registry-rule.ts';
import { annotatedRules } from '../explain/facts.ts';
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';
import type { Config } from '../../config.ts';
import type { LiveNeeds } from './live-needs.ts';

export const changeKinds = ['new', 'renamed', 'exchanged', 'delivery', 'uncovered'] as const;

export interface NeedChange {
  /** `exchanged`: same Secret, made anew. `delivery`: Secret or kubelet, the other one now. */
  readonly change: (typeof changeKinds)[number];
  readonly namespace: string;
  readonly account: string;
  readonly registry: string;
  readonly principal: string;
  /** The rule that speaks of it under this config; empty: none. */
  readonly rule: string;
  /** Now, and under this config; empty: none. */
  readonly secret: { readonly was: string; readonly becomes: string };
  /** Pods that live now and are concerned. */
  readonly pods: number;
  readonly means: string;
}

export interface NeedChanges {
  readonly changes: readonly NeedChange[];
  readonly kept: number;
}

export function needChanges(config: Config, live: LiveNeeds): NeedChanges {
  const pods = podsBySecret(live.pods);
  const changes: NeedChange[] = [];
  const successors = new Set<string>();
  let kept = 0;
  for (const record of live.records) {
    const outcome = outcomeOf(config, live, record);
    if (outcome === 'over') continue;
    if (outcome === 'kept') {
      kept++;
      continue;
    }
    const { namespace, account, host: registry, principal, secretName: was } = record;
    const key = `${namespace}/${was}`;
    const secret = { was, becomes: outcome.becomes };
    if (outcome.becomes !== '') successors.add(`${namespace}/${outcome.becomes}`);
    const { change, rule, means } = outcome;
    changes.push({
      change,
      namespace,
      account,
      registry,
      principal,
      rule,
      secret,
      pods: pods.get(key) ?? 0,
      means,
    });
  }
  const known = new Set([
    ...live.records.map(({ namespace, secretName }) => `${namespace}/${secretName}`),
    ...successors,
  ]);
  changes.push(...comingNeeds(config, live, known));
  const at = ({ change }: NeedChange) => changeKinds.indexOf(change);
  const name = (one: NeedChange) => `${one.namespace}/${one.account}/${one.registry}`;
  changes.sort((one, other) => at(one) - at(other) || (name(one) < name(other) ? -1 : 1));
  return { changes, kept };
}

type Outcome =
  | 'kept'
  /** Its account or its namespace's opt-in is gone: it ends by itself, whatever the config. */
  | 'over'
  | (Pick<NeedChange, 'change' | 'rule' | 'means'> & { readonly becomes: string });

function outcomeOf({ rules }: Config, live: LiveNeeds, record: PullCredentialRecord): Outcome {
  const { namespace: of, host, secretName } = record;
  const namespace = live.namespace(of);
  const account = live.account(of, record.account);
  if (!account || account.uid !== record.accountUid || injectionOf(namespace) === 'off') return 'over';
  const speaksOf = (one: RegistryRule) => ruleSpeaksOf(one, account.name, namespace?.labels ?? {});
  const rule = ruleForHost(rules, host, speaksOf);
  const ends = 'it is renewed no more, and pulls fail once it has expired';
  if (!rule) return { change: 'uncovered', rule: '', becomes: '', means: `no rule covers ${host}: ${ends}` };
  if (!rule.delivery.includes('secret')) {
    const means =
      "the kubelet's own credential provider takes over for new pods; for those that name the Secret it is renewed as long as they live";
    return { change: 'delivery', rule: rule.name, becomes: '', means };
  }
  const { principals, faults } = principalsOf(rule, account, host);
  const principal = principals.find(({ name }) => name === record.principal);
  if (!principal) {
    const why =
      faults[0] ?? `the account becomes ${principals.map(({ name }) => name).join(', ') || 'nobody'} there`;
    return { change: 'uncovered', rule: rule.name, becomes: '', means: `${why}: ${ends}` };
  }
  const identity = { namespace: of, account: account.name, uid: account.uid };
  const need = needFor(identity, rule, host, principal);
  if (need.secretName !== secretName) {
    const means = `another Secret is made; pods that live keep the old one, and ${ends}: recreate them before`;
    return { change: 'renamed', rule: rule.name, becomes: need.secretName, means };
  }
  if (record.status !== undefined && record.status.digest !== need.digest) {
    const means = 'it is exchanged anew into the same Secret, and new pods wait for that';
    return { change: 'exchanged', rule: rule.name, becomes: secretName, means };
  }
  return 'kept';
}

function podsBySecret(pods: readonly PodView[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { namespace, pullSecrets } of pods)
    for (const secret of new Set(pullSecrets)) {
      const key = `${namespace}/${secret}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  return counts;
}

/** Needs of pods that live which have no record, and that no pod was promised at its admission. */
function comingNeeds(config: Config, live: LiveNeeds, known: ReadonlySet<string>): NeedChange[] {
  const found = new Map<string, NeedChange>();
  const settings = { rules: config.rules, needsPerPod: config.worker.needsPerPod };
  for (const pod of live.pods) {
    const account = live.account(pod.namespace, pod.serviceAccount);
    if (!account) continue;
    const plan = planPulls(pod, account, live.namespace(pod.namespace)?.labels ?? {}, settings);
    const promised = annotatedRules(pod);
    const wasOnNode = (name: string) =>
      promised.some(({ rule, secret }) => rule === name && secret === 'kubelet');
    const add = (key: string, change: Omit<NeedChange, 'namespace' | 'account' | 'pods'>) => {
      const before = found.get(key);
      const { namespace } = pod;
      found.set(key, { ...change, namespace, account: account.name, pods: (before?.pods ?? 0) + 1 });
    };
    for (const planned of plan.needs) {
      const { need } = planned;
      const key = `${pod.namespace}/${need.secretName}`;
      if (known.has(key) || pod.pullSecrets.includes(need.secretName)) continue;
      add(key, comingNeed(planned, wasOnNode(need.rule)));
    }
    for (const rule of plan.onNode) {
      if (wasOnNode(rule)) continue;
      const was = promised.some((one) => one.rule === rule);
      const means = 'new pods get the token volume for the kubelet; pods that live have none';
      const empty = { registry: '', principal: '', secret: { was: '', becomes: '' } };
      add(`${pod.namespace}/${account.name}/${rule}`, {
        change: was ? 'delivery' : 'new',
        rule,
        means,
        ...empty,
      });
    }
  }
  return [...found.values()];
}

function comingNeed(
  { need }: PlannedNeed,
  wasOnNode: boolean,
): Omit<NeedChange, 'namespace' | 'account' | 'pods'> {
  return {
    change: wasOnNode ? 'delivery' : 'new',
    registry: need.host,
    principal: need.principal,
    rule: need.rule,
    secret: { was: '', becomes: need.secretName },
    means: 'pods that are made from now on get this credential; those that live pull as they do',
  };
}
