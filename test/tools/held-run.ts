// Not a test: starts `run-holder.ts` and knows what it started, to see afterwards whether any of it is left.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ProcessIdentity } from '../../tools/process-identity.ts';

/** The program as it runs, and what it left word of. */
export interface HeldRun {
  readonly folder: string;
  readonly children: readonly ProcessIdentity[];
  readonly kill: (signal: NodeJS.Signals) => void;
  /** The exit code, or the signal that ended the program. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Resolves when the program has started what it was asked to. */
export async function startHeldRun(
  what: 'process' | 'control-plane' | 'node',
  ending: 'wait' | 'throw' | 'return',
): Promise<HeldRun> {
  const program = join(import.meta.dirname, 'run-holder.ts');
  const child = spawn(process.execPath, [program, what, ending], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { folder, children } = JSON.parse(line) as Pick<HeldRun, 'folder' | 'children'>;
  return { folder, children, kill: (signal) => child.kill(signal), ended };
}
