// What a bench says of many numbers: medians, percentiles, ratios round by round.
import { expect, test } from 'vitest';
import { median, medianRatio, percentile } from '../../bench/statistics.ts';

test('the median of an odd number of values is the middle one, of an even number the mean of the middle two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 7])).toBe(6);
});

test('a percentile is a value that was measured, by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);

  expect(percentile(hundred, 0.99)).toBe(99);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile([7], 0.99)).toBe(7);
});

test('nothing has no median and no percentile', () => {
  expect(median([])).toBeNaN();
  expect(percentile([], 0.99)).toBeNaN();
});

test('a slow round changes both sides of its ratio, and so not the ratio', () => {
  expect(medianRatio([80, 8, 82], [100, 10, 100])).toBe(0.8);
});
