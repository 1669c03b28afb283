// Reads what somebody else wrote: what is absent or of another type reads as empty.

export type Fields = Readonly<Record<string, unknown>>;
const NOTHING: Fields = {};
const NO_TEXTS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
const NO_ITEMS: readonly never[] = Object.freeze([]);

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : NOTHING;
}

export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A copy of the whole object, a quarter of a megabyte perhaps, and never what anybody asks for. */
const KUBECTLS_COPY = 'kubectl.kubernetes.io/last-applied-configuration';

/** Only string values; the result has no prototype, so that a key named `__proto__` is a key like any other. */
export function textMapOf(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(fieldsOf(value)).filter(
    ([key, text]) => typeof text === 'string' && key !== KUBECTLS_COPY,
  );
  if (entries.length === 0) return NO_TEXTS;
  // Born without a prototype, an object takes three times the room of one that loses it.
  return Object.setPrototypeOf(Object.fromEntries(entries), null);
}

export function namesOf(value: unknown): readonly string[] {
  return kept(listOf(value).flatMap(({ name }) => textOf(name) || []));
}

/** A list that grew has room for many more, and a view is kept for as long as its object lives: ten thousand times. */
export const kept = <Item>(list: readonly Item[]): readonly Item[] =>
  list.length === 0 ? NO_ITEMS : list.slice();

/** An RFC 3339 timestamp as epoch milliseconds; 0 when absent or unreadable. */
export function instantOf(value: unknown): number {
  return Date.parse(textOf(value)) || 0;
}
