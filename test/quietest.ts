// Seconds on a machine that does other things too: what it adds once in a while is not what is measured.

/**
 * The least of what at most `rounds` rounds measured, and no round more than it takes to stay within `limit`. What every round is
 * over, the product is over.
 */
export async function quietestOf(
  rounds: number,
  limit: number,
  measure: (round: number) => Promise<number>,
): Promise<number> {
  let least = Infinity;
  for (let round = 1; round <= rounds && least > limit; round++)
    least = Math.min(least, await measure(round));
  return least;
}
