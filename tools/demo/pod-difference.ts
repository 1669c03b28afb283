// What stands in a stored pod because of keyless-pull, told apart from what any API server adds by itself. Pure.
import { isDeepStrictEqual } from 'node:util';
import { structuredPatch } from 'diff';
import jsonpatch from 'fast-json-patch';
import { stringify } from 'yaml';
import type { DifferenceLine } from './screen.ts';

/** A Kubernetes object as parsed JSON. */
export type KubeObject = Readonly<Record<string, unknown>>;

/** What is different in every life of an object, and what controllers write. */
const LIFE_FIELDS = [
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'generation',
  'managedFields',
];

/**
 * The manifest with the changes that lead from `without` (as an API server stores it where nobody opted in) to `stored`,
 * so that the API server's own defaults, which both have, stay out of sight.
 */
export function manifestAsStored(manifest: KubeObject, without: KubeObject, stored: KubeObject): KubeObject {
  const operations = jsonpatch.compare(withoutLife(without), withoutLife(stored));
  return applied(manifest, operations);
}

/** The manifest after a JSON patch (RFC 6902). */
export function applied(manifest: KubeObject, operations: readonly unknown[]): KubeObject {
  const result = structuredClone(manifest);
  // Operations of fast-json-patch's own making, or of `render`, which speaks the same language.
  for (const operation of operations) jsonpatch.applyOperation(result, operation as jsonpatch.Operation);
  return result;
}

/** True if both say the same, whatever the order of their keys. */
export function isSame(one: KubeObject, other: KubeObject): boolean {
  return isDeepStrictEqual(one, other);
}

/** The JSON pointers at which the two differ, sorted. */
export function changedPaths(before: KubeObject, after: KubeObject): string[] {
  return jsonpatch
    .compare(before, after)
    .map(({ path }) => path)
    .toSorted();
}

/** Both as YAML, line by line, whole. */
export function differenceLines(before: KubeObject, after: KubeObject): DifferenceLine[] {
  return textDifference(stringify(before), stringify(after));
}

/** Every line of both texts, with what came and what went. */
export function textDifference(before: string, after: string): DifferenceLine[] {
  const { hunks } = structuredPatch('', '', before, after, '', '', { context: Number.MAX_SAFE_INTEGER });
  const kinds: Readonly<Record<string, DifferenceLine['kind']>> = { '+': 'added', '-': 'removed' };
  return hunks
    .flatMap(({ lines }) => lines)
    .map((line) => ({ kind: kinds[line.slice(0, 1)] ?? 'same', text: line.slice(1) }));
}

function withoutLife({ status: _status, metadata, ...rest }: KubeObject): KubeObject {
  const kept = Object.entries(metadata as KubeObject).filter(([key]) => !LIFE_FIELDS.includes(key));
  return { ...rest, metadata: Object.fromEntries(kept) };
}
