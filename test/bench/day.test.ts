// A virtual day as the bench lives it, short and with few: the long run asserts the same of ten thousand.
import { expect, test } from 'vitest';
import { dayReport } from '../../bench/worker/day-report.ts';

test('a few credentials live some hours on what they must cost, and the report says so', async () => {
  const { table, checks, ratios } = await dayReport({
    needs: 20,
    hours: 3,
    ratePerEndpoint: 10,
    burst: 5,
    progress: () => undefined,
  });

  // The burst alone serves so few that there is no floor to speak of, nor a bucket.
  expect(checks.filter(({ passed }) => !passed).map(({ text }) => text)).toEqual([]);
  expect(table[1]).toMatch(/^the day {5}\d+ renewals/);
  expect(ratios.map(({ name }) => name)).toContain('exchanges-per-due');
});
