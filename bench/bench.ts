// What every bench is to `main.ts`: a name, a sentence, and a run that ends in a table, ratios and checks.

export interface BenchOptions {
  /** Interleaved rounds, each of which measures everything once. */
  readonly rounds: number;
  /** Of one measurement. */
  readonly seconds: number;
  /** Where the measured servers leave CPU profiles; absent: they are not profiled. */
  readonly profileFolder?: string;
  /** A line for whoever waits; nothing that a program reads. */
  readonly progress: (line: string) => void;
}

export interface Bench {
  readonly name: string;
  /** What is measured, in one line. */
  readonly title: string;
  readonly run: (options: BenchOptions) => Promise<BenchReport>;
}

export interface BenchReport {
  /** Lines for people. */
  readonly table: readonly string[];
  readonly ratios: readonly Ratio[];
  readonly checks: readonly Check[];
}

/** Ours by theirs. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
}

export interface Check {
  readonly passed: boolean;
  readonly text: string;
}
