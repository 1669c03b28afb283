// The command line: flags and help of every command, in groups; each command's code is loaded only when it runs.
import { Command, CommanderError } from 'commander';
import { addAuditCommands } from './audit-commands.ts';
import { addCaseCommands } from './case-commands.ts';
import { addClusterCommands } from './cluster-commands.ts';
import { addManifestCommands } from './manifest-commands.ts';
import { addCompletionCommands } from './completion-commands.ts';
import { describeProblem, exitCodeFor, type CommandIo, type ExitCode } from './output.ts';
import { addMigrateCommands } from './migrate-commands.ts';
import { addServingCommands } from './serving-commands.ts';
import { addDoctorCommands } from './doctor-commands.ts';
import { addTrustCommands } from './trust-commands.ts';

const VERSION = '0.1.0';

/** What the files that add commands work with. */
export interface CommandTools {
  readonly program: Command;
  readonly io: CommandIo;
  finish(code: ExitCode): void;
  /** For the end of a help text; the program's name goes before each line. */
  examples(lines: readonly string[]): string;
}

/** Runs one command. Never rejects: what went wrong is one sentence on stderr and the exit code. */
export async function runProgram(name: string, words: readonly string[], io: CommandIo): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram(name, io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(words as string[], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64;
    const told = describeProblem(error);
    if (!told) throw error;
    io.err(`${name}: ${told}`);
    return exitCodeFor(error);
  }
}

/** The commands as they are offered. @param finish is told how one ended */
export function createProgram(name: string, io: CommandIo, finish: (code: ExitCode) => void): Command {
  const program = new Command(name)
    .description(
      'Pods pull private images as themselves: short-lived registry credentials made from their own ServiceAccount.',
    )
    .version(VERSION)
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    // A command and one below it may have flags of the same names.
    .enablePositionalOptions()
    .exitOverride();

  const examples = (lines: readonly string[]) =>
    `\nExamples:\n${lines.map((line) => `  ${name} ${line}`).join('\n')}`;
  const tools = { program, io, finish, examples };
  addServingCommands(tools);
  addManifestCommands(tools);
  addCaseCommands(tools);
  addMigrateCommands(tools);
  addTrustCommands(tools);
  addDoctorCommands(tools);
  addClusterCommands(tools);
  addAuditCommands(tools);
  addCompletionCommands(tools);
  sayWhereHelpIs(program, name);
  return program;
}

/** Who used a command wrongly is shown the help of that command, and not of all. */
function sayWhereHelpIs(command: Command, words: string): void {
  command.showHelpAfterError(`(${words} --help shows what there is)`);
  for (const below of command.commands) sayWhereHelpIs(below, `${words} ${below.name()}`);
}
