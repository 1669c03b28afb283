// Commands as a user types them: each is printed before it runs, then what it answered.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { ControlPlane } from '../control-plane.ts';
import type { CommandResult } from '../run-command.ts';
import { runKubectl } from '../kubectl.ts';
import type { Screen } from './screen.ts';

export interface CommandOptions {
  /** What is shown of the answer: all (default), nothing, or only how much it was, where it holds a secret. */
  readonly show?: 'all' | 'nothing' | 'size';
  /** Wanted exit code; 0 when absent. */
  readonly code?: number;
}

export interface Shell {
  /** Throws with kubectl's words where the exit code is another one than wanted. */
  kubectl(flags: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** `keyless-pull …`; throws likewise. */
  keylessPull(flags: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/** The folder of the checkout. */
export const PROJECT = join(import.meta.dirname, '..', '..');

export function createShell(controlPlane: ControlPlane, screen: Screen): Shell {
  async function run(
    program: string,
    flags: readonly string[],
    { show = 'all', code = 0 }: CommandOptions,
    work: () => Promise<CommandResult>,
  ): Promise<CommandResult> {
    screen.command([program, ...flags.map(quoted)].join(' '));
    const result = await work();
    const isWanted = result.code === code;
    if (show === 'all' || !isWanted) screen.output(result.stdout);
    if (show === 'size' && isWanted) screen.output(`(${result.stdout.length} characters, not shown here)`);
    screen.quote(result.stderr);
    if (result.code !== 0) screen.output(`exit code ${result.code}`);
    if (!isWanted) throw new Error(`${program} ended with exit code ${result.code}, wanted was ${code}`);
    return result;
  }

  return {
    kubectl: (flags, options = {}) => run('kubectl', flags, options, () => runKubectl(controlPlane, flags)),
    keylessPull: (flags, options = {}) => run('keyless-pull', flags, options, () => runKeylessPull(flags)),
  };
}

/** A word as a POSIX shell needs it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function runKeylessPull(flags: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(PROJECT, 'src/cli/main.ts'), ...flags],
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}
