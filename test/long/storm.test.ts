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

describe('a burst of 1,000 pods of 200 new accounts', () => {
  test('releases every pod, each behind its own credential, with one exchange per need and no 429', async () => {
    const result = await runBurst(arena, workers, { namespace: 'storm', pods: 1000, accounts: 200 });

    expect(result.exchanges).toBe(200);
    console.log(
      `1,000 pods of 200 accounts: all released ${result.seconds.toFixed(1)} s after the first was created`,
    );
  });

  test('survives kill -9 of the working one: at most 16 exchanges more, nothing gated 10 s later', async () => {
    const result = await runBurst(arena, workers, {
      namespace: 'killed',
      pods: 1000,
      accounts: 200,
      killAfter: 80,
    });

    expect(result.exchanges).toBeLessThanOrEqual(200 + 16);
    expect(result.secondsAfterKill).toBeLessThanOrEqual(10);
    console.log(
      `killed after 80 of 200: ${result.exchanges} exchanges, all released ${result.secondsAfterKill.toFixed(1)} s after the kill`,
    );
  });
});
