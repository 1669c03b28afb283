// Completion scripts: bash by asking a real one, zsh and fish by their text.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bashScript } from '../../../src/cli/completion/bash.ts';
import { placedCommands, type CommandShape } from '../../../src/cli/completion/command-shape.ts';
import { fishScript } from '../../../src/cli/completion/fish.ts';
import { zshScript } from '../../../src/cli/completion/zsh.ts';
import { shapeOf } from '../../../src/cli/completion-commands.ts';
import { createProgram, runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';

const real = shapeOf(createProgram('keyless-pull', createPrinted(), () => undefined));

const SMALL: CommandShape = {
  name: 'tool',
  means: 'a tool',
  words: [],
  options: [{ names: ['--help', '-h'], means: 'show help' }],
  commands: [
    {
      name: 'look',
      means: "somebody's things: all [of them]",
      words: ['pod'],
      commands: [],
      options: [
        { names: ['--output'], means: 'form', takes: ['table', 'json'] },
        { names: ['--file', '-f'], means: 'a file', takes: 'file' },
        { names: ['--name', '-n'], means: 'a name', takes: 'word' },
      ],
    },
    {
      name: 'make',
      means: 'makes',
      words: [],
      options: [],
      commands: [{ name: 'trust', means: 'trust', words: [], options: [], commands: [] }],
    },
  ],
};

describe('bash', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'completion-'));
    for (const name of ['one.yaml', 'other file.yaml', 'zwei.json']) writeFileSync(join(folder, name), '');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** What bash offers at the end of these words, which it has taken apart as it does. */
  function offered(script: string, ...words: string[]): string[] {
    const ask =
      'source <(printf "%s\\n" "$SCRIPT"); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _keyless_pull; ' +
      'if ((${#COMPREPLY[@]})); then printf "%s\\n" "${COMPREPLY[@]}"; fi';
    const env = { ...process.env, SCRIPT: script };
    const out = execFileSync('bash', ['--norc', '-c', ask, 'bash', ...words], {
      cwd: folder,
      env,
      encoding: 'utf8',
    });
    return out.split('\n').filter((line) => line !== '');
  }

  const small = bashScript(SMALL);

  test.each([
    [
      ['tool', ''],
      ['look', 'make', '--help', '-h'],
    ],
    [['tool', 'l'], ['look']],
    [['tool', 'nonsense', 'l'], ['look']],
    [
      ['tool', 'look', ''],
      ['pod', '--output', '--file', '-f', '--name', '-n'],
    ],
    [['tool', 'look', '--o'], ['--output']],
    [
      ['tool', 'look', '--output', ''],
      ['table', 'json'],
    ],
    [['tool', 'look', '--output', 'j'], ['json']],
    [
      ['tool', 'look', '--output', '='],
      ['table', 'json'],
    ],
    [['tool', 'look', '--output', '=', 'j'], ['json']],
    [['tool', 'look', '--output', '=', 'json', '--n'], ['--name']],
    [['tool', 'look', '--name', ''], []],
    [['tool', 'look', '-n', 'make', '--f'], ['--file']],
    [
      ['tool', 'look', '-f', 'o'],
      ['one.yaml', 'other file.yaml'],
    ],
    [['tool', 'look', '-f', 'one.yaml', '--o'], ['--output']],
    [['tool', 'make', ''], ['trust']],
    [['tool', 'make', 'trust', ''], []],
    [['tool', '--help', 'm'], ['make']],
  ])('%j offers %j', (words, wanted) => {
    expect(offered(small, ...words).toSorted()).toEqual(wanted.toSorted());
  });

  test('every command, option and choice of ours is offered where it belongs', () => {
    const script = bashScript(real);

    for (const { path, command } of placedCommands(real)) {
      const names = command.options.flatMap((option) => option.names);
      const below = command.commands.map(({ name }) => name);
      expect(offered(script, 'keyless-pull', ...path, '')).toEqual([...below, ...command.words, ...names]);
    }
    expect(offered(script, 'keyless-pull', 'migrate', '--mode', '')).toEqual(['audit', 'warn', 'enforce']);
    expect(offered(script, 'keyless-pull', 'migrate', '--config', 'z')).toEqual(['zwei.json']);
  });

  test('the command itself prints what bash can read', () => {
    const ask = 'source <("$NODE" src/cli/main.ts completion bash); complete -p keyless-pull';
    const env = { ...process.env, NODE: process.execPath };

    const out = execFileSync('bash', ['--norc', '-c', ask], { env, encoding: 'utf8' });

    expect(out).toBe('complete -F _keyless_pull keyless-pull\n');
  });
});

test('zsh: _arguments for each command, with what must be escaped escaped', () => {
  expect(zshScript(SMALL)).toBe(`#compdef tool
# Completion of tool for zsh: tool completion zsh > "\${fpath[1]}/_tool"
_keyless_pull() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C '(--help -h)'{--help,-h}'[show help]' \\
    '1: :->command' \\
    '*:: :->rest'
  case $state in
    command)
      local -a commands=(
        'look:somebody'\\''s things\\: all [of them]'
        'make:makes'
      )
      _describe command commands
      ;;
    rest)
      case $line[1] in
          look)
            _arguments '--output[form]:value:(table json)' \\
              '(--file -f)'{--file,-f}'[a file]:file:_files' \\
              '(--name -n)'{--name,-n}'[a name]:value: ' \\
              '1: :(pod)'
            ;;
          make)
            _arguments -C '1: :->command' \\
              '*:: :->rest'
            case $state in
              command)
                local -a commands=(
                  'trust:trust'
                )
                _describe command commands
                ;;
              rest)
                case $line[1] in
                    trust)
                      _arguments${' '}
                      ;;
                esac
                ;;
            esac
            ;;
      esac
      ;;
  esac
}
if [[ $funcstack[1] == _tool ]]; then _keyless_pull "$@"; else compdef _keyless_pull tool; fi
`);
});

test('fish: one line for each word, under the words before it', () => {
  expect(fishScript(SMALL))
    .toBe(`# Completion of tool for fish: tool completion fish > ~/.config/fish/completions/tool.fish
complete -c tool -f
complete -c tool -n '__fish_use_subcommand' -a look -d 'somebody\\'s things: all [of them]'
complete -c tool -n '__fish_use_subcommand' -a make -d 'makes'
complete -c tool -n '__fish_use_subcommand' -l help -s h -d 'show help'
complete -c tool -n '__fish_seen_subcommand_from look' -a 'pod'
complete -c tool -n '__fish_seen_subcommand_from look' -l output -x -a 'table json' -d 'form'
complete -c tool -n '__fish_seen_subcommand_from look' -l file -s f -r -F -d 'a file'
complete -c tool -n '__fish_seen_subcommand_from look' -l name -s n -x -d 'a name'
complete -c tool -n '__fish_seen_subcommand_from make; and not __fish_seen_subcommand_from trust' -a trust -d 'trust'
`);
});

test.each(['zsh', 'fish'])('%s knows every command and option of ours', async (shell) => {
  const io = createPrinted();
  expect(await runProgram('kubectl keyless-pull', ['completion', shell], io)).toBe(0);

  for (const { path, command } of placedCommands(real)) {
    for (const name of path) expect(io.stdout).toContain(name);
    for (const { names } of command.options)
      for (const name of names)
        expect(io.stdout).toContain(
          shell === 'zsh' ? name : `-${name.startsWith('--') ? 'l' : 's'} ${name.replace(/^-+/, '')}`,
        );
  }
});

test('another shell is wrong use: 64', async () => {
  expect(await runProgram('keyless-pull', ['completion', 'tcsh'], createPrinted())).toBe(64);
});
