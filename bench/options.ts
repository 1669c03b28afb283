// The command line of `npm run bench`.
import { parseArgs } from 'node:util';

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly help: boolean;
  readonly profileFolder?: string;
}

const DEFAULT_ROUNDS = 5;
/** 3,000 latencies at 1,000/s, of which 30 are above the 99th percentile; the whole run stays below two minutes. */
const DEFAULT_SECONDS = 3;

export const HELP = `Usage: npm run bench -- [options]

Measures the program against the least that could do the same work, on this machine, in interleaved rounds, and prints
a table, lines "ratio <name> <number>" (ours by theirs), and what was checked. Only the ratios travel to other machines.

Options:
  --rounds <number>   rounds, each of which measures every server once (default ${DEFAULT_ROUNDS})
  --seconds <number>  length of one measurement (default ${DEFAULT_SECONDS}; fractions allowed)
  --profile <folder>  leave CPU profiles of the servers there (all are slower meanwhile)
  --help              this text

Exit code: 0 all checks passed, 1 some failed, 2 nothing could be measured, 64 wrong use.
`;

/** @throws TypeError, a sentence on what is wrong with the words */
export function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const rounds = numberOf('--rounds', values.rounds, DEFAULT_ROUNDS);
  if (!Number.isInteger(rounds)) throw new TypeError('--rounds is a whole number');
  return {
    rounds,
    seconds: numberOf('--seconds', values.seconds, DEFAULT_SECONDS),
    help: values.help,
    ...(values.profile !== undefined && { profileFolder: values.profile }),
  };
}

function numberOf(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new TypeError(`${name} is a number above 0`);
  return value;
}
