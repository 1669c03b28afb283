// The core's judgement of what was collected: which references are static, which registries a rule covers, what is missing.
// It asks planPulls and findingsOf, as the webhook does.
import { injectionOf, type AccountView, type PodView } from '../../core/pod-view.ts';
import { findingsOf, type Finding, type Policy } from '../../core/pull-policy.ts';
import { planPulls, type Plan } from '../../core/pull-plan.ts';
import { whyImpossible } from '../../core/impossible-registries.ts';
import { INJECT_LABEL, MANAGED_LABEL, PROTECTED_NAMESPACES, SECRET_PREFIX } from '../../core/vocabulary.ts';
import { podOfShape, type PodShape } from './pod-shape.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from '../../core/registry-rule.ts';
import type { Collection } from './collection.ts';

export interface Coverage {
  readonly covered: boolean | null;
  readonly missing: readonly string[];
}

export interface Judgement {
  /** Every static one, also those that the policy allows. */
  readonly findings: readonly Finding[];
  /** Hosts for which the pod carries a reference of ours, will be given one, or is served on its node. */
  readonly ours: ReadonlySet<string>;
  /** By host: the rule that speaks of it. */
  readonly rules: ReadonlyMap<string, string>;
  readonly unproven: number;
}

export interface Judge {
  /** `stored`: its account's Secrets are in its list already; `template`: they will be, when it has none. */
  judge(shape: PodShape, state: 'stored' | 'template'): Judgement;
  coverage(shape: PodShape, hosts: readonly string[]): Coverage;
  /** False for one that is not in the input. */
  knowsAccount(shape: PodShape): boolean;
}

export interface JudgeWish {
  readonly rules: readonly RegistryRule[] | undefined;
  readonly policy: Policy;
  /** Epoch milliseconds. */
  readonly now: number;
  /** What could not be looked at: kinds of a cluster, or files. */
  readonly notSeen: readonly string[];
}

/** Nobody's pod has more registries; what the config allows counts when pods are made, not here. */
const NEEDS_PER_POD = 1_000;

export function createJudge(collection: Collection, { rules, policy, now, notSeen }: JudgeWish): Judge {
  const { accounts, namespaces, records } = collection;
  const settings = { rules: rules ?? [], needsPerPod: NEEDS_PER_POD };
  const isProvable = rules !== undefined || records.size > 0;

  function accountOf({ namespace, account: name }: PodShape): AccountView {
    const known = accounts.get(`${namespace}/${name}`);
    return known ?? { namespace, name, uid: '', annotations: {}, pullSecrets: [], isDeleting: false };
  }

  /** A label never changes whose a Secret is: as in the webhook, the plan is that of a pod which did not opt out. */
  function planOf(pod: PodView, account: AccountView): Plan {
    const included = { ...pod, labels: { ...pod.labels, [INJECT_LABEL]: '' } };
    return planPulls(included, account, namespaces.get(pod.namespace)?.labels ?? {}, settings);
  }

  /** Also where the account lacks what the rule wants of it. */
  function rulesFor({ namespace, account, hosts }: PodShape): Map<string, string> {
    const labels = namespaces.get(namespace)?.labels ?? {};
    const found = hosts.map(
      (host) =>
        [
          host,
          ruleForHost(settings.rules, host, (rule) => ruleSpeaksOf(rule, account, labels))?.name,
        ] as const,
    );
    return new Map(found.flatMap(([host, rule]) => (rule === undefined ? [] : [[host, rule] as const])));
  }

  const isOptedIn = (namespace: string) => injectionOf(namespaces.get(namespace)) === 'enabled';

  function judgeAnew(shape: PodShape, state: 'stored' | 'template'): Judgement {
    const known = accountOf(shape);
    const isInheriting = state === 'template' && shape.pullSecrets.length === 0;
    const pullSecrets = isInheriting ? known.pullSecrets : shape.pullSecrets;
    // Whoever has a list of their own inherits nothing, whatever the account has.
    const account = state === 'stored' || isInheriting ? known : { ...known, pullSecrets: [] };
    const pod = podOfShape({ ...shape, pullSecrets }, 'pod');
    const plan = planOf(pod, account);
    const recorded = new Set<string>();
    const foreign = new Set<string>();
    const ours = new Set<string>();
    for (const record of records.get(`${shape.namespace}/${shape.account}`) ?? []) {
      if (known.uid !== '' && record.accountUid !== known.uid) continue;
      (record.isForeign ? foreign : recorded).add(record.secretName);
      if (!record.isForeign && pullSecrets.includes(record.secretName)) ours.add(record.host);
    }
    const unproven = isProvable ? [] : pullSecrets.filter((name) => name.startsWith(SECRET_PREFIX));
    for (const name of unproven) recorded.add(name);
    for (const { need } of plan.needs)
      if (pullSecrets.includes(need.secretName) && !foreign.has(need.secretName)) ours.add(need.host);
    const willBeGiven = state === 'template' && isOptedIn(shape.namespace);
    for (const { need } of willBeGiven && shape.labels[INJECT_LABEL] !== 'disabled' ? plan.needs : [])
      ours.add(need.host);
    const ruleOf = rulesFor(shape);
    if (shape.labels[MANAGED_LABEL] === 'true')
      for (const [host, rule] of ruleOf) if (plan.onNode.includes(rule)) ours.add(host);
    if (unproven.length > 0) for (const host of shape.hosts) ours.add(host);
    const findings = findingsOf({
      pod,
      account,
      plan,
      recorded,
      foreign,
      namespaceOptedIn: isOptedIn(shape.namespace),
      policy: { ...policy, inherited: 'finding' },
      now,
    });
    return { findings, ours, rules: ruleOf, unproven: unproven.length };
  }

  /** Pods of one shape share it, and so what is said of them. */
  const judged = {
    stored: new WeakMap<PodShape, Judgement>(),
    template: new WeakMap<PodShape, Judgement>(),
  };

  return {
    judge(shape, state) {
      const judgement = judged[state].get(shape) ?? judgeAnew(shape, state);
      judged[state].set(shape, judgement);
      return judgement;
    },

    coverage(shape, hosts) {
      const plan = planOf(podOfShape({ ...shape, hosts }, 'pod'), accountOf(shape));
      const missing: string[] = [];
      if (PROTECTED_NAMESPACES.includes(shape.namespace))
        missing.push(`another namespace: keyless-pull never touches ${shape.namespace}`);
      else if (!isOptedIn(shape.namespace)) {
        const isKnown = namespaces.has(shape.namespace) || !notSeen.includes('namespaces');
        const label = `namespace label ${INJECT_LABEL}=enabled`;
        missing.push(isKnown ? label : `${label}, unless it is there: you may not read the namespace`);
      }
      if (shape.labels[INJECT_LABEL] === 'disabled')
        missing.push(`remove the label ${INJECT_LABEL}=disabled from the pod`);
      if (!rules) return { covered: null, missing };
      const uncovered = plan.leftOut.filter(({ reason }) => reason === 'no-rule');
      for (const { host } of uncovered) {
        const isPossible = whyImpossible(host) === undefined;
        missing.push(`a rule for the registry ${host}${isPossible ? '' : ', which none can serve today'}`);
      }
      for (const { reason, host, message } of plan.leftOut)
        if (reason !== 'no-rule' && host !== '' && hosts.includes(host)) missing.push(message);
      return { covered: hosts.length > 0 && uncovered.length === 0, missing };
    },

    knowsAccount: ({ namespace, account }) => accounts.has(`${namespace}/${account}`),
  };
}
