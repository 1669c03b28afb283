// Runs doctor's checks in their order: what needs a step that failed is not checked, and says so.
import { isProblem } from '../../problem.ts';
import { accountSteps } from './account-steps.ts';
import { exchangeSteps } from './exchange-steps.ts';
import { issuerSteps, keysSteps } from './issuer-steps.ts';
import { ruleSteps } from './rule-steps.ts';
import { limitsSteps, tokenSteps } from './token-steps.ts';
import { failed, skipped } from './step.ts';
import type { Check, DoctorTools, Facts, Finding, Step, StepId } from './step.ts';

/** All of them, in the order of `stepIds`. */
export const checks: readonly Check[] = [
  ...ruleSteps,
  ...accountSteps,
  ...issuerSteps,
  ...tokenSteps,
  ...keysSteps,
  ...limitsSteps,
  ...exchangeSteps,
];

export interface RunWish {
  readonly isOffline: boolean;
  onStep(step: Step): void;
  /** Told once of a step that takes its time. */
  onSlow(step: StepId): void;
}

/** Below it nobody wonders what is going on. */
const SLOW_MS = 2_000;

/** Resolves to false if something could not be checked for a reason of our own. @throws Problem `usage` */
export async function runChecks(facts: Facts, tools: DoctorTools, wish: RunWish): Promise<boolean> {
  /** Of each step that nothing may build on: why. */
  const holes = new Map<StepId, string>();
  let isDone = true;
  for (const check of checks) {
    let finding = whyNot(check, holes, wish.isOffline);
    if (finding) holes.set(check.step, finding.found);
    else {
      try {
        finding = await unlessSlow(check, facts, tools, wish);
      } catch (error) {
        if (!isProblem(error) || error.code === 'usage') throw error;
        isDone = false;
        finding = failed(`${error.message} (${error.code})`);
      }
      if (finding.outcome === 'failed') holes.set(check.step, `because ${check.step} failed`);
      if (finding.outcome === 'skipped') holes.set(check.step, `because ${check.step} was not checked`);
    }
    wish.onStep({ step: check.step, ...finding });
  }
  return isDone;
}

/** The reason is that of the first step in the row, which is the one to mend. */
function whyNot(check: Check, holes: ReadonlyMap<StepId, string>, isOffline: boolean): Finding | undefined {
  if (isOffline && !check.isOffline) return skipped('--offline asks nobody');
  const missing = check.needs.find((step) => holes.has(step));
  return missing && skipped(holes.get(missing) ?? '');
}

async function unlessSlow(
  check: Check,
  facts: Facts,
  tools: DoctorTools,
  { onSlow }: RunWish,
): Promise<Finding> {
  const stop = new AbortController();
  const alarm = tools.clock.sleep(SLOW_MS, stop.signal).then(
    () => onSlow(check.step),
    () => undefined,
  );
  try {
    return await check.run(facts, tools);
  } finally {
    stop.abort();
    await alarm;
  }
}
