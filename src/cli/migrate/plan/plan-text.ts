// A plan for people: as plain text, and as a Markdown document to keep, tick off and hand on.
import { printable, printableLine } from '../../printable.ts';
import { PROOF } from '../proof.ts';
import type { Paint } from '../../output.ts';
import type { ClusterPlan, Obstacle } from './cluster-plan.ts';
import type { PlanStep } from './plan-step.ts';

export function planTable({ steps, obstacles, notSeen, summary }: ClusterPlan, paint: Paint): string {
  const lines: string[] = [];
  for (const [at, step] of steps.entries()) {
    lines.push(paint.strong(`${at + 1}. ${titleOf(step)}`), `   ${printable(step.does)}`);
    lines.push(...step.commands.flatMap((command) => indented(command, '     $ ')));
    lines.push(`   proof: ${printable(step.proof.text)}`);
    lines.push(...step.proof.commands.flatMap((command) => indented(command, '     $ ')));
    lines.push(`   back: ${step.back.length === 0 ? 'start the provisioner again' : ''}`.trimEnd());
    lines.push(...step.back.flatMap((command) => indented(command, '     $ ')), '');
  }
  lines.push(...obstacles.map((one) => paint.removed(printable(obstacleText(one)))));
  lines.push(...notSeen.map((what) => `not seen: you may not list ${what}`));
  lines.push(summaryText(summary), ...(steps.length > 0 ? [PROOF] : []));
  return lines.map((line) => `${line}\n`).join('');
}

export function planMarkdown({ steps, obstacles, notSeen, summary }: ClusterPlan): string {
  const lines = ['# From static pull secrets to keyless-pull', '', summaryText(summary), ''];
  if (steps.length > 0) lines.push(PROOF, '');
  for (const [at, step] of steps.entries()) {
    lines.push(`## ${at + 1}. ${titleOf(step)}`, '', printable(step.does), '');
    lines.push(...block(step.commands), `- [ ] ${printable(step.proof.text)}`, '');
    lines.push(...block(step.proof.commands));
    lines.push(
      'The way back:',
      '',
      ...(step.back.length === 0 ? ['Start the provisioner again.', ''] : block(step.back)),
    );
  }
  if (obstacles.length > 0)
    lines.push(
      '## What cannot go yet',
      '',
      ...obstacles.map((one) => `- ${printable(obstacleText(one))}`),
      '',
    );
  if (notSeen.length > 0)
    lines.push('## Not seen', '', ...notSeen.map((what) => `- you may not list ${what}`), '');
  return lines.join('\n');
}

function titleOf({ step, namespace }: PlanStep): string {
  return namespace === '' ? step : `${namespace}: ${step}`;
}

function obstacleText({ namespace, kind, name, secret, reason }: Obstacle): string {
  return `${kind} ${namespace}/${name} keeps ${secret}: ${reason}`;
}

function summaryText({ namespaces, steps, references, obstacles }: ClusterPlan['summary']): string {
  if (steps === 0 && references === 0) return 'nothing to do: no static pull secret is left';
  const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;
  return `${count(steps, 'step')} in ${count(namespaces, 'namespace')}: ${count(references, 'reference')} to static pull secrets, of which ${obstacles} cannot go yet`;
}

/** Lines of a command are kept apart, and steer no terminal. */
function indented(command: string, lead: string): string[] {
  return command.split('\n').map((line, at) => (at === 0 ? lead : '') + printableLine(line));
}

function block(commands: readonly string[]): string[] {
  return commands.length === 0
    ? []
    : ['```sh', ...commands.flatMap((command) => command.split('\n').map(printableLine)), '```', ''];
}
