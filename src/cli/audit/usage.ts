// Who uses what: every workload, every pod that no workload made, and every account, with the Secrets and the registries it
// uses and how it gets in.
import { hasLoginFor } from './secret-facts.ts';
import { keyOf, ownershipOf, type OwnerRef } from './owners.ts';
import { WAYS, type Way } from './report.ts';
import type { Finding } from '../../core/pull-policy.ts';
import type { Collection, PodGroup } from './collection.ts';
import type { Judge, Judgement } from './judge.ts';
import type { PodShape } from './pod-shape.ts';

/** A workload, or a pod on its own. */
export interface Usage {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly owner: OwnerRef | undefined;
  /** Its template, or the first of its pods. */
  readonly shape: PodShape;
  readonly secrets: Map<string, SecretUse>;
  readonly hosts: Map<string, HostUse>;
  /** There is a template, which says better than any pod where its Secrets come from. */
  readonly hasTemplate: boolean;
}

export interface SecretUse {
  readonly finding: Finding;
  /** Only in pods that run: the template has it no more, or never had. */
  readonly isInPodsOnly: boolean;
  pods: number;
}

export interface HostUse {
  way: Way;
  readonly pods: Record<Way, number>;
  readonly rules: Set<string>;
}

export interface Usages {
  readonly usages: readonly Usage[];
  readonly unproven: number;
  readonly accountsNotSeen: number;
}

export function usagesOf(collection: Collection, judge: Judge): Usages {
  const usages = new Map<string, Usage>();
  const accountsNotSeen = new Set<string>();
  let unproven = 0;

  function judged(shape: PodShape, state: 'stored' | 'template', pods: number): Judgement {
    const judgement = judge.judge(shape, state);
    unproven += judgement.unproven * pods;
    if (!judge.knowsAccount(shape)) accountsNotSeen.add(`${shape.namespace}/${shape.account}`);
    return judgement;
  }

  function usageOf(wish: Omit<Usage, 'secrets' | 'hosts'>): Usage {
    const key = keyOf(wish.namespace, wish);
    const usage = usages.get(key) ?? { ...wish, secrets: new Map(), hosts: new Map() };
    usages.set(key, usage);
    return usage;
  }

  for (const { namespace, ref, controller, template } of collection.workloads.values()) {
    const { kind, name } = ref;
    const owner = controller ? ownershipOf(namespace, controller, collection.controllers).owner : ref;
    const usage = usageOf({ kind, namespace, name, owner, shape: template, hasTemplate: true });
    take(usage, template, judged(template, 'template', 0), 0);
  }
  for (const group of collection.pods.values()) {
    const usage = usageOf(whose(group, collection));
    const state = group.isStored ? 'stored' : 'template';
    take(usage, group.shape, judged(group.shape, state, group.pods), group.pods);
  }
  return { usages: [...usages.values()], unproven, accountsNotSeen: accountsNotSeen.size };

  function take(usage: Usage, shape: PodShape, { findings, ours, rules }: Judgement, pods: number): void {
    for (const finding of findings) {
      const isInPodsOnly = usage.hasTemplate && pods > 0;
      const use = usage.secrets.get(finding.secret) ?? { finding, isInPodsOnly, pods: 0 };
      use.pods += pods;
      usage.secrets.set(finding.secret, use);
    }
    // Of a pod that lists what its account lists, only the template says who wrote it.
    const known = findings.map((finding) => usage.secrets.get(finding.secret)?.finding ?? finding);
    for (const host of shape.hosts) {
      const way = wayOf(shape.namespace, host, known, ours);
      const use = usage.hosts.get(host) ?? { way, pods: newCounts(), rules: new Set() };
      use.pods[way] += pods;
      // Pods that run say more than the template that they were made of.
      const isFirst = WAYS.every((each) => each === way || use.pods[each] === 0) && use.pods[way] === pods;
      if (isFirst || WAYS.indexOf(way) < WAYS.indexOf(use.way)) use.way = way;
      const rule = rules.get(host);
      if (rule !== undefined) use.rules.add(rule);
      usage.hosts.set(host, use);
    }
  }

  /** A static Secret is tried before ours, so that it counts where both are there, and where nobody knows what it is for. */
  function wayOf(
    namespace: string,
    host: string,
    findings: readonly Finding[],
    ours: ReadonlySet<string>,
  ): Way {
    const tried = findings.filter(({ secret }) =>
      hasLoginFor(collection.secrets.get(`${namespace}/${secret}`), host),
    );
    if (tried.length === 0) return ours.has(host) ? 'ours' : 'none';
    return tried.some(({ origin }) => origin === 'explicit') ? 'explicit' : 'inherited';
  }
}

function whose(group: PodGroup, { controllers, workloads }: Collection): Omit<Usage, 'secrets' | 'hosts'> {
  const { shape, controller, name } = group;
  const { namespace } = shape;
  const bare = { kind: 'Pod', namespace, name, owner: controller, shape, hasTemplate: false };
  if (!controller) return bare;
  const { workload, owner } = ownershipOf(namespace, controller, controllers);
  if (!workload) return { ...bare, owner };
  const hasTemplate = workloads.has(keyOf(namespace, workload));
  return { kind: workload.kind, namespace, name: workload.name, owner, shape, hasTemplate };
}

export function newCounts(): Record<Way, number> {
  return { explicit: 0, inherited: 0, none: 0, ours: 0 };
}
