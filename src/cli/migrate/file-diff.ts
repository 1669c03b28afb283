// The diff of one file, as git apply takes it. What a Secret holds is in none, not even as the lines around a change.
import { formatPatch, structuredPatch, type StructuredPatchHunk } from 'diff';
import * as yaml from 'yaml';
import { applyEdits, lineAfter, lineNumbers, lineStart, type Edit } from './text-edits.ts';
import type { SourceFile } from './sources.ts';

const CONTEXT = 3;
/** Beside a Secret the line next to a change has to do: the dashes between two documents. */
const NEAR_SECRETS = 1;

/** Undefined where it would show the data of a Secret. */
export function fileDiff(source: SourceFile, edits: readonly Edit[]): string | undefined {
  const { path, text } = source;
  const name = path === '-' ? 'stdin' : path.replace(/^\.?\//, '');
  const lineOf = lineNumbers(text);
  const hidden = secretLines(source, lineOf);
  const hunks = hunksOf(text, edits, hidden.length > 0 ? NEAR_SECRETS : CONTEXT, lineOf);
  const isShown = hunks.some(({ oldStart, oldLines }) =>
    hidden.some(({ first, last }) => oldStart <= last && oldStart + oldLines - 1 >= first),
  );
  if (isShown) return undefined;
  const names = {
    oldFileName: `a/${name}`,
    newFileName: `b/${name}`,
    oldHeader: undefined,
    newHeader: undefined,
  };
  return formatPatch({ ...names, hunks }).replace(/^=+\n/, '');
}

/** Each change is compared with its own surroundings alone: a whole file of thousands of changes takes minutes. */
function hunksOf(
  text: string,
  edits: readonly Edit[],
  context: number,
  lineOf: (offset: number) => number,
): StructuredPatchHunk[] {
  const hunks: StructuredPatchHunk[] = [];
  let shift = 0;
  for (const { start, end, edits: near } of windowsOf(text, edits, context)) {
    const before = text.slice(start, end);
    const inside = near.map((edit) => ({ ...edit, start: edit.start - start, end: edit.end - start }));
    const after = applyEdits(before, inside);
    const skipped = lineOf(start) - 1;
    for (const hunk of structuredPatch('', '', before, after, undefined, undefined, { context }).hunks) {
      hunks.push({ ...hunk, oldStart: hunk.oldStart + skipped, newStart: hunk.newStart + skipped + shift });
    }
    shift += countLines(after) - countLines(before);
  }
  return hunks;
}

interface Window {
  readonly start: number;
  end: number;
  readonly edits: Edit[];
}

/** Whole lines around each edit; those that meet are one. */
function windowsOf(text: string, edits: readonly Edit[], context: number): Window[] {
  const windows: Window[] = [];
  for (const edit of edits.toSorted((one, other) => one.start - other.start || one.end - other.end)) {
    let start = lineStart(text, edit.start);
    for (let line = 0; line < context && start > 0; line++) start = lineStart(text, start - 1);
    let end = lineAfter(text, edit.end);
    // One more: the line in which an edit ends may be one that it only touches.
    for (let line = 0; line <= context && end < text.length; line++) end = lineAfter(text, end + 1);
    const last = windows.at(-1);
    if (last && start <= last.end) {
      last.end = Math.max(last.end, end);
      last.edits.push(edit);
    } else windows.push({ start, end, edits: [edit] });
  }
  return windows;
}

function countLines(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

interface Lines {
  readonly first: number;
  readonly last: number;
}

/** Where the data of Secrets stand. */
function secretLines({ documents, manifests }: SourceFile, lineOf: (offset: number) => number): Lines[] {
  return manifests
    .filter(({ kind }) => kind === 'Secret')
    .flatMap(({ document, path }) =>
      ['data', 'stringData'].flatMap((key) => {
        const node = documents[document]?.getIn([...path, key], true);
        if (!yaml.isNode(node) || !node.range) return [];
        const [start, end] = node.range;
        return { first: lineOf(start), last: lineOf(Math.max(start, end - 1)) };
      }),
    );
}
