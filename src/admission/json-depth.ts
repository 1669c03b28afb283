// How deep a JSON text nests, seen before anything parses it.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** By character code: 1 opens a list or an object, 2 closes one, 3 begins a string. */
const KINDS = new Uint8Array(128);
for (const opening of '[{') KINDS[opening.charCodeAt(0)] = 1;
for (const closing of ']}') KINDS[closing.charCodeAt(0)] = 2;
KINDS[QUOTE] = 3;

/**
 * True if lists and objects nest deeper than `limit`; brackets inside strings do not count. Linear, and without a stack.
 * Says nothing of whether the text is JSON.
 */
export function nestsDeeperThan(text: string, limit: number): boolean {
  // Most texts do not even have so many brackets, which costs a tenth to see.
  if (!hasMoreThan(text, '{', '[', limit)) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const kind = KINDS[text.charCodeAt(at)];
    if (kind === 1 && ++depth > limit) return true;
    if (kind === 2) depth--;
    if (kind === 3) at = endOfString(text, at + 1);
  }
  return false;
}

function endOfString(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) break;
    if (code === BACKSLASH) at++;
  }
  return at;
}

function hasMoreThan(text: string, one: string, other: string, limit: number): boolean {
  let left = limit;
  for (const character of [one, other]) {
    for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1))
      if (left-- === 0) return true;
  }
  return false;
}
