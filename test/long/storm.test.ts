// A thousand cold pods of 200 new accounts, twice: undisturbed, and with the working one killed in the middle.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArena, type Arena, type Program } from '../cluster/arena.ts';
import { runBurst, startTwoWorkers } from '../cluster/burst.ts';

let arena: Arena;
let workers: Program[];

beforeAll(async () => {
  arena = await openArena();
  ({ workers } = await startTwoWorkers(arena));
});

afterAll(() => arena[Symbol.asyncDispose]());

/** Seconds of the burst that nobody disturbed: what this machine needs for it. */
let undisturbed: number;

describe('a burst of 1,000 pods of 200 new accounts', () => {
  test('releases every pod, each behind its own credential, with one exchange per need and no 429', async () => {
    const result = await runBurst(arena, workers, { namespace: 'storm', pods: 1000, accounts: 200 });

    expect(result.exchanges).toBe(200);
    undisturbed = result.seconds;
    console.log(
      `1,000 pods of 200 accounts: all released ${result.seconds.toFixed(1)} s after the first was created`,
    );
  });

  test('survives kill -9 of the working one: at most 16 exchanges more, and done 10 s later than undisturbed', async () => {
    const result = await runBurst(arena, workers, {
      namespace: 'killed',
      pods: 1000,
      accounts: 200,
      killAfter: 100,
    });

    expect(result.exchanges).toBeLessThanOrEqual(200 + 16);
    expect(result.seconds).toBeLessThanOrEqual(undisturbed + 10);
    const { exchanges, seconds, secondsAfterKill } = result;
    console.log(
      `killed after 100 of 200: ${exchanges} exchanges, ${seconds.toFixed(1)} s in all, ${secondsAfterKill.toFixed(1)} s of them after the kill`,
    );
  });
});
