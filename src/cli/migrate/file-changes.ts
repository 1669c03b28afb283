// One file's text with the changes made in it, each held against what it should say afterwards: an edit that would change
// anything else is not made.
import { isDeepStrictEqual } from 'node:util';
import * as yaml from 'yaml';
import { fieldsOf } from '../../core/fields.ts';
import { applyEdits, type Edit } from './text-edits.ts';
import { entriesWritten } from './yaml-entries.ts';
import { removalOf } from './yaml-removals.ts';

type Path = readonly (string | number)[];

/** What is to be different in one object of a file. */
export type Change = {
  /** Which document of the file, from 0, and where in it the object is: empty but in a List. */
  readonly document: number;
  readonly object: Path;
} & (
  | {
      readonly kind: 'entries';
      readonly member: 'labels' | 'annotations';
      readonly entries: readonly (readonly [string, string])[];
    }
  | {
      readonly kind: 'removal';
      /** Where in the object its imagePullSecrets are. */
      readonly within: Path;
      readonly secrets: readonly string[];
    }
);

export interface ChangedText {
  readonly text: string;
  /** What made it. */
  readonly edits: readonly Edit[];
  readonly done: readonly Change[];
  /** What only a person can do: anchors, tabs, forms that nobody writes. */
  readonly byHand: readonly Change[];
}

/** All at once where that is right, else one by one, so that an odd one keeps no other from being made. */
export function changedText(
  text: string,
  documents: readonly yaml.Document[],
  changes: readonly Change[],
): ChangedText {
  const all = changes.map((change) => editsFor(text, documents, change));
  if (all.every((edits) => edits !== undefined)) {
    const edits = all.flat();
    const changed = tryEdits(text, edits);
    if (changed !== undefined && isAsWanted(changed, documents, changes))
      return { text: changed, edits, done: changes, byHand: [] };
  }
  const done: Change[] = [];
  const byHand: Change[] = [];
  let changed = text;
  let edits: Edit[] = [];
  for (const [at, change] of changes.entries()) {
    const more = all[at];
    const tried = more && tryEdits(text, [...edits, ...more]);
    if (more && tried !== undefined && isAsWanted(tried, documents, [...done, change])) {
      edits = [...edits, ...more];
      changed = tried;
      done.push(change);
    } else byHand.push(change);
  }
  return { text: changed, edits, done, byHand };
}

function editsFor(text: string, documents: readonly yaml.Document[], change: Change): Edit[] | undefined {
  const document = documents[change.document];
  if (change.kind === 'entries') {
    const metadata = document?.getIn([...change.object, 'metadata'], true);
    return yaml.isMap(metadata) ? entriesWritten(text, metadata, change.member, change.entries) : undefined;
  }
  const holder = document?.getIn([...change.object, ...change.within], true);
  if (!yaml.isMap(holder)) return undefined;
  const list = holder.get('imagePullSecrets', true);
  if (!yaml.isSeq(list)) return undefined;
  const places = list.items.keys().filter((at) => {
    const name = list.getIn([at, 'name']);
    return typeof name === 'string' && change.secrets.includes(name);
  });
  return removalOf(text, holder, 'imagePullSecrets', new Set(places));
}

function tryEdits(text: string, edits: readonly Edit[]): string | undefined {
  try {
    return applyEdits(text, edits);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The text says what the documents said, and the changes, and nothing else. */
function isAsWanted(text: string, before: readonly yaml.Document[], changes: readonly Change[]): boolean {
  const after = yaml.parseAllDocuments(text);
  if (!Array.isArray(after) || after.some(({ errors }) => errors.length > 0)) return false;
  const wanted = before.map((document) => structuredClone(document.toJS() as unknown));
  for (const change of changes) makeChange(wanted[change.document], change);
  return isDeepStrictEqual(
    after.map((document) => document.toJS() as unknown),
    wanted,
  );
}

function makeChange(document: unknown, change: Change): void {
  if (change.kind === 'entries') {
    const metadata = memberAt(document, [...change.object, 'metadata']);
    metadata[change.member] = {
      ...fieldsOf(metadata[change.member]),
      ...Object.fromEntries(change.entries),
    };
    return;
  }
  const holder = memberAt(document, [...change.object, ...change.within]);
  const list = holder['imagePullSecrets'] as unknown[];
  const kept = list.filter((entry) => !change.secrets.includes(String(fieldsOf(entry)['name'])));
  if (kept.length === 0) delete holder['imagePullSecrets'];
  else holder['imagePullSecrets'] = kept;
}

/** Edits were made there, so it is there. */
function memberAt(document: unknown, path: Path): Record<string, unknown> {
  return path.reduce((value, step) => (value as Record<string, unknown>)[step], document) as Record<
    string,
    unknown
  >;
}
