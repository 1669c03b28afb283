// The clock itself stands still with the machine: a process that is stopped is one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { stoodStill, whileAwake } from './awake-clock.ts';
import { quietestOf } from './quietest.ts';

const PROGRAM = `
import { once } from 'node:events';
import { awakeNow, stoodStill } from './test/awake-clock.ts';
const from = [performance.now(), awakeNow()];
console.log('begun');
await once(process.stdin, 'data');
console.log(JSON.stringify([performance.now() - from[0], awakeNow() - from[1], stoodStill()]));
process.exit();
`;

test('what a machine stands still does not count, also for who wakes up first', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  await sleep(1_500);
  child.stdin.write('now');
  child.kill('SIGCONT');

  const [told] = (await once(child.stdout, 'data')) as [Buffer];

  const [passed = 0, awake = 0, still = 0] = JSON.parse(told.toString()) as number[];
  expect(still).toBeGreaterThan(1_000);
  expect(passed - awake).toBeGreaterThan(1_000);
});

test('what keeps its own thread busy is no standstill', async () => {
  const still = await quietestOf(3, 0, async () => {
    const [before, from] = [stoodStill(), performance.now()];
    while (performance.now() - from < 700);
    return stoodStill() - before;
  });

  expect(still).toBe(0);
});

test('what fails on a machine that is awake fails at once', async () => {
  let attempts = 0;
  const failing = () => {
    attempts++;
    return Promise.reject(new Error('refused'));
  };

  const tried = await quietestOf(3, 1, async () => {
    attempts = 0;
    await expect(whileAwake(failing)).rejects.toThrow('refused');
    return attempts;
  });

  expect(tried).toBe(1);
});
