// keyless-pull doctor system: is the installation whole. Every condition is tried with the rights of the user, through the API
// server, and what fails comes with its cure. Nothing is changed.
import { loadConfig } from '../config.ts';
import { isProblem } from '../problem.ts';
import { greetingOf } from './doctor/live-cluster.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode } from './output.ts';
import { failed, ok, skipped, type Finding } from './doctor/step.ts';
import { stepLines, summaryOf } from './doctor/report.ts';
import { dryRunSteps } from './system/dry-run-step.ts';
import { fenceSteps } from './system/fence-steps.ts';
import { installSteps } from './system/install-steps.ts';
import { lifeSteps } from './system/life-steps.ts';
import { rightsSteps } from './system/rights-step.ts';
import {
  createLook,
  systemStepIds,
  type SystemCheck,
  type SystemLook,
  type SystemStep,
} from './system/step.ts';
import { webhookSteps } from './system/webhook-steps.ts';
import { openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';

export interface DoctorSystemOptions extends Omit<ClusterOptions, 'namespace'> {
  readonly ownNamespace: string;
  readonly tryIn?: string;
  readonly config?: string;
}

const checks: readonly SystemCheck[] = [
  ...installSteps,
  ...rightsSteps,
  ...webhookSteps,
  ...fenceSteps,
  ...dryRunSteps,
  ...lifeSteps,
];
const WIDTH = Math.max(...systemStepIds.map((step) => step.length));

/** @param replaced for tests */
export async function doctorSystem(
  options: DoctorSystemOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  await using tools = await openTools(options, io, replaced);
  const { ownNamespace, tryIn, config } = options;
  const look = createLook(
    {
      ownNamespace,
      readsCertificate: true,
      ...(tryIn !== undefined && { tryIn }),
      ...(config !== undefined && { config: loadConfig(config) }),
    },
    { cluster: tools.cluster, clock: tools.clock, signal: io.signal },
  );
  const paint = createPaint(options.color);
  const steps = await examine(look, (step) => {
    if (options.output === 'table') io.out(stepLines(step, WIDTH, paint));
  });
  const isGood = steps.every(({ outcome }) => outcome !== 'failed');
  writeResult(io, options.output, { steps, ok: isGood }, () => paint.strong(`${summaryOf(steps)}\n`));
  if (steps[0]?.outcome === 'failed') return 2;
  return isGood ? 0 : 1;
}

/** All of them, in their order; without an API server nothing but that is told. */
export async function examine(
  look: SystemLook,
  onStep: (step: SystemStep) => void = () => undefined,
): Promise<readonly SystemStep[]> {
  const steps: SystemStep[] = [];
  const add = (step: SystemStep) => {
    steps.push(step);
    onStep(step);
  };
  const greeted = await tried(async () => ok(await greetingOf(look.cluster)));
  add({ step: 'cluster', ...greeted });
  for (const { step, run } of checks)
    add({
      step,
      ...(greeted.outcome === 'failed' ? skipped('because cluster failed') : await tried(() => run(look))),
    });
  return steps;
}

async function tried(check: () => Finding | Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    if (!isProblem(error) || error.code === 'usage') throw error;
    return failed(`${error.message} (${error.code})`);
  }
}
