// keyless-pull uninstall: takes keyless-pull out of a cluster with the user's rights, in the order in which no pod is blocked and
// nothing of ours is stranded; with --keep-secrets pods go on pulling with what they have.
import { Problem } from '../problem.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type Paint } from './output.ts';
import { printable, timestampOf } from './printable.ts';
import { runSteps, uninstallSteps, type StepResult } from './uninstall/steps.ts';
import { openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';
import type { UserCluster } from '../cluster/user-cluster.ts';

export interface UninstallOptions extends Omit<ClusterOptions, 'namespace'> {
  readonly ownNamespace: string;
  readonly keepSecrets?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface Report {
  readonly steps: readonly StepResult[];
  /** When the last of the credentials that were kept ends; null: none was kept. */
  readonly lastCredentialEnds: string | null;
  /** What is left to do, as commands. */
  readonly next: readonly string[];
  readonly ok: boolean;
}

const WIDTH = Math.max(...uninstallSteps.map((step) => step.length));

/** @param replaced for tests */
export async function uninstall(
  options: UninstallOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const { ownNamespace, keepSecrets = false, dryRun: isDryRun = false } = options;
  if (!options.yes && !isDryRun)
    throw new Problem(
      'usage',
      'pods lose their credentials, or their renewal: --dry-run shows what would be done, --yes does it',
    );
  await using tools = await openTools(options, io, replaced);
  const paint = createPaint(options.color);
  const ends = keepSecrets ? await lastEnd(tools.cluster) : 0;
  const steps = await runSteps(
    { ...tools, signal: io.signal },
    { ownNamespace, keepSecrets, isDryRun },
    (step) => {
      if (options.output === 'table') io.out(lineOf(step, paint));
    },
  );
  const report: Report = {
    steps,
    lastCredentialEnds: timestampOf(ends),
    next: nextSteps(ownNamespace, keepSecrets),
    ok: steps.every(({ outcome }) => outcome !== 'refused'),
  };
  writeResult(io, options.output, report, () => closingOf(report));
  return report.ok ? 0 : 2;
}

/** Who may not list them is told by the step that needs it. */
async function lastEnd(cluster: UserCluster): Promise<number> {
  const records = await cluster.records().catch((error: unknown) => {
    if (!(error instanceof Problem)) throw error;
    return [];
  });
  return Math.max(0, ...records.map(({ status }) => status?.expiresAt ?? 0));
}

/** What a package manager made it shall take away. Our own namespace may hold what is not ours. */
function nextSteps(ownNamespace: string, keepSecrets: boolean): string[] {
  return [
    `kubectl delete namespace ${ownNamespace} (after "helm uninstall" where a chart was installed)`,
    'kubectl label namespace -l keyless-pull.dev/inject keyless-pull.dev/inject- keyless-pull.dev/static-pull-secrets-',
    ...(keepSecrets
      ? ['when no pod names them any more: kubectl delete secret -A -l keyless-pull.dev/managed=true']
      : []),
  ];
}

function lineOf({ step, outcome, told, objects, problem }: StepResult, paint: Paint): string {
  const sign = { refused: '✗', stopped: '–', done: '✓', 'would be done': '·', 'nothing to do': '✓' }[outcome];
  const shown = problem ?? (outcome === 'done' ? told : outcome === 'stopped' ? `not done ${told}` : outcome);
  const line = `${sign} ${step.padEnd(WIDTH)}  ${printable(shown)}\n`;
  const list = outcome === 'would be done' ? objects.map((each) => `    ${printable(each)}\n`).join('') : '';
  return paint.strong(line) + list;
}

function closingOf({ lastCredentialEnds, next, ok }: Report): string {
  if (!ok) return 'Not finished: mend what was refused, and call it again; what is done stays done.\n';
  const kept =
    lastCredentialEnds === null
      ? ''
      : `Pods go on pulling with the Secrets that were kept; nobody renews them, and the last one ends ${lastCredentialEnds}.\n`;
  return `${kept}Left to you:\n${next.map((each) => `  ${each}\n`).join('')}`;
}
