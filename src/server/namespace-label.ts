// Namespaces as label values, bounded: anybody may make namespaces, and each value is a series for ever.
import { OTHER } from './metric-table.ts';

/** A metric per namespace and mode is 600 series at most; later namespaces are counted together. */
const MOST_NAMESPACES = 200;

/** @returns what says under which name a namespace is counted */
export function createNamespaceLabel(): (namespace: string) => string {
  const namespaces = new Set<string>();
  return (name) => {
    if (namespaces.size < MOST_NAMESPACES) namespaces.add(name);
    return namespaces.has(name) ? name : OTHER;
  };
}
