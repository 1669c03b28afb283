// keyless-pull migrate --plan: the steps from static pull secrets to none for a running cluster. It reads and changes nothing.
import { loadConfig } from '../config.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';
import { readAccountWishes } from './migrate/account-wishes.ts';
import { readClusterObjects } from './migrate/plan/cluster-objects.ts';
import { planCluster } from './migrate/plan/cluster-plan.ts';
import { planMarkdown, planTable } from './migrate/plan/plan-text.ts';
import { printable } from './printable.ts';
import { namespaceOf, openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';

export interface MigratePlanOptions extends Omit<ClusterOptions, 'output'> {
  readonly config: string;
  readonly set: readonly string[];
  /** Hosts that ask for no login. */
  readonly public: readonly string[];
  readonly allNamespaces?: boolean;
  readonly ownNamespace: string;
  readonly output: OutputForm | 'markdown';
}

/** @param replaced for tests. @throws Problem config-invalid, usage, or what the cluster answers */
export async function migratePlan(
  options: MigratePlanOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const { output } = options;
  const config = loadConfig(options.config);
  const wishes = readAccountWishes(options.set, config.rules);
  await using tools = await openTools({ ...options, output: 'table' }, io, replaced);
  const { cluster } = tools;
  const plan = planCluster(await readClusterObjects(cluster, namespaceOf(options, cluster)), {
    settings: { config, wishes, publicHosts: new Set(options.public) },
    configFile: options.config,
    ownNamespace: options.ownNamespace,
  });
  if (output === 'markdown') io.out(planMarkdown(plan));
  else writeResult(io, output, plan, () => planTable(plan, createPaint(options.color)));
  if (plan.summary.steps > 0) io.err(whichCluster(options));
  return plan.summary.steps + plan.summary.obstacles === 0 ? 0 : 1;
}

/** The commands are copied into another shell, where the current context may be another cluster's. */
function whichCluster({ kubeconfig, context }: MigratePlanOptions): string {
  const flags = Object.entries({ kubeconfig, context }).filter(([, given]) => given !== undefined);
  if (flags.length === 0) return '';
  const words = flags.map(([flag, given]) => `--${flag} ${printable(given ?? '')}`).join(' ');
  return `the commands name no cluster: run them where kubectl goes to that of ${words} by itself\n`;
}
