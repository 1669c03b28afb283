// What is said of a virtual day, and what must hold of it.
import type { BenchReport, Check, Ratio } from '../bench.ts';
import { liveOneDay, type DayWish } from './day.ts';

export async function dayReport(wish: DayWish): Promise<BenchReport> {
  const { needs, ratePerEndpoint, burst } = wish;
  const day = await liveOneDay(wish);
  /** What a bucket lets through in any second: what it has saved, and what it gains. */
  const most = burst + ratePerEndpoint;
  const ratios: Ratio[] = [
    { name: 'exchanges-per-due', value: (day.coldExchanges + day.renewals) / (needs + day.due) },
    { name: 'peak-per-bucket', value: Math.max(day.coldPeak, day.peak) / most },
    { name: 'cold-start-per-floor', value: day.coldSeconds / (needs / ratePerEndpoint) },
    { name: 'puts-per-renewal', value: day.puts / day.renewals },
    { name: 'status-writes-per-renewal', value: day.statusWrites / day.renewals },
  ];
  const valueOf = (name: string) => ratios.find((ratio) => ratio.name === name)?.value ?? Number.NaN;
  const checks: Check[] = [
    { passed: valueOf('exchanges-per-due') <= 1.02, text: 'at most 1.02 exchanges for each that was due' },
    { passed: valueOf('peak-per-bucket') <= 1, text: 'no second with more than the bucket has' },
    {
      passed: valueOf('cold-start-per-floor') <= 1.1,
      text: 'a cold start in at most 1.1 times needs / rate',
    },
    { passed: valueOf('puts-per-renewal') === 1, text: 'one PUT per renewal' },
    { passed: valueOf('status-writes-per-renewal') === 1, text: 'one status write per renewal' },
    { passed: day.otherWrites === 0, text: `no other write in the day (${day.otherWrites})` },
    { passed: day.expired === 0, text: 'nothing expired while it was needed' },
  ];
  return {
    table: [
      `cold start  ${day.coldExchanges} exchanges in ${day.coldSeconds.toFixed(1)} s, at most ${day.coldPeak} in a second (${day.coldRealSeconds.toFixed(0)} s of real time)`,
      `the day     ${day.renewals} renewals, ${day.due} due, at most ${day.peak} in a second, ${day.expired} expired (${day.dayRealSeconds.toFixed(0)} s of real time)`,
      `processor   ${day.dayProcessorMs.toFixed(1)} ms per virtual second of the day: worker, caretaker and fake cluster`,
      `writes      ${day.puts} PUTs of Secrets, ${day.statusWrites} status writes, ${day.otherWrites} others`,
    ],
    ratios,
    checks,
  };
}
