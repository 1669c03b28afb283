// The tree of commands as completion scripts need it: names, meanings, and what each option takes.

export interface OptionShape {
  /** `--file`, and `-f` where there is one. */
  readonly names: readonly string[];
  readonly means: string;
  /** Absent: nothing. `word`: something that nobody can guess. */
  readonly takes?: 'file' | 'word' | readonly string[];
}

export interface CommandShape {
  readonly name: string;
  readonly means: string;
  readonly options: readonly OptionShape[];
  /** What its first plain word may be; empty: it takes none, or any. */
  readonly words: readonly string[];
  readonly commands: readonly CommandShape[];
}

/** A command with the names of those above it, without the program's. */
export interface PlacedCommand {
  readonly path: readonly string[];
  readonly command: CommandShape;
}

/** The program first, then each command before those below it. */
export function placedCommands(command: CommandShape, path: readonly string[] = []): PlacedCommand[] {
  return [
    { path, command },
    ...command.commands.flatMap((below) => placedCommands(below, [...path, below.name])),
  ];
}
