// Applies a webhook's patch to a pod, and holds it to what this project promises of its patches.
import jsonpatch from 'fast-json-patch';
import type { PatchOperation } from '../../core/pod-patch.ts';
import {
  CREDENTIALS_ANNOTATION,
  DOCKER_CONFIG_VOLUME,
  GATE,
  MANAGED_LABEL,
  TOKEN_VOLUME,
  UNMOUNTED_TOKEN_VOLUME,
} from '../../core/vocabulary.ts';

const OURS = [
  `/metadata/labels/${MANAGED_LABEL.replaceAll('/', '~1')}`,
  `/metadata/annotations/${CREDENTIALS_ANNOTATION.replaceAll('/', '~1')}`,
];

/** Which member of a volume makes it ours, by the volume's name. */
const OUR_VOLUMES: Readonly<Record<string, string>> = {
  [TOKEN_VOLUME]: 'projected',
  [UNMOUNTED_TOKEN_VOLUME]: 'projected',
  [DOCKER_CONFIG_VOLUME]: 'secret',
};

/**
 * The patched copy. Throws unless every operation adds where nothing is (or to what is ours by name), its parent exists,
 * and the one thing that is ever removed is our own gate.
 */
export function applyStrictly(raw: unknown, operations: readonly PatchOperation[]): unknown {
  // By way of JSON, as over the wire: a tenth of the cost of structuredClone for a hundred thousand pods.
  let pod: unknown = JSON.parse(JSON.stringify(raw));
  for (const operation of JSON.parse(JSON.stringify(operations)) as PatchOperation[]) {
    check(pod, operation);
    pod = jsonpatch.applyOperation(pod, operation, false, true).newDocument;
  }
  return pod;
}

function check(pod: unknown, operation: PatchOperation): void {
  const steps = operation.path.split('/').slice(1).map(jsonpatch.unescapePathComponent);
  const key = steps.pop() ?? '';
  const parent = steps.reduce<unknown>((value, step) => memberOf(value, step), pod);
  if (typeof parent !== 'object' || parent === null)
    throw new Error(`${operation.path}: its parent does not exist`);
  switch (operation.op) {
    case 'remove': {
      const removed = memberOf(parent, key);
      if (steps.join('/') !== 'spec/schedulingGates' || memberOf(removed, 'name') !== GATE) {
        throw new Error(`${operation.path}: only our gate is ever removed`);
      }
      return;
    }
    case 'add': {
      if (Array.isArray(parent)) {
        if (key !== '-') throw new Error(`${operation.path}: lists are only appended to`);
        return;
      }
      const isFree = memberOf(parent, key) === undefined || memberOf(parent, key) === null;
      const isOurVolume = OUR_VOLUMES[String(memberOf(parent, 'name'))] === key;
      if (!isFree && !isOurVolume && !OURS.includes(operation.path))
        throw new Error(`${operation.path}: is there already`);
      return;
    }
    default:
      throw new Error('only add and remove are used');
  }
}

function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
