// How uninstall tells a worker that is dead from one that is not.
import { expect, test } from 'vitest';
import { untilNobodyWorks } from '../../src/cli/uninstall/steps.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const lease = { name: 'keyless-pull-worker', durationSeconds: 6, transitions: 0, resourceVersion: '1' };

function watchLease(renewedAt: () => number, answersAfter: () => number = () => 0) {
  const clock = createHandClock();
  const cluster = {
    async findLease() {
      await clock.sleep(answersAfter());
      return { ...lease, holder: 'worker', renewedAt: renewedAt() };
    },
  };
  let outcome = 'waits';
  const { signal } = new AbortController();
  void untilNobodyWorks({ cluster, clock, signal }, 'keyless-pull').then(
    () => (outcome = 'nobody works'),
    (error: unknown) => (outcome = String(error)),
  );
  return { clock, outcome: () => outcome };
}

test('a worker that has said nothing for seven seconds is dead', async () => {
  const { clock, outcome } = watchLease(() => 1);

  await clock.advance(6_000);
  const before = outcome();
  await clock.advance(2_000);

  expect([before, outcome()]).toEqual(['waits', 'nobody works']);
});

test('who was kept waiting for the answer itself does not take a worker for dead that was kept waiting too', async () => {
  let answersAfter = 0;
  let renewedAt = 1;
  const { clock, outcome } = watchLease(
    () => renewedAt,
    () => answersAfter,
  );
  await clock.advance(1_500);

  answersAfter = 8_000;
  await clock.advance(8_600);
  answersAfter = 0;
  const afterStandstill = outcome();
  for (let second = 0; second < 60; second += 2) {
    renewedAt++;
    await clock.advance(2_000);
  }

  expect([afterStandstill, outcome()]).toEqual(['waits', 'waits']);
  await clock.advance(30_000);
  expect(outcome()).toBe('nobody works');
});
