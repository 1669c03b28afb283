// Of many that wait, who is looked at when.
import { expect, test } from 'vitest';
import { createLookout, FEW } from '../../src/credentials/lookout.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const MANY = 2_000;

function openLookout(count: number) {
  const clock = createHandClock();
  const lookout = createLookout<string>(clock);
  for (let nth = 0; nth < count; nth++) lookout.set(`name-${nth}`, `item-${nth}`);
  return { clock, lookout };
}

test('a few are all looked at every time', () => {
  const { lookout } = openLookout(FEW);

  const looks = [lookout.next(), lookout.next()];

  expect(looks.map(({ isAll, items }) => [isAll, items.length])).toEqual([
    [true, FEW],
    [true, FEW],
  ]);
});

test('of many those that have changed are looked at at once, and all after a millisecond for each', async () => {
  const { clock, lookout } = openLookout(MANY);
  lookout.next();

  lookout.set('new', 'new');
  lookout.touch('name-7');
  lookout.touch('unknown');
  const changed = lookout.next();
  const nothing = lookout.next();
  await clock.advance(MANY);
  const all = lookout.next();

  expect(changed).toEqual({ isAll: false, items: ['new', 'item-7'] });
  expect(nothing.items).toEqual([]);
  expect([all.isAll, all.items.length]).toEqual([true, MANY + 1]);
});

test('what many may depend on has all of them looked at within a second, however often it changes', async () => {
  const { clock, lookout } = openLookout(MANY);
  lookout.next();

  lookout.hurry();
  const atOnce = lookout.next();
  await clock.advance(1_000);
  const soon = lookout.next();

  expect([atOnce.isAll, soon.isAll]).toEqual([false, true]);
});

test('what is gone is looked at no more', () => {
  const { lookout } = openLookout(MANY);
  lookout.next();

  lookout.set('new', 'new');
  lookout.delete('new');

  expect(lookout.next().items).toEqual([]);
});
