// Every page for people, wherever it lies: what it links to is there, and the commands it shows are accepted as they stand.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CommanderError, type Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../src/cli/program.ts';

const list = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], { encoding: 'utf8' });
const pages = list.split('\n').filter((page) => page !== '' && existsSync(page));

describe.each(pages)('%s', (page) => {
  const text = readFileSync(page, 'utf8');

  test('links lead to files and headings that exist', () => {
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : join(dirname(page), file);
      expect(existsSync(target), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(readFileSync(target, 'utf8')), link).toContain(anchor);
    }
  });

  test('shows only command lines that the program accepts', () => {
    for (const { line, isMention } of commandLinesIn(text)) {
      const fault = faultOf(line, isMention);
      expect(fault, `keyless-pull ${line}: ${fault}`).toBe(undefined);
    }
  });
});

test('a line to copy that looks at a cluster says which namespaces: else it sees the one of the context alone', () => {
  const looks = pages.flatMap((page) =>
    commandLinesIn(readFileSync(page, 'utf8'))
      .filter(
        ({ line, isMention }) => !isMention && /^(?:status|audit|migrate --plan|release --all)\b/.test(line),
      )
      .map(({ line }) => `${page}: ${line}`),
  );

  expect(looks.length).toBeGreaterThan(10);
  expect(looks.filter((look) => !/ \[?(?:-n|-A|-f) ?/.test(look))).toEqual([]);
});

test('what the program does not accept is noticed, in blocks and between backticks', () => {
  const page = [
    '```sh',
    'keyless-pull frobnicate',
    'helm template x | keyless-pull audit -f - --colour > out.json',
    'keyless-pull status [--wide] [-n NAMESPACE | -A]',
    'keyless-pull completion tcsh   # a comment',
    'keyless-pull status -A --output json | jq --raw-output .summary',
    '```',
    'Say `keyless-pull status --all` or `keyless-pull status`.',
  ].join('\n');

  const faults = commandLinesIn(page).map(({ line, isMention }) => faultOf(line, isMention));

  expect(faults.map((fault) => fault?.replace(/\n.*/s, ''))).toEqual([
    "error: unknown command 'frobnicate'",
    "error: unknown option '--colour'",
    'status has no option --wide',
    "error: command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish.",
    undefined,
    "error: unknown option '--all'",
    undefined,
  ]);
});

/** GitHub's anchors of headings. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

interface CommandLine {
  /** What stands behind the program's name. */
  readonly line: string;
  /** In a sentence: it may leave out what the command asks for. */
  readonly isMention: boolean;
}

function commandLinesIn(text: string): CommandLine[] {
  const blocks = [...text.matchAll(/^ *```(?:sh|console)\n([\s\S]*?)^ *```/gm)].map(([, block = '']) =>
    block.replaceAll(/\\\n\s*/g, ''),
  );
  const written = blocks.flatMap((block) =>
    [...block.matchAll(/(?:^ *(?:\$ )?|[|(] )(?:kubectl )?keyless-pull (.+)$/gm)].map(([, line = '']) => ({
      line,
      isMention: false,
    })),
  );
  const outside = text.replaceAll(/^ *```[\s\S]*?^ *```/gm, '');
  const mentioned = [...outside.matchAll(/`([^`]+)`/g)].flatMap(([, span = '']) => {
    const flat = span.replaceAll(/\s+/g, ' ').replaceAll(String.raw`\|`, '|');
    const line = /(?:^|\| )(?:kubectl )?keyless-pull ([a-z].*)$/.exec(flat)?.[1];
    return line === undefined ? [] : [{ line, isMention: true }];
  });
  return [...written, ...mentioned];
}

/** What the program would say, without running anything; undefined when it accepts the line. */
function faultOf(line: string, isMention: boolean): string | undefined {
  const words = wordsOf(line);
  let said = '';
  const io = { ...silentIo, err: (text: string) => void (said += text) };
  const program = createProgram('keyless-pull', io, () => undefined);
  const inert = (command: Command) => {
    if (command.commands.length === 0 || command.name() === 'doctor') command.action(() => undefined);
    for (const below of command.commands) inert(below);
  };
  inert(program);
  if (words.some((word) => /^\[|…|^\w+\|/.test(word))) return faultOfSynopsis(program, words);
  try {
    program.parse(words, { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const isShort = [
      'commander.missingMandatoryOptionValue',
      'commander.missingArgument',
      'commander.optionMissingArgument',
    ].includes(error.code);
    // A command that has commands shows its help.
    if (error.exitCode === 0 || (isMention && (isShort || error.code === 'commander.help'))) return undefined;
    return said || error.message;
  }
}

/** `[-n NAME | -A]` and `FILE|DIR|-` cannot be parsed; the flags must be there. */
function faultOfSynopsis(program: Command, words: readonly string[]): string | undefined {
  let command = program;
  for (const word of words) {
    const below = command.commands.find((one) => one.name() === word);
    if (!below) break;
    command = below;
  }
  if (command === program) return `there is no command ${words[0]}`;
  const known = command.options.flatMap(({ short, long }) => [short, long]);
  const flags = words.flatMap((word) => /^\[?(--?[a-z][a-z-]*)/i.exec(word)?.slice(1) ?? []);
  const unknown = flags.find((flag) => !known.includes(flag));
  return unknown && `${command.name()} has no option ${unknown}`;
}

/** As a shell would cut the line, up to its first pipe, redirection or comment. */
function wordsOf(line: string): string[] {
  const open = line.replaceAll(/'[^']*'|"[^"]*"|\[[^\]]*\]/g, (whole) => '_'.repeat(whole.length));
  const end = /(?<=\s)(?:[|>;#&]|\d>)|\)(?=\s|$)/.exec(open)?.index ?? line.length;
  const words = line.slice(0, end).matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g);
  return [...words].map(([word]) => word.replaceAll(/['"]/g, ''));
}

const silentIo = {
  out: () => undefined,
  err: () => undefined,
  readStdin: async () => '',
  signal: new AbortController().signal,
  isTerminal: false,
};
