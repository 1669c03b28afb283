// Changes to a text by places in it: everything that no edit names stays as it is, byte for byte.

/** Replaces `start` to `end` (offsets in UTF-16 units, the end excluded) with `text`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** @throws TypeError if two edits touch the same characters: that is a bug of who made them */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let from = 0;
  // At one place insertions come first, and stay in the order in which they were asked for: sorting is stable.
  const inOrder = edits.toSorted((one, other) => one.start - other.start || one.end - other.end);
  for (const { start, end, text: inserted } of inOrder) {
    if (start < from || end < start) throw new TypeError('edits overlap');
    result += text.slice(from, start) + inserted;
    from = end;
  }
  return result + text.slice(from);
}

export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** Where the line after `offset` begins; where `offset` is a line's beginning already, `offset` itself. */
export function lineAfter(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const end = text.indexOf('\n', offset);
  return end === -1 ? text.length : end + 1;
}

/** What ends the lines of this text. */
export function lineEndOf(text: string): '\r\n' | '\n' {
  return text.includes('\r\n') ? '\r\n' : '\n';
}

/** For many questions about one text: the line of an offset, from 1. */
export function lineNumbers(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
