// How doctor's steps are told: a line each as they come, or one JSON or YAML document at the end.
import { createPaint, writeResult, type CommandIo, type OutputForm, type Paint } from '../output.ts';
import {
  accountText,
  stepIds,
  type Facts,
  type Finding,
  type Outcome,
  type Question,
  type Step,
} from './step.ts';

export interface Report {
  add(step: Step): void;
  /** True if no step has failed. */
  finish(facts: Facts): boolean;
}

const SIGNS: Readonly<Record<Outcome, string>> = { ok: '✓', failed: '✗', skipped: '–', warning: '!' };
const WIDTH = Math.max(...stepIds.map((step) => step.length));

export function createReport(
  question: Question,
  { output, color }: { readonly output: OutputForm; readonly color: boolean },
  io: CommandIo,
): Report {
  const steps: Step[] = [];
  const paint = createPaint(color);
  return {
    add(step) {
      steps.push(step);
      if (output === 'table') io.out(stepLines(step, WIDTH, paint));
    },
    finish(facts) {
      const ok = steps.every(({ outcome }) => outcome !== 'failed');
      if (output === 'table') io.out(paint.strong(`${summaryOf(steps)}\n`));
      else {
        const host = facts.host ?? question.host ?? question.image?.host ?? '';
        const result = { rule: question.rule, account: accountText(question), host, steps, ok };
        writeResult(io, output, result, () => '');
      }
      return ok;
    },
  };
}

/** @param width of the names of all steps */
export function stepLines(
  { step, outcome, found, cure }: Finding & { readonly step: string },
  width: number,
  paint: Paint,
): string {
  const sign = { ok: paint.added, failed: paint.removed, warning: paint.strong, skipped: paint.faint }[
    outcome
  ];
  const told = outcome === 'skipped' ? paint.faint(`not checked: ${found}`) : found;
  const line = `${sign(SIGNS[outcome])} ${step.padEnd(width)}  ${told}\n`;
  return cure === undefined ? line : `${line}  ${' '.repeat(width)}  cure: ${cure}\n`;
}

export function summaryOf(steps: readonly Finding[]): string {
  const count = (outcome: Outcome) => steps.filter((step) => step.outcome === outcome).length;
  const parts = [`${count('ok')} ok`, `${count('failed')} failed`];
  if (count('warning') > 0) parts.push(`${count('warning')} to think about`);
  if (count('skipped') > 0) parts.push(`${count('skipped')} not checked`);
  return parts.join(', ');
}
