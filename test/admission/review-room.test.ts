// What is parsed at once stays within its bounds, whoever sends what.
import { describe, expect, test } from 'vitest';
import { createReviewRoom } from '../../src/admission/review-room.ts';

const forever = () => new AbortController().signal;
const limits = { bytes: 10, waitingBytes: 20 };
const isFree = (entering: Disposable | Promise<Disposable>) => !(entering instanceof Promise);
const afterwards = () => new Promise((resolve) => setImmediate(resolve));

describe('a room for reviews', () => {
  test('takes what fits at once, and one that is too large for it alone', () => {
    const room = createReviewRoom(limits);
    const places = [room.enter(4, forever), room.enter(6, forever)];
    expect(places.every(isFree)).toBe(true);
    for (const place of places as Disposable[]) place[Symbol.dispose]();

    expect(isFree(room.enter(11, forever))).toBe(true);
    expect(isFree(room.enter(1, forever))).toBe(false);
  });

  test('lets those who wait in by their order, as many as fit', async () => {
    const room = createReviewRoom(limits);
    const first = room.enter(10, forever) as Disposable;
    const entered: string[] = [];
    const wait = async (name: string, bytes: number) => {
      const place = await room.enter(bytes, forever);
      entered.push(name);
      return place;
    };
    const large = wait('large', 8);
    void wait('small', 2);
    void wait('late', 1);
    await afterwards();
    expect(entered).toEqual([]);

    first[Symbol.dispose]();
    await afterwards();
    expect(entered).toEqual(['large', 'small']);

    (await large)[Symbol.dispose]();
    await afterwards();
    expect(entered).toEqual(['large', 'small', 'late']);
  });

  test('sends away what would wait beyond its bound, or longer than its time', async () => {
    const room = createReviewRoom(limits);
    const first = room.enter(10, forever) as Disposable;
    const time = new AbortController();
    const waiting = room.enter(20, () => time.signal);

    expect(() => room.enter(1, forever)).toThrow('too many large reviews at once');
    time.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'not-ready' });
    await expect(room.enter(1, () => time.signal)).rejects.toMatchObject({ code: 'not-ready' });
    expect(isFree(room.enter(20, forever))).toBe(false);

    first[Symbol.dispose]();
    await afterwards();
    expect(isFree(room.enter(1, forever))).toBe(false);
  });
});
