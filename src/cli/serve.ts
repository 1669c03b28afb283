// keyless-pull serve: builds the parts around one keeper, runs them until told to stop, and stops them in reverse.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { systemClock, type Clock } from '../clock.ts';
import { createConfigFile, type ConfigFile } from '../config-file.ts';
import { readEnvironment, type Config } from '../config.ts';
import { createLog, type Log } from '../log.ts';
import { Problem } from '../problem.ts';
import { createAccountLookup } from '../cluster/account-lookup.ts';
import { createKubeCluster, type KubeCluster } from '../cluster/kube-cluster.ts';
import { createFenceProbe } from '../credentials/fence-probe.ts';
import { createKeeper, type Keeper } from '../credentials/keeper.ts';
import { createSignOfLife } from '../credentials/leader.ts';
import { createWorker } from '../credentials/worker.ts';
import { createHealth, type Health } from '../server/health.ts';
import { createMetrics, type Metrics } from '../server/metrics.ts';
import { serveMetrics } from '../server/metrics-port.ts';
import { measuredExchange, recordCounts } from './measured.ts';
import { startWebhook } from './webhook.ts';
import type { LogLevel } from '../log-level.ts';
import type { CommandIo, ExitCode } from './output.ts';

export interface ServeOptions {
  readonly config: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly host?: string;
  readonly port: number;
  readonly metricsPort: number;
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
  const config = createConfigFile(options.config, {
    clock,
    log,
    check: (read) => refuseOwnAudiences(read, ownAudiences, options.config),
    onReload: (taken) => metrics.configReload(taken),
  });
  const namespace = options.namespace ?? readEnvironment().namespace;
  await using cluster = await createKubeCluster(
    { ...options, ...(namespace !== undefined && { namespace }) },
    { pods: role !== 'webhook' },
    { clock, log, onWatchRestart: (watch) => metrics.watchRestart(watch) },
  );
  ownAudiences = cluster.ownAudiences;
  refuseOwnAudiences(config.current(), ownAudiences, options.config);
  const parts: Parts = { clock, log, metrics, health, config, cluster };
  health.check('watches', () => {
    const missing = cluster.view.unsynced();
    return missing.length > 0
      ? `the API server at ${cluster.server} has not yet listed ${missing.join(', ')}`
      : undefined;
  });

  const background = new AbortController();
  const running: Promise<void>[] = [cluster.run(background.signal), config.run(background.signal)];
  const stopWorking = new AbortController();
  let keeper: Keeper = createKeeper({ view: cluster.view, clock });
  /** Our own worker's Lease needs no looking up. */
  let isLeading = () => false;
  let working: Promise<void> = Promise.resolve();
  if (role !== 'webhook')
    ({ keeper, isLeading, working } = startWorker(parts, stopWorking.signal, running, background.signal));
  metrics.onScrape(() => metrics.records(recordCounts(cluster.view.records(), clock.now())));
  try {
    await using _metrics = await serveMetrics({
      handler: metrics.handler,
      health,
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
        { keeper, lookup, workerIsAlive: () => isLeading() || signOfLife.isWorkerAlive() },
        options,
      );
      log.info({ role, port: webhook.port, server: cluster.server, namespace: cluster.namespace }, 'started');
      await stopped(io.signal);
      log.info({}, 'stopping');
      // The worker ends first: another one takes over while this one's webhook is still drained.
      stopWorking.abort();
      await working;
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

function startWorker(parts: Parts, signal: AbortSignal, running: Promise<void>[], background: AbortSignal) {
  const { clock, log, metrics, health, config, cluster } = parts;
  const worker = createWorker({
    cluster,
    clock,
    log,
    exchange: measuredExchange(metrics, clock),
    identity: `${readEnvironment().podName ?? hostname()}-${randomUUID().slice(0, 8)}`,
    settings: settingsOf(config),
    onLeading: (leading) => metrics.leader(leading),
    onReleased: (seconds, late) => metrics.gate(late ? 'late' : 'ready', seconds),
  });
  const fences = createFenceProbe({ cluster, clock, log }, (all, missing) => metrics.fences(all, missing));
  running.push(fences.run(background));
  health.check('fences', () => (config.current().fences === 'required' ? fences.trouble() : undefined));
  return { keeper: worker.keeper, isLeading: () => worker.isLeading(), working: worker.run(signal) };
}

/** The same objects as long as the config is the same one, so that plans made from them can be remembered. */
function settingsOf(config: ConfigFile) {
  return () => {
    const { rules, worker } = config.current();
    const { needsPerPod, needsPerAccount, gateSeconds } = worker;
    return { rules, needsPerPod, needsPerAccount, gateSeconds };
  };
}

/** A token for the API server's own audience would be the ServiceAccount itself, handed to a registry. */
function refuseOwnAudiences(config: Config, own: readonly string[], source: string): void {
  const faults = config.rules.flatMap(({ name, audience }, at) =>
    own.includes(audience)
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
