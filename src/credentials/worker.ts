// The worker, put together: leader, issuer, gate and loop around one keeper.
import { createEndpointLimits, type EndpointRate } from './endpoint-limits.ts';
import { createCaretaker, type CaretakerTools } from './caretaker.ts';
import { createGateReach } from './gate-reach.ts';
import { createIssuer } from './issuer.ts';
import { createKeeper, type Keeper } from './keeper.ts';
import { createLeader } from './leader.ts';
import { createPodGate } from './pod-gate.ts';
import { createRefreshWorker } from './refresh-worker.ts';
import type { Clock } from '../clock.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Exchange } from '../registry/exchange.ts';
import type { Log } from '../log.ts';
import type { Problem } from '../problem.ts';
import type { RegistryRule } from '../core/registry-rule.ts';

export interface WorkerSettings extends EndpointRate {
  readonly rules: readonly RegistryRule[];
  readonly needsPerPod: number;
  readonly needsPerAccount: number;
  readonly gateSeconds: number;
  /** How long a record that no pod names is kept. */
  readonly unusedHours: number;
  /** What is done about pods that hang without the credential that they should have. */
  readonly heal: 'report' | 'evict';
}

export interface WorkerTools extends Pick<CaretakerTools, 'onRepair' | 'onHealing' | 'onRecordEnd'> {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: Log;
  /** Unique among replicas and restarts. */
  readonly identity: string;
  settings(): WorkerSettings;
  onLeading?(leading: boolean): void;
  /** `late`: why it goes without a credential. */
  onReleased?(seconds: number, late: Problem | undefined): void;
}

export interface Worker {
  /** Shared with the webhook in the same process. */
  readonly keeper: Keeper;
  isLeading(): boolean;
  mayOpenGates(namespace: string): boolean;
  /**
   * Campaigns and works until the signal aborts; the Lease is released when nothing is under way any more, and soon in any case:
   * then what comes back late writes nothing. Ends with the last of it.
   */
  run(signal: AbortSignal): Promise<void>;
}

const SYNC_LOOK_MS = 100;
/** An exchange is done by then, or hangs; the pods of all others wait meanwhile. */
const LAST_WORK_MS = 5_000;

export function createWorker(tools: WorkerTools): Worker {
  const { cluster, exchange, clock, log, identity, settings, onLeading, onReleased } = tools;
  const reach = createGateReach({ cluster, clock, log });
  const onChange = (leading: boolean) => {
    onLeading?.(leading);
    refreshWorker.wake();
  };
  const gatesIn = () => reach.namespaces();
  const leader = createLeader({ cluster, clock, log, identity, gatesIn, onChange });
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
    onNoRight: (namespace) => reach.lost(namespace),
    ...(onReleased && { onReleased }),
  });
  const limits = createEndpointLimits({ clock, rate: settings });
  const refreshWorker = createRefreshWorker({
    cluster,
    keeper,
    issuer,
    podGate,
    limits,
    clock,
    log,
    isLeading,
    rules: () => settings().rules,
  });

  const caretaker = createCaretaker({ ...tools, issuer, keeper, limits, isLeading });

  /** Who does not see the cluster yet, or does not know its own rights, would only keep the Lease from those who do. */
  async function campaign(signal: AbortSignal): Promise<void> {
    while ((cluster.view.unsynced().length > 0 || !reach.isKnown()) && !signal.aborted)
      await clock.sleep(SYNC_LOOK_MS, signal).catch(() => undefined);
    await leader.run(signal);
  }

  return {
    keeper,
    isLeading,
    mayOpenGates: (namespace) => reach.includes(namespace),
    async run(signal) {
      const release = new AbortController();
      const leading = campaign(release.signal);
      const hurry = () =>
        void clock.sleep(LAST_WORK_MS, release.signal).then(
          () => release.abort(),
          () => undefined,
        );
      signal.addEventListener('abort', hurry, { once: true });
      try {
        await Promise.all([refreshWorker.run(signal), caretaker.run(signal), reach.run(signal)]);
      } finally {
        // Whoever cannot work, be it for a bug, does not keep the others from it.
        release.abort();
        await leading;
      }
    },
  };
}
