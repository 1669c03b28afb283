// Completion for zsh, with its own _arguments.
import { shellQuoted } from '../trust/quoting.ts';
import type { CommandShape, OptionShape } from './command-shape.ts';

export function zshScript(program: CommandShape): string {
  return `#compdef ${program.name}
# Completion of ${program.name} for zsh: ${program.name} completion zsh > "\${fpath[1]}/_${program.name}"
_keyless_pull() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
${bodyOf(program, '  ')}}
if [[ $funcstack[1] == _${program.name} ]]; then _keyless_pull "$@"; else compdef _keyless_pull ${program.name}; fi
`;
}

function bodyOf(command: CommandShape, pad: string): string {
  const specs = command.options.map(specOf);
  if (command.commands.length === 0) {
    const words = command.words.length > 0 ? [shellQuoted(`1: :(${command.words.join(' ')})`)] : [];
    return `${pad}_arguments ${[...specs, ...words].join(` \\\n${pad}  `)}\n`;
  }
  const listed = command.commands.map(
    ({ name, means }) => `${pad}      ${shellQuoted(`${name}:${means.replaceAll(':', '\\:')}`)}\n`,
  );
  const below = command.commands.map(
    (one) => `${pad}        ${one.name})\n${bodyOf(one, `${pad}          `)}${pad}          ;;\n`,
  );
  return `${pad}_arguments -C ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(` \\\n${pad}  `)}
${pad}case $state in
${pad}  command)
${pad}    local -a commands=(
${listed.join('')}${pad}    )
${pad}    _describe command commands
${pad}    ;;
${pad}  rest)
${pad}    case $line[1] in
${below.join('')}${pad}    esac
${pad}    ;;
${pad}esac
`;
}

/** `'(-f --file)'{-f,--file}'[meaning]:file:_files'` */
function specOf({ names, means, takes }: OptionShape): string {
  const told = `[${means.replaceAll(/[[\]\\]/g, String.raw`\$&`)}]`;
  const action =
    takes === undefined
      ? ''
      : takes === 'file'
        ? ':file:_files'
        : takes === 'word'
          ? ':value: '
          : `:value:(${takes.join(' ')})`;
  const [only = ''] = names;
  // May be given again: a lone name does not shut itself out.
  if (names.length === 1) return shellQuoted(`${only}${told}${action}`);
  return `${shellQuoted(`(${names.join(' ')})`)}{${names.join(',')}}${shellQuoted(`${told}${action}`)}`;
}
