// From uses of static pull secrets to findings: which hosts, what the Secret is, who else has it, what is missing.
import { hostMatches } from '../../core/registry-rule.ts';
import { timestampOf } from '../printable.ts';
import type { Policy } from '../../core/pull-policy.ts';
import type { AccountView } from '../../core/pod-view.ts';
import type { AuditFinding, SecretState } from './report.ts';
import type { Collection } from './collection.ts';
import type { Judge } from './judge.ts';
import type { PodShape } from './pod-shape.ts';
import type { SecretUse, Usage } from './usage.ts';

export interface FindingWish {
  readonly policy: Policy;
  /** Every Secret of the place was listed: one that is not there does not exist. */
  readonly allSecretsSeen: boolean;
}

/** Sorted by namespace, kind, name and Secret. */
export function auditFindings(
  collection: Collection,
  usages: readonly Usage[],
  judge: Judge,
  { policy, allSecretsSeen }: FindingWish,
): AuditFinding[] {
  const found: Omit<AuditFinding, 'usedByOthers'>[] = [];
  const hostsOfAccount = new Map<string, Set<string>>();
  const podsOfAccount = new Map<string, Map<string, number>>();
  for (const { namespace, shape, hosts, secrets } of usages) {
    const key = `${namespace}/${shape.account}`;
    const all = hostsOfAccount.get(key) ?? new Set();
    for (const host of hosts.keys()) all.add(host);
    hostsOfAccount.set(key, all);
    const pods = podsOfAccount.get(key) ?? new Map<string, number>();
    for (const [secret, use] of secrets) pods.set(secret, (pods.get(secret) ?? 0) + use.pods);
    podsOfAccount.set(key, pods);
  }

  for (const usage of usages)
    for (const use of usage.secrets.values())
      if (use.finding.origin === 'explicit' || policy.inherited !== 'allowed')
        found.push(ofUsage(usage, use));
  for (const account of policy.inherited === 'allowed' ? [] : collection.accounts.values())
    found.push(...ofAccount(account));

  const users = new Map<string, number>();
  const keyOf = ({ namespace, secret }: Pick<AuditFinding, 'namespace' | 'secret'>) =>
    `${namespace}/${secret}`;
  for (const finding of found) users.set(keyOf(finding), (users.get(keyOf(finding)) ?? 0) + 1);
  return found
    .map((finding) => ({ ...finding, usedByOthers: (users.get(keyOf(finding)) ?? 1) - 1 }))
    .toSorted(inOrder);

  function ofUsage(usage: Usage, use: SecretUse): Omit<AuditFinding, 'usedByOthers'> {
    const { kind, namespace, name, owner, hosts } = usage;
    const { finding, isInPodsOnly, pods } = use;
    const advice = isInPodsOnly
      ? `only pods that run have ${JSON.stringify(finding.secret)}, their template has not: restart them`
      : adviceOf(finding.what, kind);
    return {
      kind,
      namespace,
      name,
      owner: owner ? `${owner.kind}/${owner.name}` : null,
      origin: finding.origin,
      secret: finding.secret,
      ...aboutSecret(usage.shape, finding.secret, [...hosts.keys()]),
      account: usage.shape.account,
      pods,
      advice,
      ...(finding.exemption && { exemption: finding.exemption }),
    };
  }

  /** An account is judged as a pod that has nothing but what it brings. */
  function ofAccount(account: AccountView): Omit<AuditFinding, 'usedByOthers'>[] {
    if (account.pullSecrets.length === 0) return [];
    const { namespace, name } = account;
    const key = `${namespace}/${name}`;
    const hosts = [...(hostsOfAccount.get(key) ?? [])];
    const nothing = { pullSecrets: account.pullSecrets, labels: {}, annotations: {} };
    const shape = { namespace, account: name, hosts, ...nothing };
    return judge.judge(shape, 'stored').findings.map(({ secret, exemption }) => ({
      kind: 'ServiceAccount',
      namespace,
      name,
      owner: null,
      origin: 'explicit',
      secret,
      ...aboutSecret(shape, secret, hosts),
      account: name,
      pods: podsOfAccount.get(key)?.get(secret) ?? 0,
      advice: `remove ${JSON.stringify(secret)} from the imagePullSecrets of ServiceAccount ${name}`,
      ...(exemption && { exemption }),
    }));
  }

  function aboutSecret(shape: PodShape, secret: string, imageHosts: readonly string[]) {
    const facts = collection.secrets.get(`${shape.namespace}/${secret}`);
    const pulledFrom = imageHosts.toSorted();
    const hosts = [...(facts?.hosts ?? pulledFrom)];
    // A login for hosts that no image names is no reason for a rule, unless it is all there is.
    const meant = pulledFrom.filter((host) => hosts.some((pattern) => hostMatches(pattern, host)));
    const secretState: SecretState = facts
      ? facts.hosts
        ? 'read'
        : 'unreadable'
      : allSecretsSeen
        ? 'absent'
        : 'unknown';
    return {
      hosts,
      ...judge.coverage(shape, meant.length > 0 ? meant : hosts.filter((host) => !host.includes('*'))),
      hostsFrom: facts?.hosts ? ('secret' as const) : ('images' as const),
      imageHosts: pulledFrom,
      secretState,
      secretType: facts?.type ?? null,
      secretCreatedAt: timestampOf(facts?.createdAt ?? 0),
    };
  }
}

/** The core speaks of pods; in a workload the line is the template's. */
function adviceOf(what: string, kind: string): string {
  return kind === 'Pod'
    ? what
    : what.replace('written in the pod', `written in the pod template of the ${kind}`);
}

function inOrder(one: AuditFinding, other: AuditFinding): number {
  for (const key of ['namespace', 'kind', 'name', 'secret'] as const)
    if (one[key] !== other[key]) return one[key] < other[key] ? -1 : 1;
  return 0;
}
