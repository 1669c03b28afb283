// The plugin's contract with the one executable that `npm run build:plugin` makes.
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildPlugin } from '../../tools/build-plugin.ts';
import { pluginContract } from '../plugin/contract.ts';
import { runExecutable } from '../plugin/run-executable.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-executable-'));
const executable = join(folder, 'keyless-pull-credential-provider');
const link = join(folder, 'keyless-pull-team');

beforeAll(async () => {
  await buildPlugin(executable);
  symlinkSync('keyless-pull-credential-provider', link);
});

afterAll(() => rmSync(folder, { recursive: true }));

pluginContract('as an executable, under the name of a link', runExecutable(link));

test('the executable needs no Node beside it, and takes no flags of one', async () => {
  const { code, err } = await runExecutable(
    '/usr/bin/env',
    '-i',
    executable,
  )(['--eval', 'console.log(1)'], '');

  expect({ code, err }).toEqual({ code: 64, err: expect.stringContaining('(usage)') as string });
});
