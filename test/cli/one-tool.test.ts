// One tool: every command says what it is and how it is used, and what several commands have they call the same.
import { describe, expect, test } from 'vitest';
import { placedCommands, type OptionShape } from '../../src/cli/completion/command-shape.ts';
import { shapeOf } from '../../src/cli/completion-commands.ts';
import { createProgram, runProgram } from '../../src/cli/program.ts';
import { createPrinted } from './fake-user-cluster.ts';

const commands = placedCommands(shapeOf(createProgram('keyless-pull', createPrinted(), () => undefined)))
  // What only stands above others has no options of its own; doctor does both.
  .filter(({ command }) => command.commands.length === 0 || command.options.length > 1)
  .filter(({ path }) => path.length > 0)
  .map(({ path, command }) => ({ words: path.join(' '), path, command }));

/** What runs for long, or prints what other programs read and has no other form. */
const WITHOUT_RESULT = ['serve', 'token-server', 'verify-token', 'completion'];
const KUBECTL = ['--kubeconfig', '--context', '--as'];

async function help(path: readonly string[]): Promise<{ code: number; text: string }> {
  const io = createPrinted();
  const code = await runProgram('keyless-pull', [...path, '--help'], io);
  return { code, text: io.stdout };
}

test('the commands are the ones that are promised', () => {
  expect(commands.map(({ words }) => words)).toEqual(
    expect.arrayContaining([
      'render',
      'explain',
      'migrate',
      'test',
      'doctor',
      'doctor node',
      'status',
      'release',
      'generate trust',
      'generate kubelet-config',
      'generate rbac',
      'check-config',
      'completion',
    ]),
  );
});

describe.each(commands)('$words', ({ words, path, command }) => {
  const names = command.options.flatMap((option) => option.names);

  test('says what it does, shows examples, and means every option', async () => {
    const { code, text } = await help(path);

    expect(code).toBe(0);
    expect(command.means).toMatch(/^[a-z].*[^.]$/);
    expect(text).toContain(`\nExamples:\n  keyless-pull ${words}`);
    for (const { names: own, means } of command.options) expect(means, own.join()).not.toBe('');
  });

  test('its examples name only options that it has', async () => {
    const [, examples = ''] = (await help(path)).text.split('\nExamples:\n');
    const lines = examples.split('\n').filter((line) => line.startsWith('  keyless-pull '));
    // What stands behind a pipe is another program's, and behind a # a person's.
    const used = lines.flatMap(
      (line) => line.split(/[|#]/)[0]?.match(/(?<= )--?[a-z][a-z-]*|(?<= )-[A-Z]/g) ?? [],
    );

    for (const option of used) expect(names).toContain(option);
  });

  test('prints its result in the forms that all have', () => {
    if (WITHOUT_RESULT.includes(words)) return expect(names).not.toContain('--output');
    const output = command.options.find((option) => option.names.includes('--output'));
    expect(output?.takes).toEqual(expect.arrayContaining(['table', 'json', 'yaml']));
    expect(names).toContain('--no-color');
  });

  test('takes the flags of kubectl together, or none of them', () => {
    const some = KUBECTL.filter((flag) => names.includes(flag));
    expect(words === 'serve' ? KUBECTL : some).toEqual(some.length === 0 ? [] : KUBECTL);
  });
});

test.each(['render', 'doctor node', 'generate trust'])(
  'who uses %s wrongly is told where its own help is',
  async (words) => {
    const io = createPrinted();

    const code = await runProgram('keyless-pull', [...words.split(' '), '--no-such-flag'], io);

    expect(code).toBe(64);
    expect(io.stderr).toContain(`(keyless-pull ${words} --help shows what there is)`);
  },
);

test('one name means one thing: what an option takes is the same wherever it is', () => {
  const kinds = new Map<string, Set<string>>();
  for (const { command } of commands)
    for (const option of command.options)
      for (const name of option.names) kinds.set(name, (kinds.get(name) ?? new Set()).add(kindOf(option)));

  const ambiguous = [...kinds].filter(([, kind]) => kind.size > 1).map(([name]) => name);
  // Scripts rely on both: a file where nothing else could say what the account is, a name where a cluster can.
  expect(ambiguous).toEqual(['--account']);
});

function kindOf({ takes }: OptionShape): string {
  return Array.isArray(takes) ? 'choice' : String(takes);
}

test.each(commands.map(({ words, path }) => [words, path] as const))(
  '%s with an option that it does not have is wrong use: 64',
  async (_words, path) => {
    expect(await runProgram('keyless-pull', [...path, '--no-such-option'], createPrinted())).toBe(64);
  },
);
