// One case as a result: how it came out, and what a person reads when it did not.
import { createTwoFilesPatch } from 'diff';
import { stringify } from 'yaml';
import { describeProblem } from '../output.ts';
import type { Failure } from './run-case.ts';

export interface CaseResult {
  readonly file: string;
  readonly name: string;
  /** `broken`: it cannot be read, so nothing is known. */
  readonly outcome: 'passed' | 'failed' | 'broken';
  readonly failures: readonly Failure[];
  /** For people, of several lines; empty where it passed. */
  readonly told: string;
  /** Its file was rewritten by `--update`. */
  readonly updated: boolean;
}

export function ranCase(
  file: string,
  name: string,
  failures: readonly Failure[],
  updated: boolean,
): CaseResult {
  const outcome = failures.length === 0 || updated ? 'passed' : 'failed';
  return { file, name, outcome, failures, told: failures.map(failureText).join(''), updated };
}

export function brokenCase(file: string, error: unknown): CaseResult {
  return { file, name: file, outcome: 'broken', failures: [], told: describeProblem(error), updated: false };
}

function failureText({ what, wanted, got }: Failure): string {
  if (wanted === undefined) return `${what}: there is none yet (--update writes it)\n`;
  const isText = typeof wanted === 'string' && typeof got === 'string';
  if (isText && !`${wanted}${got}`.includes('\n')) return `${what}: expected ${wanted}, got ${got}\n`;
  const diff = createTwoFilesPatch('expected', 'got', yamlOf(wanted), yamlOf(got), undefined, undefined, {
    context: 2,
  });
  const lines = diff
    .split('\n')
    .slice(3)
    .filter((line) => line !== '' && !/^(?:\\|@@)/.test(line));
  return `${what}: - expected, + got\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

function yamlOf(value: unknown): string {
  return value === undefined ? '' : stringify(value, { lineWidth: 0 });
}
