// The name that somebody probably meant.

/** The known name with the fewest changes from `name`, if they are few for its length. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(name.length / 3));
  let best: { readonly name: string; readonly changes: number } | undefined;
  for (const candidate of known) {
    const changes = changesBetween(name, candidate);
    if (changes <= most && (!best || changes < best.changes)) best = { name: candidate, changes };
  }
  return best?.name;
}

/** Letters to add, remove or replace: the distance after Levenshtein, one row at a time. */
function changesBetween(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [at, letter] of one.split('').entries()) {
    const next = [at + 1];
    for (const [place, wanted] of other.split('').entries()) {
      const replaced = (row[place] ?? 0) + (letter === wanted ? 0 : 1);
      next.push(Math.min(replaced, (row[place + 1] ?? 0) + 1, (next[place] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
