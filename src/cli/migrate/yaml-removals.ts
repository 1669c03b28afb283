// Takes entries out of a list in YAML or JSON text, found by its parsed nodes, so that the lines around them stay as they
// are. What cannot be done so is undefined: a person has to.
import * as yaml from 'yaml';
import { lineAfter, lineStart, type Edit } from './text-edits.ts';

interface Span {
  readonly start: number;
  readonly end: number;
}

/** @param removed places in the list at `key`. All of them: the key goes too. */
export function removalOf(
  text: string,
  map: yaml.YAMLMap,
  key: string,
  removed: ReadonlySet<number>,
): Edit[] | undefined {
  const at = map.items.findIndex((pair) => yaml.isScalar(pair.key) && pair.key.value === key);
  const list = map.items[at]?.value;
  // An anchor may be somebody else's only copy.
  if (!yaml.isSeq(list) || hasAnchor(list)) return undefined;
  if (removed.size < list.items.length) return itemsRemoved(text, list, removed);
  return pairRemoved(text, map, at);
}

function itemsRemoved(text: string, list: yaml.YAMLSeq, removed: ReadonlySet<number>): Edit[] | undefined {
  if (list.flow) return flowRemoved(text, spansOf(list), removed);
  const edits: Edit[] = [];
  for (const at of removed) {
    const span = spanOf(list.items[at]);
    if (!span) return undefined;
    const start = lineStart(text, span.start);
    if (!/^\s*-\s+$/.test(text.slice(start, span.start))) return undefined;
    edits.push({ start, end: lineAfter(text, span.end), text: '' });
  }
  return edits;
}

/** One key with its value. */
export function pairRemoved(text: string, map: yaml.YAMLMap, at: number): Edit[] | undefined {
  if (map.flow) return flowRemoved(text, spansOf(map), new Set([at]));
  const span = pairSpan(map.items[at]);
  if (!span || map.items.length === 1) return undefined;
  const start = lineStart(text, span.start);
  const before = text.slice(start, span.start);
  if (/^\s*$/.test(before)) return [{ start, end: lineAfter(text, span.end), text: '' }];
  // First in a list's entry, behind the dash: the next key takes its place.
  const next = pairSpan(map.items[at + 1]);
  if (!next || !/^[\s-]*$/.test(before) || text.slice(span.end, next.start).includes('#')) return undefined;
  return [{ start: span.start, end: next.start, text: '' }];
}

/** Between brackets or braces, with one of the commas. */
function flowRemoved(
  text: string,
  spans: readonly (Span | undefined)[],
  removed: ReadonlySet<number>,
): Edit[] | undefined {
  const kept = spans.keys().filter((at) => !removed.has(at));
  const lastKept = Math.max(-1, ...kept);
  const edits: Edit[] = [];
  const cut = (start: number | undefined, end: number | undefined) => {
    const isPlain = start !== undefined && end !== undefined && !text.slice(start, end).includes('#');
    if (isPlain) edits.push({ start, end, text: '' });
    return isPlain;
  };
  for (const at of removed) {
    if (at < lastKept && !cut(spans[at]?.start, spans[at + 1]?.start)) return undefined;
  }
  const last = spans.length - 1;
  const from = lastKept === -1 ? spans[0]?.start : spans[lastKept]?.end;
  return lastKept === last || cut(from, spans[last]?.end) ? edits : undefined;
}

function spansOf(collection: yaml.YAMLMap | yaml.YAMLSeq): (Span | undefined)[] {
  return collection.items.map((item) => (yaml.isPair(item) ? pairSpan(item) : spanOf(item)));
}

export function pairSpan(pair: yaml.Pair | undefined): Span | undefined {
  const key = spanOf(pair?.key);
  const value = pair?.value === null ? key : spanOf(pair?.value);
  return key && { start: key.start, end: Math.max(key.end, value?.end ?? 0) };
}

/** From its first to its last character; comments behind it are not its own. */
function spanOf(node: unknown): Span | undefined {
  if (!yaml.isNode(node) || !node.range) return undefined;
  const [start, end] = node.range;
  if (!yaml.isCollection(node) || node.flow) return { start, end };
  const last = node.items.at(-1);
  const inner = yaml.isPair(last) ? pairSpan(last) : spanOf(last);
  return inner && { start, end: inner.end };
}

function hasAnchor(node: yaml.Node): boolean {
  let found = false;
  yaml.visit(node, {
    Node: (_key, one) => {
      if ('anchor' in one && one.anchor) found = true;
    },
  });
  return found;
}
