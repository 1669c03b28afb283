// The JSON patch (RFC 6902) that brings a raw pod to what its plan says: `add` alone, nothing replaced or reordered, and
// nothing at all where nothing is missing. The one `remove` is our own gate where it may not be.
import { addMounts, addVolumes, append } from './pod-mounts.ts';
import { fieldsOf, listOf, type Fields } from './fields.ts';
import { isGated, type PodView } from './pod-view.ts';
import { CREDENTIALS_ANNOTATION, GATE, MANAGED_LABEL } from './vocabulary.ts';
import type { Plan } from './pull-plan.ts';

export type PatchOperation =
  | { readonly op: 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * @param raw the pod as the API server sent it
 * @param pod its view
 * @param gate whether the pod must wait for a credential
 * @returns operations that apply to `raw` one after the other; none if the pod is as it should be
 */
export function patchFor(raw: unknown, pod: PodView, plan: Plan, gate: boolean): PatchOperation[] {
  const object = fieldsOf(raw);
  const metadata = fieldsOf(object['metadata']);
  const spec = fieldsOf(object['spec']);
  const carries = plan.needs.length > 0 || plan.onNode.length > 0 || plan.tokens.length > 0;
  const operations: PatchOperation[] = [];
  if (carries) {
    appendMissing(
      operations,
      spec,
      'imagePullSecrets',
      pod.pullSecrets,
      plan.needs.map(({ need }) => need.secretName),
    );
    addVolumes(operations, spec, plan);
    addMounts(operations, spec, plan);
    setMember(operations, metadata, 'labels', MANAGED, 'true');
    setMember(operations, metadata, 'annotations', CREDENTIALS, credentialsText(plan));
  }
  if (gate) appendMissing(operations, spec, 'schedulingGates', pod.gates, [GATE]);
  else if (isGated(pod)) removeGates(operations, spec);
  return operations;
}

/** `team-registry=keyless-pull-…, ecr=kubelet`: for people, never read back. */
export function credentialsText(plan: Plan): string {
  const secrets = plan.needs.map(({ need }) => `${need.rule}=${need.secretName}`);
  return [...secrets, ...plan.onNode.map((rule) => `${rule}=kubelet`)].join(', ');
}

function appendMissing(
  operations: PatchOperation[],
  spec: Fields,
  field: string,
  present: readonly string[],
  wanted: readonly string[],
): void {
  const missing = wanted.filter((name) => !present.includes(name)).map((name) => ({ name }));
  append(operations, `/spec/${field}`, spec[field], missing);
}

interface Member {
  readonly key: string;
  /** The key as RFC 6901 section 3 writes it. */
  readonly pointer: string;
}

function memberOf(key: string): Member {
  return { key, pointer: key.replaceAll('~', '~0').replaceAll('/', '~1') };
}

const MANAGED = memberOf(MANAGED_LABEL);
const CREDENTIALS = memberOf(CREDENTIALS_ANNOTATION);

function setMember(
  operations: PatchOperation[],
  metadata: Fields,
  field: 'labels' | 'annotations',
  { key, pointer }: Member,
  value: string,
): void {
  const members = metadata[field];
  if (typeof members !== 'object' || members === null) {
    operations.push({ op: 'add', path: `/metadata/${field}`, value: { [key]: value } });
  } else if (!Object.hasOwn(members, key) || (members as Record<string, unknown>)[key] !== value) {
    operations.push({ op: 'add', path: `/metadata/${field}/${pointer}`, value });
  }
}

/** From the last to the first, so that the indices of the operations before stay true. */
function removeGates(operations: PatchOperation[], spec: Fields): void {
  for (const [at, { name }] of [...listOf(spec['schedulingGates']).entries()].toReversed()) {
    if (name === GATE) operations.push({ op: 'remove', path: `/spec/schedulingGates/${at}` });
  }
}
