// Runs a program as the kubelet does: the request on a pipe, the answer from another one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { RunPlugin } from './contract.ts';

export function runExecutable(program: string, ...first: string[]): RunPlugin {
  return async (words, stdin) => {
    const child = spawn(program, [...first, ...words], { stdio: 'pipe' });
    // Who refuses reads no further.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number]>,
    ]);
    return { code, out, err };
  };
}
