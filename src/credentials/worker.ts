// The worker, put together: leader, issuer, gate and loop around one keeper.
import { createIssuer } from './issuer.ts';
import { createKeeper, type Keeper } from './keeper.ts';
import { createLeader } from './leader.ts';
import { createPodGate } from './pod-gate.ts';
import { createRefreshWorker } from './refresh-worker.ts';
import type { Clock } from '../clock.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Exchange } from '../registry/exchange.ts';
import type { Log } from '../log.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

export interface WorkerSettings {
  readonly rules: readonly RegistryRule[];
  readonly needsPerPod: number;
  readonly needsPerAccount: number;
  readonly gateSeconds: number;
}

export interface WorkerTools {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: Log;
  /** Unique among replicas and restarts. */
  readonly identity: string;
  settings(): WorkerSettings;
  onLeading?(leading: boolean): void;
  onReleased?(seconds: number, late: boolean): void;
}

export interface Worker {
  /** Shared with the webhook in the same process. */
  readonly keeper: Keeper;
  isLeading(): boolean;
  /** Campaigns and works until the signal aborts; the Lease is released when nothing is under way any more. */
  run(signal: AbortSignal): Promise<void>;
}

const SYNC_LOOK_MS = 100;

export function createWorker(tools: WorkerTools): Worker {
  const { cluster, exchange, clock, log, identity, settings, onLeading, onReleased } = tools;
  const leader = createLeader({ cluster, clock, log, identity, ...(onLeading && { onChange: onLeading }) });
  const { isLeading } = leader;
  const issuer = createIssuer({
    cluster,
    exchange,
    clock,
    isLeading,
    needsPerAccount: () => settings().needsPerAccount,
  });
  const keeper = createKeeper({ view: cluster.view, clock, issuer });
  const podGate = createPodGate({
    cluster,
    keeper,
    clock,
    log,
    settings,
    isLeading,
    ...(onReleased && { onReleased }),
  });
  const refreshWorker = createRefreshWorker({
    cluster,
    keeper,
    issuer,
    podGate,
    clock,
    log,
    isLeading,
    rules: () => settings().rules,
  });

  /** Who does not see the cluster yet would only keep the Lease from those who do. */
  async function campaign(signal: AbortSignal): Promise<void> {
    while (cluster.view.unsynced().length > 0 && !signal.aborted)
      await clock.sleep(SYNC_LOOK_MS, signal).catch(() => undefined);
    await leader.run(signal);
  }

  return {
    keeper,
    isLeading,
    async run(signal) {
      const release = new AbortController();
      const leading = campaign(release.signal);
      try {
        await refreshWorker.run(signal);
      } finally {
        // Whoever cannot work, be it for a bug, does not keep the others from it.
        release.abort();
        await leading;
      }
    },
  };
}
