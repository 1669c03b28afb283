// How the steps of `doctor node` are told: a line each as they come, or one document at the end.
import { createPaint, writeResult, type CommandIo, type OutputForm } from '../../output.ts';
import { printable } from '../../printable.ts';
import type { Finding, Outcome } from '../step.ts';
import { nodeStepIds, type NodeStep, type NodeStepId } from './step.ts';

export interface NodeReport {
  add(step: NodeStepId, about: string, finding: Finding): void;
  /** True if no step has failed. */
  finish(): boolean;
}

const SIGNS: Readonly<Record<Outcome, string>> = { ok: '✓', failed: '✗', skipped: '–', warning: '!' };
const WIDTH = Math.max(...nodeStepIds.map((step) => step.length));

export function createNodeReport(
  { output, color }: { readonly output: OutputForm; readonly color: boolean },
  io: CommandIo,
): NodeReport {
  const steps: NodeStep[] = [];
  const paint = createPaint(color);
  return {
    add(step, about, finding) {
      steps.push({ step, about, ...finding });
      if (output !== 'table') return;
      const { outcome, found, cure } = finding;
      const paintSign = {
        ok: paint.added,
        failed: paint.removed,
        warning: paint.strong,
        skipped: paint.faint,
      };
      const told = `${about === '' ? '' : `${about}: `}${outcome === 'skipped' ? 'not checked: ' : ''}${found}`;
      io.out(`${paintSign[outcome](SIGNS[outcome])} ${step.padEnd(WIDTH)}  ${printable(told)}\n`);
      if (cure !== undefined) io.out(`  ${' '.repeat(WIDTH)}  cure: ${printable(cure)}\n`);
    },
    finish() {
      const isGood = steps.every(({ outcome }) => outcome !== 'failed');
      if (output !== 'table') writeResult(io, output, { steps, ok: isGood }, () => '');
      return isGood;
    },
  };
}
