// Things that wait, by name. Those that have changed are looked at at once, and all of them the more seldom the more there are:
// what ten thousand wait for must not keep the process from answering.
import type { Clock } from '../clock.ts';

export interface Lookout<Item> {
  get(key: string): Item | undefined;
  set(key: string, item: Item): void;
  delete(key: string): void;
  /** Something that the item's state depends on has changed. */
  touch(key: string): void;
  /** Something has changed that many may depend on: all are looked at soon. */
  hurry(): void;
  /** What is to be looked at now, and whether that is all there is. */
  next(): { readonly isAll: boolean; readonly items: readonly Item[] };
}

/** Of so few, all are looked at every time. */
export const FEW = 200;
/** A look at one takes some microseconds: half a percent of the time. */
export const MS_PER_ITEM = 1;
const SOON_MS = 1_000;

/** A tenth of a millisecond: no review waits longer for it. */
const IN_ONE_TURN = 10;

/** Looks at each, and lets everything else have its turn in between. */
export async function eachAtLeisure<Item>(
  clock: Pick<Clock, 'afterTurn'>,
  items: Iterable<Item>,
  look: (item: Item) => void,
): Promise<void> {
  let count = 0;
  for (const item of items) {
    look(item);
    if (++count % IN_ONE_TURN === 0) await new Promise<void>((resolve) => clock.afterTurn(resolve));
  }
}

export function createLookout<Item>(clock: Pick<Clock, 'monotonic'>): Lookout<Item> {
  const items = new Map<string, Item>();
  const changed = new Set<string>();
  let allAt = -Infinity;
  let allSeenAt = -Infinity;

  return {
    get: (key) => items.get(key),
    set(key, item) {
      items.set(key, item);
      changed.add(key);
    },
    delete(key) {
      items.delete(key);
      changed.delete(key);
    },
    touch(key) {
      if (items.has(key)) changed.add(key);
    },
    hurry() {
      allAt = Math.min(allAt, allSeenAt + SOON_MS);
    },
    next() {
      const now = clock.monotonic();
      const isAll = items.size <= FEW || now >= allAt;
      const taken = isAll ? [...items.values()] : [...changed].flatMap((key) => items.get(key) ?? []);
      if (isAll) {
        allSeenAt = now;
        allAt = now + Math.max(SOON_MS, items.size * MS_PER_ITEM);
      }
      changed.clear();
      return { isAll, items: taken };
    },
  };
}
