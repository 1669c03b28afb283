// Starting, stopping, and leaving nothing behind whatever ends the parent.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { endingWithParent } from '../../tools/command-lines.ts';
import { isStillRunning, waitForEnd } from '../../tools/process-identity.ts';
import type { Run, StartedProcess } from '../../tools/processes.ts';
import { openRun, waitUntil } from '../../tools/processes.ts';
import { sweepRunFolders } from '../../tools/run-folder.ts';
import { whileAwake } from '../awake-clock.ts';
import type { HeldRun } from './held-run.ts';
import { startHeldRun } from './held-run.ts';

const forever = ['-e', 'setInterval(() => undefined, 1000)'];

test('stopping a run ends its processes and deletes its folder', async () => {
  const run = await openRun('test');
  const child = run.start('waiting', process.execPath, forever);
  expect(isStillRunning(child.identity)).toBe(true);

  await run.stop();

  expect(isStillRunning(child.identity)).toBe(false);
  expect(existsSync(run.folder)).toBe(false);
  expect(process.listeners('SIGINT').filter((listener) => listener.name === 'endBySignal')).toEqual([]);
});

test('processes stop in the reverse order of their start, each when the one before has ended', async () => {
  const orderFile = join(mkdtempSync(join(tmpdir(), 'keyless-pull-order-test-')), 'order');
  // A stop has patience for a second only.
  await whileAwake(async () => {
    writeFileSync(orderFile, '');
    await using run = await openRun('test');
    for (const [name, lastWillMs] of [
      ['first', 0],
      ['second', 200],
    ] as const) {
      const append = `require('fs').appendFileSync('${orderFile}', '${name} ')`;
      const onStop = `setTimeout(() => { ${append}; process.exit() }, ${lastWillMs})`;
      await startAndHear(run, name, `process.on('SIGTERM', () => { ${onStop} })`);
    }

    await run.stop();

    expect(readFileSync(orderFile, 'utf8')).toBe('second first ');
  });
  rmSync(dirname(orderFile), { recursive: true });
});

test('a process deaf to SIGTERM is killed at the deadline', async () => {
  await using run = await openRun('test');
  const child = await startAndHear(run, 'deaf', `process.on('SIGTERM', () => undefined)`);

  await child.stop(100);

  expect(isStillRunning(child.identity)).toBe(false);
});

test('waiting for a process that ended says what its log said', async () => {
  await using run = await openRun('test');
  const failing = run.start('failing', process.execPath, [
    '-e',
    'console.error("port in use"); process.exitCode = 1',
  ]);

  const waiting = waitUntil('it was ready', async () => false, { deadlineMs: 30_000, needed: [failing] });

  await expect(waiting).rejects.toThrow(/failing ended before it was ready\n.*\n {2}port in use/);
});

test('waiting longer than the deadline says what was wrong last', async () => {
  const waiting = waitUntil('it was ready', () => Promise.reject(new Error('refused')), { deadlineMs: 60 });

  await expect(waiting).rejects.toThrow('no sign after 0.06 s: it was ready; last: Error: refused');
});

test.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s ends the children, then the parent',
  async (signal) => {
    const held = await startHeldRun('process', 'wait');

    held.kill(signal);

    expect(await held.ended).toBe(signal);
    expectNothingLeft(held);
  },
);

test.for(['throw', 'return'] as const)(
  'a parent that ends by %s takes its children along',
  async (ending) => {
    const held = await startHeldRun('process', ending);

    expect(await held.ended).toBe(ending === 'throw' ? 1 : 0);
    expectNothingLeft(held);
  },
);

test('what a killed parent left is gone after the next start', async () => {
  const held = await startHeldRun('process', 'wait');
  held.kill('SIGKILL');
  await held.ended;

  await sweepRunFolders();

  expectNothingLeft(held);
});

test('children end with a killed parent: at once where the kernel can do it, else with the next sweep', async () => {
  const byKernel = endingWithParent('true', [])[0] !== 'true';
  const held = await startHeldRun('process', 'wait');

  held.kill('SIGKILL');
  await held.ended;
  if (!byKernel) await sweepRunFolders();

  for (const child of held.children) expect(await waitForEnd(child, 30_000)).toBe(true);
  await sweepRunFolders();
});

async function startAndHear(run: Run, name: string, script: string): Promise<StartedProcess> {
  const child = run.start(name, process.execPath, ['-e', `${script}; console.log('here'); ${forever[1]}`]);
  const isHere = async () => readFileSync(child.logFile, 'utf8').includes('here');
  await waitUntil(`${name} was here`, isHere, { deadlineMs: 30_000, needed: [child] });
  return child;
}

function expectNothingLeft({ folder, children }: HeldRun): void {
  expect(children.length).toBeGreaterThan(0);
  expect(children.filter(isStillRunning)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
}
