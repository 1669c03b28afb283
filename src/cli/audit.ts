// keyless-pull audit: every static pull secret and every registry in use, of a cluster, a dump or manifests.
import { writeFileSync } from 'node:fs';
import { systemClock, type Clock } from '../clock.ts';
import { loadConfig } from '../config.ts';
import { Policy } from '../core/pull-policy.ts';
import { isProblem, Problem } from '../problem.ts';
import { errnoText } from '../text-file.ts';
import { createCollector, type Collector } from './audit/collection.ts';
import { makeReport } from './audit/make-report.ts';
import { createProgress, type Progress } from './audit/progress.ts';
import { tableOf } from './audit/table.ts';
import { pageOf } from './audit/page/page.ts';
import { objectsOf, sourcesOf } from './objects/read-objects.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';
import type { AuditReport } from './audit/report.ts';
import type { ClusterOptions, ReplacedTools } from './user-choice.ts';

export interface AuditOptions extends Omit<ClusterOptions, 'output'> {
  /** Paths, or `-`; none: the cluster. */
  readonly file?: readonly string[];
  readonly allNamespaces?: boolean;
  readonly config?: string;
  readonly withoutSecrets?: boolean;
  readonly output: OutputForm | 'html';
  /** Where the page is written besides. */
  readonly html?: string;
}

/** What is looked at, and what of it could not be. */
interface Look {
  readonly source: 'cluster' | 'files';
  readonly collector: Collector;
  readonly notSeen: readonly string[];
}

/** @param replaced for tests. @throws Problem file-unreadable, config-invalid, usage or of the cluster-… family */
export async function audit(
  options: AuditOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const { clock = systemClock } = replaced;
  refuseBoth(options);
  const config = options.config === undefined ? undefined : loadConfig(options.config);
  const isForProgram = options.output === 'json' || options.output === 'yaml';
  const isWatched = io.errIsTerminal === true && (io.isTerminal || !isForProgram);
  const progress = createProgress(io, clock, isWatched);
  const withSecrets = options.withoutSecrets !== true;

  let look: Look;
  try {
    look = options.file?.length
      ? await lookAtFiles(options, options.file, withSecrets, io, progress)
      : await lookAtCluster(options, withSecrets, io, progress, replaced);
  } finally {
    progress.clear();
  }
  const { collector, source, notSeen } = look;
  if (source === 'files' && collector.collection.counts.objects === 0 && notSeen.length === 0) {
    io.err('no Kubernetes object in the input: nothing to audit\n');
    return 2;
  }
  const report = makeReport(collector.collection, {
    rules: config?.rules,
    policy: config?.policy ?? Policy.parse({}),
    now: clock.now(),
    source,
    withSecrets,
    notSeen,
  });
  write(report, options, io, clock);
  if (notSeen.length > 0) return 2;
  return report.summary.findings > 0 ? 1 : 0;
}

/** @throws Problem usage: what is read from files is nobody's cluster */
function refuseBoth({ file, kubeconfig, context, as }: AuditOptions): void {
  if (!file?.length) return;
  const [flag] = Object.entries({ kubeconfig, context, as }).find(([, given]) => given !== undefined) ?? [];
  if (flag !== undefined)
    throw new Problem('usage', `--${flag} is for a cluster, and --file is audited instead of one`);
}

/** What is no YAML is told and passed over where nobody named it: the rest of the folder is still worth a look. */
async function lookAtFiles(
  { namespace = 'default' }: AuditOptions,
  files: readonly string[],
  withSecrets: boolean,
  io: CommandIo,
  progress: Progress,
): Promise<Look> {
  const collector = createCollector({ namespace, withSecrets });
  const notSeen: string[] = [];
  const sources = sourcesOf(files, io);
  const total = sources.every(({ size }) => size > 0) ? sources.reduce((sum, { size }) => sum + size, 0) : 0;
  let bytes = 0;
  const onBytes = (count: number) => {
    bytes += count;
    progress.show(`${collector.collection.counts.objects} objects`, bytes, total);
  };
  for (const source of sources) {
    try {
      for await (const object of objectsOf(source, onBytes)) {
        if (io.signal.aborted) throw new Problem('deadline', `broken off while ${source.name} was read`);
        collector.add(object);
      }
    } catch (error) {
      if (!source.isFound || !isProblem(error, 'file-unreadable')) throw error;
      notSeen.push(error.message);
    }
  }
  return { source: 'files', collector, notSeen };
}

/** What needs half a second to load is loaded when a cluster is meant. */
async function lookAtCluster(
  options: AuditOptions,
  withSecrets: boolean,
  io: CommandIo,
  progress: Progress,
  replaced: ReplacedTools,
): Promise<Look> {
  const { openTools, namespaceOf } = await import('./user-choice.ts');
  const { liveObjects } = await import('./audit/live-objects.ts');
  await using tools = await openTools({ ...options, output: 'table' }, io, replaced);
  const { cluster } = tools;
  const namespace = namespaceOf(options, cluster);
  const collector = createCollector({ namespace: cluster.namespace, withSecrets });
  const notSeen: string[] = [];
  let seen = 0;
  const onObjects = (count: number, remaining: number) => {
    seen += count;
    progress.show(`${seen} objects`, seen, remaining > 0 ? seen + remaining : 0);
  };
  for await (const object of liveObjects(cluster, { namespace, withSecrets, onObjects }, notSeen))
    collector.add(object);
  return { source: 'cluster', collector, notSeen };
}

function write(
  report: AuditReport,
  { output, html, color }: AuditOptions,
  io: CommandIo,
  clock: Clock,
): void {
  if (html !== undefined) {
    try {
      writeFileSync(html, pageOf(report, clock.now()));
    } catch (cause) {
      throw new Problem('file-unreadable', `cannot write ${html}: ${errnoText(cause)}`, { cause });
    }
  }
  if (output === 'html') io.out(pageOf(report, clock.now()));
  else writeResult(io, output, report, () => tableOf(report, clock.now(), createPaint(color)));
}
