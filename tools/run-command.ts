// One run of a program: what it was given, how it ended, what it said.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** How a program ended and what it said. `code` is null where a signal ended it. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Does not throw when the program fails: look at `code`. `environment` is added to our own. */
export async function runCommand(
  path: string,
  flags: readonly string[],
  {
    input = '',
    environment = {},
    folder,
  }: { input?: string; environment?: NodeJS.ProcessEnv; folder?: string } = {},
): Promise<CommandResult> {
  const child = spawn(path, flags, {
    env: { ...process.env, ...environment },
    ...(folder !== undefined && { cwd: folder }),
  });
  // A program may end without having read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([
    new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    }),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}
