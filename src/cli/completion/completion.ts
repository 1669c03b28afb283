// keyless-pull completion: which shell gets which script.
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { zshScript } from './zsh.ts';
import type { CommandShape } from './command-shape.ts';

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export function completionScript(shell: keyof typeof scripts, program: CommandShape): string {
  return scripts[shell](program);
}
