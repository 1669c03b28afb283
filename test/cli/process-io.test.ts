// What becomes of a command whose output nobody takes: no stack trace, and an exit code that still means what it says.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';

const CONFIG = 'examples/ecr/config.yaml';

async function checkConfig(stdout: 'pipe' | number): Promise<{ code: number; told: string }> {
  const child = spawn(process.execPath, ['src/cli/main.ts', 'check-config', '--config', CONFIG], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  child.stdout?.destroy();
  if (!child.stderr) throw new TypeError('stderr is a pipe');
  const [told, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code: Number(code), told };
}

test('a reader that has seen enough ends nothing, as `head` does', async () => {
  expect(await checkConfig('pipe')).toEqual({ code: 0, told: '' });
});

test('a result that cannot be written is a command that could not do it', async () => {
  expect(await checkConfig(openSync('/dev/full', 'w'))).toEqual({
    code: 2,
    told: 'keyless-pull: cannot write the result: ENOSPC\n',
  });
});
