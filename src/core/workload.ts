// What makes pods: the template that a workload keeps, as the pod it will become, and who wrote the list of a pod.
import { fieldsOf, listOf, textOf, type Fields } from './fields.ts';
import { viewPod, type PodView } from './pod-view.ts';

/** API group and where the template is, by kind. */
const TEMPLATES: Readonly<Record<string, { readonly group: string; readonly path: readonly string[] }>> = {
  Deployment: { group: 'apps', path: ['spec', 'template'] },
  StatefulSet: { group: 'apps', path: ['spec', 'template'] },
  DaemonSet: { group: 'apps', path: ['spec', 'template'] },
  ReplicaSet: { group: 'apps', path: ['spec', 'template'] },
  Job: { group: 'batch', path: ['spec', 'template'] },
  CronJob: { group: 'batch', path: ['spec', 'jobTemplate', 'spec', 'template'] },
};

export interface WorkloadView {
  /** Kind and name. */
  readonly title: string;
  /** True if another workload made it and keeps it as it is. */
  readonly hasController: boolean;
  /** The pod of its template, under the workload's own name. */
  readonly pod: PodView;
}

export function isWorkload(group: string, kind: string): boolean {
  return TEMPLATES[kind]?.group === group;
}

/** @param kind one of those that `isWorkload` */
export function viewWorkload(kind: string, raw: unknown, namespace: string): WorkloadView {
  const { name, generateName, ownerReferences } = fieldsOf(fieldsOf(raw)['metadata']);
  const steps = TEMPLATES[kind]?.path ?? [];
  const template = fieldsOf(steps.reduce<unknown>((at, step) => fieldsOf(at)[step], raw));
  const named = { ...fieldsOf(template['metadata']), name, generateName };
  const pod = viewPod({ metadata: named, spec: template['spec'] }, namespace);
  return { title: `${kind} ${pod.name}`, hasController: controllerOf(ownerReferences) !== undefined, pod };
}

/**
 * Who wrote the pull secrets that stand in this pod, for "written in …"; undefined: whoever wrote the pod. A ReplicaSet
 * that a Deployment made has the pods' own hash as the end of its name.
 */
export function writerOf(rawPod: unknown): string | undefined {
  const { ownerReferences, labels } = fieldsOf(fieldsOf(rawPod)['metadata']);
  const controller = controllerOf(ownerReferences);
  if (!controller) return undefined;
  const [kind, name] = [textOf(controller['kind']), textOf(controller['name'])];
  const hash = textOf(fieldsOf(labels)['pod-template-hash']);
  if (kind === 'ReplicaSet' && hash !== '' && name.endsWith(`-${hash}`))
    return `the template of Deployment ${name.slice(0, -hash.length - 1)}`;
  return TEMPLATES[kind] ? `the template of ${kind} ${name}` : `a pod made by ${kind} ${name}`;
}

function controllerOf(owners: unknown): Fields | undefined {
  return listOf(owners).find(({ controller }) => controller === true);
}
