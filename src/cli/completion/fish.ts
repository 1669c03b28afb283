// Completion for fish.
import { placedCommands, type CommandShape, type OptionShape } from './command-shape.ts';

export function fishScript(program: CommandShape): string {
  const { name } = program;
  const lines = placedCommands(program).flatMap(({ path, command }) => {
    const here = conditionOf(path, command);
    return [
      ...command.commands.map(
        (below) => `complete -c ${name} -n ${quoted(here)} -a ${below.name} -d ${quoted(below.means)}`,
      ),
      ...(command.words.length > 0
        ? [`complete -c ${name} -n ${quoted(here)} -a ${quoted(command.words.join(' '))}`]
        : []),
      ...command.options.map((option) => `complete -c ${name} -n ${quoted(here)} ${optionText(option)}`),
    ];
  });
  return `# Completion of ${name} for fish: ${name} completion fish > ~/.config/fish/completions/${name}.fish
complete -c ${name} -f
${lines.map((line) => `${line}\n`).join('')}`;
}

/** All of the path's words are there, and none of those that would lead further down. */
function conditionOf(path: readonly string[], { commands }: CommandShape): string {
  const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const names = commands.map((command) => command.name);
  const notYet =
    names.length === 0
      ? []
      : path.length === 0
        ? ['__fish_use_subcommand']
        : [`not __fish_seen_subcommand_from ${names.join(' ')}`];
  return [...seen, ...notYet].join('; and ');
}

function optionText({ names, means, takes }: OptionShape): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value =
    takes === undefined
      ? ''
      : takes === 'file'
        ? ' -r -F'
        : takes === 'word'
          ? ' -x'
          : ` -x -a ${quoted(takes.join(' '))}`;
  return `${flags.join(' ')}${value} -d ${quoted(means)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
