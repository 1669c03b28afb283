// Completion for bash, from 3.2 on (that of macOS): no associative arrays, no bash-completion package.
import { placedCommands, type CommandShape, type OptionShape } from './command-shape.ts';
import { shellQuoted } from '../trust/quoting.ts';

export function bashScript(program: CommandShape): string {
  const placed = placedCommands(program);
  const paths = placed.slice(1).map(({ path }) => shellQuoted(path.join(' ')));
  const options = placed.flatMap(({ path, command }) =>
    command.options.flatMap((option) => option.names.map((name) => ({ key: [...path, name], option }))),
  );
  const taking = options.filter(({ option }) => option.takes !== undefined);
  const ofFiles = keysOf(taking.filter(({ option }) => option.takes === 'file'));
  const choices = taking.flatMap(({ key, option }) =>
    Array.isArray(option.takes)
      ? [`      ${keysOf([{ key, option }])}) choices=${shellQuoted(option.takes.join(' '))} ;;\n`]
      : [],
  );
  const offered = placed.map(({ path, command }) => {
    const words = [
      ...command.commands.map(({ name }) => name),
      ...command.words,
      ...command.options.flatMap(({ names }) => names),
    ];
    return `    ${shellQuoted(path.join(' '))}) choices=${shellQuoted(words.join(' '))} ;;\n`;
  });
  return `# Completion of ${program.name} for bash: source <(${program.name} completion bash)
_keyless_pull() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path='' expects='' choices='' files='' word line i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    # bash takes --output=json apart.
    if [[ $word == '=' ]]; then continue; fi
    if [[ -n $expects ]]; then expects=''; continue; fi
    case "\${path:+$path }$word" in
      ${paths.join('|')}) path="\${path:+$path }$word" ;;
      ${keysOf(taking)}) expects="\${path:+$path }$word" ;;
    esac
  done
  if [[ $cur == '=' ]]; then cur=''; fi
  COMPREPLY=()
  if [[ -n $expects ]]; then
    case "$expects" in
${choices.join('')}      ${ofFiles}) files=yes ;;
    esac
  else
    case "$path" in
${offered.map((line) => `  ${line}`).join('')}    esac
  fi
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
  elif [[ -n $choices ]]; then
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$choices" -- "$cur")
  fi
}
complete -F _keyless_pull ${program.name}
`;
}

function keysOf(
  options: readonly { readonly key: readonly string[]; readonly option: OptionShape }[],
): string {
  return options.map(({ key }) => shellQuoted(key.join(' '))).join('|');
}
