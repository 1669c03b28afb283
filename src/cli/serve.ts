// keyless-pull serve: builds the parts around one keeper, runs them until told to stop, and stops them in reverse.
import { systemClock, type Clock } from '../clock.ts';
import { createConfigFile, type ConfigFile } from '../config-file.ts';
import { readEnvironment, type Config } from '../config.ts';
import { exemptionDaysLeft } from '../core/pull-policy.ts';
import { createLog, type Log } from '../log.ts';
import { Problem } from '../problem.ts';
import { createAccountLookup } from '../cluster/account-lookup.ts';
import { createKubeCluster, type KubeCluster } from '../cluster/kube-cluster.ts';
import { createKeeper, type Keeper } from '../credentials/keeper.ts';
import { createSignOfLife } from '../credentials/sign-of-life.ts';
import { createHealth, type Health } from '../server/health.ts';
import { createMetrics, type Metrics } from '../server/metrics.ts';
import { serveMetrics } from '../server/metrics-port.ts';
import { createConfigTeller } from './config-events.ts';
import { coverage, recordCounts } from './measured.ts';
import { certificateChoice, type CertificateOptions } from './serving-certificate.ts';
import { startWebhook } from './webhook.ts';
import { startWorker } from './worker.ts';
import type { Worker } from '../credentials/worker.ts';
import type { LogLevel } from '../log-level.ts';
import type { CommandIo, ExitCode } from './output.ts';

export interface ServeOptions extends CertificateOptions {
  readonly config: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly host?: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly lingerSeconds?: number;
  readonly namespace?: string;
  readonly role: 'all' | 'webhook' | 'worker';
  readonly logLevel: LogLevel;
}

/** What every part of the process shares. */
export interface Parts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly config: ConfigFile;
  readonly cluster: KubeCluster;
}

/** Runs until `io.signal` aborts. @throws Problem for what no waiting would cure */
export async function serve(options: ServeOptions, io: CommandIo): Promise<ExitCode> {
  const { role } = options;
  const log = createLog(options.logLevel, { write: (line) => io.out(line) });
  const clock = systemClock;
  const metrics = createMetrics();
  const health = createHealth();
  let ownAudiences: readonly string[] = [];
  /** The webhook alone has no right to events. */
  let tellOfConfig: ReturnType<typeof createConfigTeller> | undefined;
  const config = createConfigFile(options.config, {
    clock,
    log,
    check: (read) => refuseOwnAudiences(read, ownAudiences, options.config),
    onReload: (refusal) => {
      metrics.configReload(!refusal);
      tellOfConfig?.(refusal);
    },
  });
  const namespace = options.namespace ?? readEnvironment().namespace;
  await using cluster = await createKubeCluster(
    { ...options, usual: readEnvironment().kubeconfig, ...(namespace !== undefined && { namespace }) },
    { pods: role !== 'webhook' },
    { clock, log, onWatchRestart: (watch) => metrics.watchRestart(watch) },
  );
  ownAudiences = cluster.ownAudiences;
  refuseOwnAudiences(config.current(), ownAudiences, options.config);
  const certificate = certificateChoice(options, cluster);
  const parts: Parts = { clock, log, metrics, health, config, cluster };
  health.check('watches', () => {
    const missing = cluster.view.unsynced();
    return missing.length > 0
      ? `the API server at ${cluster.server} has not yet listed ${missing.join(', ')}`
      : undefined;
  });

  if (role !== 'webhook') {
    const { podName } = readEnvironment();
    tellOfConfig = createConfigTeller({ cluster, clock, namespace: cluster.namespace, podName });
  }

  const background = new AbortController();
  const running: Promise<void>[] = [cluster.run(background.signal), config.run(background.signal)];
  const stopWorking = new AbortController();
  let keeper: Keeper = createKeeper({ view: cluster.view, clock });
  /** Our own worker's Lease needs no looking up. */
  let own: Pick<Worker, 'isLeading' | 'mayOpenGates'> | undefined;
  let working: Promise<void> = Promise.resolve();
  if (role !== 'webhook')
    ({ keeper, own, working } = startWorker(
      parts,
      certificate,
      stopWorking.signal,
      running,
      background.signal,
    ));
  metrics.onScrape(() => {
    metrics.watchSilences(cluster.silences());
    const { rules, policy } = config.current();
    metrics.records(recordCounts(cluster.view.records(), coverage(rules, cluster.view), clock.now()));
    metrics.exemptionDaysLeft(exemptionDaysLeft(policy, clock.now()));
  });
  try {
    await using _metrics = await serveMetrics({
      handler: metrics.handler,
      health,
      log,
      port: options.metricsPort,
      ...hostOf(options),
    });
    if (role === 'worker') {
      log.info({ role, server: cluster.server, namespace: cluster.namespace }, 'started');
      await stopped(io.signal);
    } else {
      const signOfLife = createSignOfLife({ cluster, clock, log });
      running.push(signOfLife.run(background.signal));
      const lookup = createAccountLookup({ cluster, clock });
      await using webhook = await startWebhook(
        parts,
        {
          keeper,
          lookup,
          workerIsAlive: () => own?.isLeading() || signOfLife.isWorkerAlive(),
          mayOpenGates: (of) => (own?.isLeading() ? own : signOfLife).mayOpenGates(of),
        },
        certificate,
        { ...options, signal: io.signal },
      ).catch((error: unknown) => {
        // Told to stop while it waited for a certificate.
        if (io.signal.aborted && !(error instanceof Problem)) return undefined;
        throw error;
      });
      const { server, namespace: of } = cluster;
      if (webhook) log.info({ role, port: webhook.port, server, namespace: of }, 'started');
      await stopped(io.signal);
      log.info({}, 'stopping');
      // At once, so that another one takes over; and not waited for here, so that an exchange that hangs delays no drain.
      stopWorking.abort();
    }
  } finally {
    stopWorking.abort();
    await working;
    background.abort();
    await Promise.all(running);
  }
  log.info({}, 'stopped');
  return 0;
}

/** A token for the API server's own audience would be the ServiceAccount itself, handed to a registry. */
function refuseOwnAudiences(config: Config, own: readonly string[], source: string): void {
  const faults = config.rules.flatMap(({ name, audience, acceptAudiences = [] }, at) =>
    [audience, ...acceptAudiences].some((one) => own.includes(one))
      ? [`${source}: rules[${at}].audience: rule ${name} uses an audience of the API server itself`]
      : [],
  );
  if (faults.length > 0)
    throw new Problem('config-invalid', `${source} hands tokens of the API server to registries`, {
      details: { faults },
    });
}

function hostOf({ host }: ServeOptions): { host?: string } {
  return host === undefined ? {} : { host };
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
