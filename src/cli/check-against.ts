// keyless-pull check-config --against: what a config would change for what lives in a cluster.
import { loadConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { changeKinds, needChanges, type NeedChange } from './against/need-changes.ts';
import { readLiveNeeds } from './against/live-needs.ts';
import { alignColumns, createPaint, writeResult, type CommandIo, type ExitCode } from './output.ts';
import { printable } from './printable.ts';
import { openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';

export interface CheckAgainstOptions extends ClusterOptions {
  readonly config: string;
  /** A context's name, or the one that --context or the kubeconfig says. */
  readonly against: string | true;
}

/** @param replaced for tests. @throws Problem config-invalid, usage, or what the cluster answers */
export async function checkAgainst(
  options: CheckAgainstOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const { against, context } = options;
  if (typeof against === 'string' && context !== undefined && against !== context)
    throw new Problem('usage', '--against and --context name two contexts');
  const config = loadConfig(options.config);
  const chosen = typeof against === 'string' ? { ...options, context: against } : options;
  await using tools = await openTools(chosen, io, replaced);
  const live = await readLiveNeeds(tools.cluster, options.namespace);
  const { changes, kept } = needChanges(config, live);
  const counted = Object.fromEntries(
    changeKinds.map((kind) => [kind, changes.filter(({ change }) => change === kind).length]),
  );
  const summary = { kept, ...counted, ok: changes.length === 0 };
  writeResult(io, options.output, { changes, notSeen: live.notSeen, summary }, () => {
    const paint = createPaint(options.color);
    const told = [`${kept} kept`, ...Object.entries(counted).map(([kind, count]) => `${count} ${kind}`)];
    return [
      changes.length > 0 ? alignColumns([HEADINGS, ...changes.map(rowOf)]) : '',
      ...[...new Set(changes.map(({ change, means }) => `${change}: ${means}`))].map(
        (line) => `${printable(line)}\n`,
      ),
      ...live.notSeen.map((what) => `not seen: you may not list ${what}, so new needs are not known\n`),
      `${paint.strong(told.join(', '))}\n`,
    ].join('');
  });
  return changes.length === 0 ? 0 : 1;
}

const HEADINGS = ['CHANGE', 'ACCOUNT', 'REGISTRY', 'PRINCIPAL', 'RULE', 'SECRET', 'PODS'];

function rowOf({
  change,
  namespace,
  account,
  registry,
  principal,
  rule,
  secret,
  pods,
}: NeedChange): string[] {
  const { was, becomes } = secret;
  const names = was === becomes ? was : [was, becomes].map((name) => name || '-').join(' → ');
  return [
    change,
    `${namespace}/${account}`,
    registry || '-',
    principal || '-',
    rule || '-',
    names || '-',
    String(pods),
  ].map(printable);
}
