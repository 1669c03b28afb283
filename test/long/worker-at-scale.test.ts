// Ten thousand credentials: a day in virtual time, and what holding them costs. The numbers are `npm run bench:worker`'s.
import { describe, expect, test } from 'vitest';
import { dayReport } from '../../bench/worker/day-report.ts';
import { measureMemory } from '../../bench/worker/memory.ts';

const NEEDS = 10_000;

describe('ten thousand credentials of mixed lives', () => {
  test('live 24 hours on no more exchanges and writes than they must, and none ends while it is needed', async () => {
    const { table, checks } = await dayReport({
      needs: NEEDS,
      hours: 24,
      ratePerEndpoint: 10,
      burst: 50,
      progress: () => undefined,
    });
    console.log(table.join('\n'));

    const missed = checks.filter(({ passed }) => !passed).map(({ text }) => text);

    expect(missed).toEqual([]);
  });

  test('are held in at most 1.5 times the memory of the same process with none', async () => {
    const { noneBytes, heldBytes } = await measureMemory(NEEDS);

    expect(heldBytes / noneBytes).toBeLessThanOrEqual(1.5);
  });
});
