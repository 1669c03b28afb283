// Writes what came out into the expectation of a case: only what did not hold, in the manner of the lines around it, so that
// comments and everything else stay.
import { isDeepStrictEqual } from 'node:util';
import * as yaml from 'yaml';
import { Problem } from '../../problem.ts';
import { applyEdits, type Edit } from '../migrate/text-edits.ts';
import { inserted, pairOf } from '../migrate/yaml-entries.ts';
import { pairRemoved, pairSpan } from '../migrate/yaml-removals.ts';
import { filledText, withWords } from './secret-names.ts';
import type { Case } from './case-file.ts';
import type { CaseRun } from './run-case.ts';

/** What a case that expects nothing yet is given, where it came out as anything. */
const FIRST = ['verdict', 'reason', 'pullSecrets', 'gates', 'annotation', 'warnings', 'denied'];

/**
 * The text of the case as it should be; the same text where only a promise is broken that no expectation can mend.
 * @throws Problem file-unreadable for a header that is written too oddly to be edited
 */
export function updatedText(given: Case, run: CaseRun): string {
  const { text, names, header } = given;
  const actual = withWords(run.actual, names) as Record<string, unknown>;
  const [document] = yaml.parseAllDocuments(text) as yaml.Document[];
  const head = document?.contents;
  if (!yaml.isMap(head)) throw tooOdd(given.path);
  const edits = header.expect ? editsOf(text, head, run, actual) : firstEdit(text, head, actual);
  if (!edits) throw tooOdd(given.path);
  const changed = applyEdits(text, edits);
  if (edits.length > 0 && !isAsWanted(changed, given)) throw tooOdd(given.path);
  return changed;
}

function editsOf(
  text: string,
  head: yaml.YAMLMap,
  { failures }: CaseRun,
  actual: Readonly<Record<string, unknown>>,
): Edit[] | undefined {
  const expectation = head.get('expect', true);
  if (!yaml.isMap(expectation)) return undefined;
  const edits: Edit[] = [];
  for (const { what } of failures) {
    if (!(what in actual)) continue;
    const value = actual[what];
    const more = isEmpty(value)
      ? withoutKey(text, expectation, what)
      : withKey(text, expectation, what, value);
    if (!more) return undefined;
    edits.push(...more);
  }
  return edits;
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  );
}

/** `pullSecrets: []` says something that its absence does not. */
function withoutKey(text: string, map: yaml.YAMLMap, key: string): Edit[] | undefined {
  const at = map.items.findIndex((pair) => yaml.isScalar(pair.key) && pair.key.value === key);
  if (at === -1) return [];
  return ['pullSecrets', 'gates', 'patch', 'paths'].includes(key)
    ? withKey(text, map, key, [])
    : pairRemoved(text, map, at);
}

function withKey(text: string, map: yaml.YAMLMap, key: string, value: unknown): Edit[] | undefined {
  const pair = pairOf(map, key);
  if (!pair) return inserted(text, map, ({ flow, pad, eol }) => [entryText(key, value, flow, pad, eol)]);
  const span = pairSpan(pair);
  if (!span) return undefined;
  const before = text.slice(text.lastIndexOf('\n', span.start - 1) + 1, span.start);
  const pad = ' '.repeat(before.length);
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  return [{ ...span, text: entryText(key, value, map.flow === true, pad, eol) }];
}

function firstEdit(
  text: string,
  head: yaml.YAMLMap,
  actual: Readonly<Record<string, unknown>>,
): Edit[] | undefined {
  const shown = FIRST.filter((key) => !isEmpty(actual[key])).map((key) => [key, actual[key]]);
  return inserted(text, head, ({ flow, pad, eol }) => [
    entryText('expect', Object.fromEntries(shown), flow, pad, eol),
  ]);
}

/** Without the padding of its first line, which is there already. */
function entryText(key: string, value: unknown, flow: boolean, pad: string, eol: string): string {
  const style = { lineWidth: 0, ...(flow && { collectionStyle: 'flow' as const }) };
  const written = yaml.stringify({ [key]: value }, style).trimEnd();
  // In braces already: those around the one entry are not wanted.
  return flow ? written.replace(/^\{\s*|\s*\}$/g, '') : written.replaceAll('\n', eol + pad);
}

/** Everything but the expectation says what it said. */
function isAsWanted(text: string, { text: before, names }: Case): boolean {
  const read = (one: string) => {
    const documents = yaml.parseAllDocuments(filledText(one, names)) as yaml.Document[];
    if (documents.some(({ errors }) => errors.length > 0)) return undefined;
    return documents.map((document, at) => {
      const value = document.toJS() as Record<string, unknown>;
      return at === 0 ? { ...value, expect: null } : value;
    });
  };
  const after = read(text);
  return after !== undefined && isDeepStrictEqual(after, read(before));
}

function tooOdd(path: string): Problem {
  return new Problem(
    'file-unreadable',
    `cannot update ${path}: write its expectation as a map of keys and values`,
  );
}
