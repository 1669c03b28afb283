// Flags and help of shell completion; the scripts are made from the commands as they are.
import { Argument, type Command, type Option } from 'commander';
import type { CommandShape, OptionShape } from './completion/command-shape.ts';
import type { CommandTools } from './program.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export function addCompletionCommands({ program, io, examples }: CommandTools): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'whose').choices(shells))
    .addHelpText(
      'after',
      `${examples([
        'completion bash > ~/.local/share/bash-completion/completions/keyless-pull',
        'completion zsh > "${fpath[1]}/_keyless-pull"',
        'completion fish > ~/.config/fish/completions/keyless-pull.fish',
      ])}\n\nFor the shell that runs: source <(keyless-pull completion bash)`,
    )
    .action(async (shell: (typeof shells)[number]) => {
      const { completionScript } = await import('./completion/completion.ts');
      // Also as a plug-in of kubectl: what is completed is the program itself.
      io.out(completionScript(shell, { ...shapeOf(program), name: 'keyless-pull' }));
    });
}

export function shapeOf(command: Command): CommandShape {
  const help = command.createHelp();
  const [word] = command.registeredArguments;
  return {
    name: command.name(),
    means: command.description(),
    options: help.visibleOptions(command).map(optionShape),
    words: word?.argChoices ?? (word?.name() === 'pod' ? ['pod'] : []),
    commands: help
      .visibleCommands(command)
      .filter((below) => below.name() !== 'help')
      .map(shapeOf),
  };
}

function optionShape(option: Option): OptionShape {
  const names = [option.long, option.short].filter((name) => name !== undefined);
  const shape = { names, means: option.description };
  if (option.argChoices) return { ...shape, takes: option.argChoices };
  if (!option.required && !option.optional) return shape;
  return { ...shape, takes: /<file|\[file/.test(option.flags) ? 'file' : 'word' };
}
