// What a sweep may and may not touch: it kills processes and deletes folders, so it must be sure whose they are.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ProcessIdentity } from '../../tools/process-identity.ts';
import { identifyProcess, isStillRunning } from '../../tools/process-identity.ts';
import type { RunRecord } from '../../tools/run-folder.ts';
import { RUN_FOLDER_PREFIX, createRunFolder, sweepRunFolders } from '../../tools/run-folder.ts';

// Its number runs, but its start time is another's: the owner is gone and a stranger has the number.
const goneOwner: ProcessIdentity = { pid: process.pid, startedAt: 'before this process' };

let parent: string;
let bystander: ChildProcess;
let bystanderIdentity: ProcessIdentity;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'keyless-pull-sweep-test-'));
  bystander = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
  const identity = identifyProcess(bystander.pid ?? 0);
  if (identity === undefined) throw new Error('the bystander did not start');
  bystanderIdentity = identity;
});
afterEach(() => {
  bystander.kill('SIGKILL');
  rmSync(parent, { recursive: true });
});

test('a run whose owner is gone loses its processes and its folder', async () => {
  const folder = runFolder({ owner: goneOwner, children: [bystanderIdentity] });

  const removed = await sweepRunFolders(parent);

  expect(removed).toEqual([folder]);
  expect(existsSync(folder)).toBe(false);
  expect(isStillRunning(bystanderIdentity)).toBe(false);
});

test('a process that only inherited a recorded number is spared', async () => {
  const folder = runFolder({
    owner: goneOwner,
    children: [{ ...bystanderIdentity, startedAt: 'some other time' }],
  });

  await sweepRunFolders(parent);

  expect(existsSync(folder)).toBe(false);
  expect(isStillRunning(bystanderIdentity)).toBe(true);
});

test('a run whose owner lives is left alone', async () => {
  const folder = createRunFolder('living', parent);

  expect(await sweepRunFolders(parent)).toEqual([]);
  expect(existsSync(folder)).toBe(true);
});

test('a run of another machine or container is left alone', async () => {
  runFolder({ owner: goneOwner, children: [bystanderIdentity], hostname: `not-${hostname()}` });

  expect(await sweepRunFolders(parent)).toEqual([]);
  expect(isStillRunning(bystanderIdentity)).toBe(true);
});

test('a folder without a record goes only when it is old', async () => {
  const young = join(parent, `${RUN_FOLDER_PREFIX}young`);
  const old = join(parent, `${RUN_FOLDER_PREFIX}old`);
  for (const folder of [young, old]) mkdirSync(folder);
  utimesSync(old, new Date('2020-01-01'), new Date('2020-01-01'));

  expect(await sweepRunFolders(parent)).toEqual([old]);
});

test('other folders are none of its business', async () => {
  mkdirSync(join(parent, 'something-else'));

  await sweepRunFolders(parent);

  expect(existsSync(join(parent, 'something-else'))).toBe(true);
});

function runFolder(record: Omit<RunRecord, 'hostname'> & { readonly hostname?: string }): string {
  const folder = mkdtempSync(join(parent, RUN_FOLDER_PREFIX));
  writeFileSync(join(folder, 'run.json'), JSON.stringify({ hostname: hostname(), ...record }));
  return folder;
}
