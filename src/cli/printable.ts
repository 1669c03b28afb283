// Text of others as a terminal may see it: pods, their owners and registries choose it, and escape sequences in it would
// paint over what we say. And spans of time, short.

/** What a terminal obeys instead of showing it: C0, C1 and DEL, line and paragraph separators, changes of direction. */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;
/** What JSON and double-quoted YAML leave as it is: the rest of it is escaped by their own rules. */
const UNESCAPED = /[\u007F-\u009F]/gu;

/** One line. */
export function printable(text: string): string {
  return text.replaceAll(/[\s\u2028\u2029]+/g, ' ').replaceAll(STEERING, '\uFFFD');
}

/** A line of a text that is copied: its spaces are as they were. */
export function printableLine(line: string): string {
  return line.replaceAll(STEERING, '\uFFFD');
}

/** For JSON and YAML, whose readers get the very text back. */
export function escapedControls(document: string): string {
  return document.replaceAll(
    UNESCAPED,
    (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

/** `42s`, `12m`, `3h20m`, `5d4h`; negative ones are 0s. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  return hours % 24 === 0 ? `${hours / 24}d` : `${Math.floor(hours / 24)}d${hours % 24}h`;
}

/** RFC 3339, or null for what has not happened. */
export function timestampOf(at: number): string | null {
  return at === 0 ? null : new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
