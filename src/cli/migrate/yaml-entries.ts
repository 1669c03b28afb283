// Writes entries into the labels or annotations of an object in YAML or JSON text, in the manner of the lines around them.
import * as yaml from 'yaml';
import { lineAfter, lineEndOf, lineStart, type Edit } from './text-edits.ts';
import { pairSpan } from './yaml-removals.ts';

type Entries = readonly (readonly [key: string, value: string])[];

/** @param map the object's metadata. @returns undefined where only a person can: aliases, tabs, odd forms */
export function entriesWritten(
  text: string,
  map: yaml.YAMLMap,
  member: 'labels' | 'annotations',
  entries: Entries,
): Edit[] | undefined {
  const pair = pairOf(map, member);
  if (!pair) return inserted(text, map, (style) => memberText(style, member, entries));
  const { value } = pair;
  if (yaml.isMap(value) && value.items.length > 0) return intoMap(text, value, entries);
  const empty = yaml.isMap(value) || (yaml.isScalar(value) && value.value === null);
  const key = yaml.isNode(pair.key) ? pair.key.range : undefined;
  if (!empty || !key || !value.range) return undefined;
  const oneLine = flowText(entries, isQuoted(text, map));
  const [start, end] = value.range;
  if (end > start) return [{ start, end, text: oneLine }];
  const colon = text.indexOf(':', key[1]) + 1;
  return colon === 0 ? undefined : [{ start: colon, end: colon, text: ` ${oneLine}` }];
}

function intoMap(text: string, map: yaml.YAMLMap, entries: Entries): Edit[] | undefined {
  const edits: Edit[] = [];
  const added: (readonly [string, string])[] = [];
  const quoted = isQuoted(text, map);
  for (const [key, value] of entries) {
    const pair = pairOf(map, key);
    if (!pair) added.push([key, value]);
    else if (yaml.isScalar(pair.value) && pair.value.range && !pair.value.anchor) {
      const [start, end] = pair.value.range;
      // A block scalar ends with its line, and takes what follows along.
      if (start === end || text.slice(start, end).includes('\n')) return undefined;
      edits.push({ start, end, text: scalarText(value, quoted) });
    } else return undefined;
  }
  if (added.length === 0) return edits;
  const more = inserted(text, map, (style) =>
    added.map(([key, value]) => `${scalarText(key, style.quoted)}: ${scalarText(value, style.quoted)}`),
  );
  return more && [...edits, ...more];
}

/** How the map in which something is written is written itself. */
export interface Style {
  readonly quoted: boolean;
  readonly flow: boolean;
  /** Of its keys. */
  readonly pad: string;
  /** Further in, for what is inside. */
  readonly step: string;
  readonly eol: string;
  /** A flow map with a line for each key. */
  readonly isTall: boolean;
}

/** @param lines gives what is written: keys with their values, each of them perhaps of several lines */
export function inserted(
  text: string,
  map: yaml.YAMLMap,
  lines: (style: Style) => readonly string[],
): Edit[] | undefined {
  const first = pairSpan(map.items[0]);
  const last = pairSpan(map.items.at(-1));
  if (!first || !last || !map.range) return undefined;
  const before = text.slice(lineStart(text, first.start), first.start);
  const eol = lineEndOf(text);
  const flow = map.flow === true;
  const isTall = flow && text.slice(map.range[0], first.start).includes('\n');
  if (flow ? isTall && !/^\s*$/.test(before) : !/^ *(?:- +)*$/.test(before)) return undefined;
  const pad = before.replaceAll('-', ' ');
  const style = { quoted: isQuoted(text, map), flow, pad, step: stepOf(map, text, pad), eol, isTall };
  const written = lines(style);
  if (flow) {
    const lead = isTall ? `,${eol}${pad}` : ', ';
    return [{ start: last.end, end: last.end, text: written.map((line) => lead + line).join('') }];
  }
  const at = lineAfter(text, last.end);
  const gap = text[at - 1] === '\n' ? '' : eol;
  return [{ start: at, end: at, text: gap + written.map((line) => pad + line + eol).join('') }];
}

function memberText(style: Style, member: string, entries: Entries): string[] {
  const key = scalarText(member, style.quoted);
  if (style.flow && !style.isTall) return [`${key}: ${flowText(entries, style.quoted)}`];
  const { pad, step, eol, quoted } = style;
  const lines = entries.map(
    ([name, value]) => `${pad}${step}${scalarText(name, quoted)}: ${scalarText(value, quoted)}`,
  );
  if (!style.flow) return [`${key}:${eol}${lines.join(eol)}`];
  return [`${key}: {${eol}${lines.join(`,${eol}`)}${eol}${pad}}`];
}

function flowText(entries: Entries, quoted: boolean): string {
  const inner = entries.map(([key, value]) => `${scalarText(key, quoted)}: ${scalarText(value, quoted)}`);
  return `{ ${inner.join(', ')} }`;
}

/** As the text around it is indented, else by two. */
function stepOf(map: yaml.YAMLMap, text: string, pad: string): string {
  if (map.flow && map.range) {
    const line = text.slice(lineStart(text, map.range[0]), map.range[0]);
    return pad.slice(/^\s*/.exec(line)?.[0].length ?? 0) || '  ';
  }
  for (const { value } of map.items) {
    const inner = yaml.isMap(value) ? pairSpan(value.items[0]) : undefined;
    if (!inner) continue;
    const before = text.slice(lineStart(text, inner.start), inner.start);
    if (/^ *$/.test(before) && before.length > pad.length) return before.slice(pad.length);
  }
  return '  ';
}

/** JSON, or YAML that is written like it. */
function isQuoted(text: string, map: yaml.YAMLMap): boolean {
  const first = pairSpan(map.items[0]);
  return first !== undefined && text[first.start] === '"';
}

const PLAIN = /^[A-Za-z][A-Za-z0-9._/-]*$/;
const NOT_TEXT = /^(?:true|false|yes|no|on|off|null|y|n)$/i;

function scalarText(value: string, quoted: boolean): string {
  return !quoted && PLAIN.test(value) && !NOT_TEXT.test(value) ? value : JSON.stringify(value);
}

export function pairOf(map: yaml.YAMLMap, key: string): yaml.Pair<unknown, yaml.Node> | undefined {
  // yaml types what a parsed pair holds as unknown; a parsed document has nodes there.
  return map.items.find((pair) => yaml.isScalar(pair.key) && pair.key.value === key) as
    | yaml.Pair<unknown, yaml.Node>
    | undefined;
}
