// Two workers of the real program against a real API server, while 200 cold pods come at once.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../tools/processes.ts';
import { openArena, type Arena, type Program } from './arena.ts';
import { runBurst } from './burst.ts';

let arena: Arena;
let workers: Program[];

beforeAll(async () => {
  arena = await openArena();
  await arena.start('webhook', 'webhook');
  workers = [await arena.start('one', 'worker'), await arena.start('two', 'worker')];
  await waitUntil('one of the two leads', async () => workers.some((worker) => worker.isLeading()), {
    deadlineMs: 20_000,
  });
});

afterAll(() => arena[Symbol.asyncDispose]());

describe('a burst of 200 pods of 20 new accounts', () => {
  test('releases every pod, each behind its own credential, with one exchange per need and no 429', async () => {
    const result = await runBurst(arena, workers, { namespace: 'burst', pods: 200, accounts: 20 });

    expect(result.exchanges).toBe(20);
    console.log(
      `200 pods of 20 accounts: all released ${result.seconds.toFixed(1)} s after the first was created`,
    );
  });

  test('survives kill -9 of the working one: at most 16 exchanges more, nothing gated 10 s later', async () => {
    const result = await runBurst(arena, workers, {
      namespace: 'killed',
      pods: 200,
      accounts: 20,
      killAfter: 8,
    });

    expect(result.exchanges).toBeLessThanOrEqual(20 + 16);
    expect(result.secondsAfterKill).toBeLessThanOrEqual(10);
    console.log(
      `killed after 8 of 20: ${result.exchanges} exchanges, all released ${result.secondsAfterKill.toFixed(1)} s after the kill`,
    );
  });
});
