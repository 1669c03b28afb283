// Whose a pod is: from its controller up to the workload that somebody wrote.
import { fieldsOf, listOf, textOf } from '../../core/fields.ts';

export interface OwnerRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

/** The workloads whose templates Kubernetes itself makes pods of. */
const WORKLOADS: Readonly<Record<string, RegExp>> = {
  Deployment: /^(apps|extensions)\//,
  StatefulSet: /^apps\//,
  DaemonSet: /^(apps|extensions)\//,
  ReplicaSet: /^(apps|extensions)\//,
  ReplicationController: /^v1$/,
  Job: /^batch\//,
  CronJob: /^batch\//,
};
/** Owners of owners; more is a ring. */
const MOST_STEPS = 8;

export function isWorkload({ apiVersion, kind }: Pick<OwnerRef, 'apiVersion' | 'kind'>): boolean {
  return WORKLOADS[kind]?.test(apiVersion) ?? false;
}

export function controllerOf(raw: unknown): OwnerRef | undefined {
  const { ownerReferences } = fieldsOf(fieldsOf(raw)['metadata']);
  const found = listOf(ownerReferences).find(({ controller }) => controller === true);
  if (!found) return undefined;
  return {
    apiVersion: textOf(found['apiVersion']),
    kind: textOf(found['kind']),
    name: textOf(found['name']),
  };
}

export function keyOf(namespace: string, { kind, name }: Pick<OwnerRef, 'kind' | 'name'>): string {
  return `${namespace}/${kind}/${name}`;
}

export interface Ownership {
  /** The topmost workload of Kubernetes' own; undefined where the controller is of another kind. */
  readonly workload: OwnerRef | undefined;
  /** The topmost of all: what somebody has to change. */
  readonly owner: OwnerRef;
}

/** @param controllers by `keyOf` of what they control. */
export function ownershipOf(
  namespace: string,
  controller: OwnerRef,
  controllers: ReadonlyMap<string, OwnerRef>,
): Ownership {
  let workload = isWorkload(controller) ? controller : undefined;
  let owner = controller;
  for (let step = 0; step < MOST_STEPS; step++) {
    const next = controllers.get(keyOf(namespace, owner));
    if (!next) break;
    owner = next;
    if (workload && isWorkload(next)) workload = next;
  }
  return { workload, owner };
}

/** A ReplicaSet is called after its Deployment and the hash that its pods carry: where the input has pods alone. */
export function deploymentOf(controller: OwnerRef, templateHash: string): OwnerRef | undefined {
  const ending = `-${templateHash}`;
  const isOfDeployment =
    templateHash !== '' && controller.kind === 'ReplicaSet' && controller.name.endsWith(ending);
  if (!isOfDeployment || !isWorkload(controller)) return undefined;
  return { apiVersion: 'apps/v1', kind: 'Deployment', name: controller.name.slice(0, -ending.length) };
}
