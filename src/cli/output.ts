// How every command talks: results on stdout as table, JSON or YAML, everything else on stderr, colours only where a
// person looks.
import { stringify } from 'yaml';
import { Problem, isProblem } from '../problem.ts';
import { escapedControls } from './printable.ts';

export const outputForms = ['table', 'json', 'yaml'] as const;
export type OutputForm = (typeof outputForms)[number];

/** What a command may touch of the process around it. */
export interface CommandIo {
  out(text: string): void;
  err(text: string): void;
  readStdin(): Promise<string>;
  /** The same as it comes, for what may be larger than a string can be; absent: in one piece. */
  stdinChunks?(): AsyncIterable<Uint8Array>;
  /** Aborts at Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly isTerminal: boolean;
  /** Of stderr, where progress is shown; absent: no. */
  readonly errIsTerminal?: boolean;
}

/**
 * 0 fine, 1 findings or checks that fail, 2 could not do it, 64 wrong use (sysexits.h EX_USAGE). 3 is verify-token's
 * alone, whose 1 and 2 mean what docker_auth says they mean.
 */
export type ExitCode = 0 | 1 | 2 | 3 | 64;

/** One result: a line of JSON, a YAML document, or what `table` makes of it. */
export function writeResult(io: CommandIo, form: OutputForm, result: unknown, table: () => string): void {
  switch (form) {
    case 'json':
      return io.out(`${escapedControls(JSON.stringify(result))}\n`);
    case 'yaml':
      return io.out(`---\n${escapedControls(stringify(result))}`);
    case 'table':
      return io.out(table());
  }
}

/** The sentence, its code, and every fault on a line of its own. */
export function describeProblem(error: unknown): string {
  if (!isProblem(error)) return '';
  const faults = (error.details.faults ?? []).map((fault) => `\n  ${fault}`).join('');
  return `${error.message} (${error.code})${faults}\n`;
}

export function exitCodeFor(error: unknown): ExitCode {
  return error instanceof Problem && error.code === 'usage' ? 64 : 2;
}

export interface Paint {
  added(text: string): string;
  removed(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
}

/** ANSI colours, or the plain text. */
export function createPaint(colours: boolean): Paint {
  const paint = (code: number) => (text: string) => (colours ? `\u001B[${code}m${text}\u001B[0m` : text);
  return { added: paint(32), removed: paint(31), strong: paint(1), faint: paint(2) };
}

/** Columns aligned by their widest cell; no cell is cut. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd() + '\n',
    )
    .join('');
}
