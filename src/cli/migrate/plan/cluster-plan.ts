// The plan of a cluster: namespace by namespace, the smallest first; the provisioner's controller stops only when nothing
// needs it any more.
import { viewNamespace } from '../../../core/pod-view.ts';
import { INJECT_LABEL, PROTECTED_NAMESPACES, STATIC_PULL_SECRETS_LABEL } from '../../../core/vocabulary.ts';
import { createWorld, type MigrationSettings, type MigrationWorld } from '../coverage.ts';
import { judgeReferences, type Reference } from '../references.ts';
import { stepsFor, type NamespaceFacts } from './namespace-steps.ts';
import { kubectlIn, type PlanStep } from './plan-step.ts';
import { provisionedAccounts } from './removal-steps.ts';
import { isProvisioners, provisionerController } from './provisioner.ts';
import type { ClusterObjects } from './cluster-objects.ts';

/** A reference that cannot go yet. */
export interface Obstacle {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly secret: string;
  readonly reason: string;
}

export interface ClusterPlan {
  readonly steps: readonly PlanStep[];
  readonly obstacles: readonly Obstacle[];
  readonly notSeen: readonly string[];
  readonly summary: {
    readonly namespaces: number;
    readonly steps: number;
    readonly references: number;
    readonly obstacles: number;
  };
}

export interface PlanWish {
  readonly settings: MigrationSettings;
  readonly configFile: string;
  /** Where keyless-pull itself runs: left alone. */
  readonly ownNamespace: string;
}

export function planCluster({ manifests, notSeen }: ClusterObjects, wish: PlanWish): ClusterPlan {
  const world = createWorld(manifests, wish.settings);
  const references = judgeReferences(world).filter(({ holder }) => isOpen(holder.namespace, wish));
  const facts = factsOf(world, references, wish);
  const provisioned = facts.filter((one) => provisionedAccounts(one).length > 0);
  const isFree = !references.some(
    ({ holder, secret, stays }) => stays !== undefined && isProvisioners(holder, secret),
  );
  const all = facts.map((one) => stepsFor(one));
  const steps = [
    ...all.flatMap(({ first }) => first),
    ...(provisioned.length > 0 && isFree
      ? [stopStep(world, provisioned), ...all.flatMap(({ last }) => last)]
      : []),
  ];
  const obstacles = references.flatMap(({ holder, secret, stays }): Obstacle[] => {
    const { namespace, kind, name } = holder;
    return stays === undefined ? [] : [{ namespace, kind, name, secret, reason: stays }];
  });
  const namespaces = new Set(steps.flatMap(({ namespace }) => namespace || [])).size;
  const summary = {
    namespaces,
    steps: steps.length,
    references: references.length,
    obstacles: obstacles.length,
  };
  return { steps, obstacles, notSeen, summary };
}

function isOpen(namespace: string, { ownNamespace }: PlanWish): boolean {
  return namespace !== ownNamespace && !PROTECTED_NAMESPACES.includes(namespace);
}

/** Namespaces with static references, and those that have begun: the others are nobody's business. */
function factsOf(world: MigrationWorld, references: readonly Reference[], wish: PlanWish): NamespaceFacts[] {
  const byNamespace = Map.groupBy(references, ({ holder }) => holder.namespace);
  const pods = Map.groupBy(world.pods, ({ pod }) => pod.namespace);
  const begun = world.manifests.filter(({ kind, name, object }) => {
    const { labels } = viewNamespace(object);
    return (
      kind === 'Namespace' &&
      isOpen(name, wish) &&
      (INJECT_LABEL in labels || STATIC_PULL_SECRETS_LABEL in labels)
    );
  });
  const names = new Set([...byNamespace.keys(), ...begun.map(({ name }) => name)]);
  const facts = [...names].map((name): NamespaceFacts => {
    const object = world.find('Namespace', '', name)?.object;
    return {
      name,
      labels: viewNamespace(object).labels,
      pods: pods.get(name) ?? [],
      references: byNamespace.get(name) ?? [],
      world,
      configFile: wish.configFile,
    };
  });
  return facts.toSorted(
    (one, other) => one.pods.length - other.pods.length || (one.name < other.name ? -1 : 1),
  );
}

function stopStep(world: MigrationWorld, provisioned: readonly NamespaceFacts[]): PlanStep {
  const { namespace, name, replicas, isSeen } = provisionerController(world.manifests);
  const scale = (to: number) => `${kubectlIn(namespace)} scale deployment/${name} --replicas=${to}`;
  const where = isSeen ? '' : ' It was not seen here: these are the names that it is installed under.';
  return {
    step: 'stop-provisioner',
    namespace: '',
    does:
      `The image-pull-secrets-provisioner is scaled to none, for it would write its entries again. It serves ` +
      `${provisioned.map((one) => one.name).join(', ')}; every other namespace that it serves must have come this far too ` +
      `(migrate --plan -A).${where} Its Secrets grow old from now on: a dead one is tried first, and its failure lets ` +
      'the kubelet go on to ours.',
    commands: [scale(0)],
    proof: {
      text: 'It has no pod any more, and pods still pull.',
      commands: [`${kubectlIn(namespace)} get deployment/${name}`],
    },
    back: [scale(replicas)],
  };
}
