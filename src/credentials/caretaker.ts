// What the worker looks after besides issuing: pods that cannot pull, pods without what they should carry, records that
// have come to their end, and tokens whose signing key has. One look a second, and few calls at once: the rest of the
// places is the issuing's.
import { isProblem, type ProblemCode } from '../problem.ts';
import { createKeyRotation } from './key-rotation.ts';
import { MS_PER_ITEM } from './lookout.ts';
import { createPodHealer } from './pod-healer.ts';
import { createPulledPods, type PulledPod } from './pulled-pods.ts';
import { createRecordEnd } from './record-end.ts';
import { createSecretRepair } from './secret-repair.ts';
import type { Attempt } from './attempt.ts';
import type { Clock } from '../clock.ts';
import type { EndpointLimits } from './endpoint-limits.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Issuer } from './issuer.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { WorkerSettings } from './worker.ts';

/** @returns false if there is no place, or work of that key is under way */
export type Start = (key: string, work: () => Promise<void>) => boolean;

export interface CareTools extends CaretakerTools {
  /** True if there is a credential now; nothing is asked before the need's and its endpoint's time has come. */
  obtain(planned: PlannedNeed): Promise<boolean>;
}

export interface Caretaking {
  /** @param pods with something missing or failing. Must not wait. */
  look(start: Start, pods: readonly PulledPod[]): void;
  /** Instead of a look, while another worker leads. */
  pause?(): void;
  onChange?(change: ClusterChange): void;
}

export interface CaretakerTools {
  readonly cluster: Cluster;
  readonly issuer: Issuer;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly log: Log;
  settings(): WorkerSettings;
  isLeading(): boolean;
  readonly limits: EndpointLimits;
  onRepair?(rule: string, result: 'issued' | ProblemCode): void;
  onHealing?(outcome: HealingOutcome): void;
  onRecordEnd?(reason: EndReason): void;
}

/** `reported` once per pod; the others are what became of evicting it. */
export type HealingOutcome = 'reported' | 'evicted' | 'held' | 'failed';
export type EndReason = 'unused' | 'account-gone' | 'namespace-left' | 'superseded';

export interface Caretaker {
  /** Runs until the signal aborts and all that is under way has ended. */
  run(signal: AbortSignal): Promise<void>;
}

const LOOK_MS = 1_000;
const AT_ONCE = 4;
/** What ended makes a place. */
const GATHER_MS = 100;
/** What failed for a bug or a refusal is left alone for so long. */
const REST_MS = 30_000;

export function createCaretaker(tools: CaretakerTools): Caretaker {
  const { cluster, keeper, limits, clock, log, settings, isLeading } = tools;
  const { view } = cluster;
  const parts: readonly Caretaking[] = [
    createSecretRepair({ ...tools, obtain }),
    createPodHealer({ ...tools, obtain }),
    createRecordEnd(tools),
    createKeyRotation(tools),
  ];
  const pulledPods = createPulledPods({ view, clock, settings });
  const underWay = new Map<string, Promise<void>>();
  const resting = new Map<string, number>();
  let wake = new AbortController();

  const start: Start = (key, work) => {
    if (underWay.size >= AT_ONCE || underWay.has(key) || resting.has(key)) return false;
    const running = work()
      .catch((error: unknown) => {
        log[isProblem(error) ? 'debug' : 'error']({ error }, 'care of a credential failed');
        resting.set(key, clock.monotonic() + REST_MS);
      })
      .finally(() => {
        underWay.delete(key);
        wake.abort();
      });
    underWay.set(key, running);
    return true;
  };

  async function obtain(planned: PlannedNeed): Promise<boolean> {
    const { need } = planned;
    if (keeper.standingOf(need).kind === 'ready') return true;
    if (keeper.dueAt(need) > clock.now() || !limits.begin(planned)) return false;
    let attempt: Attempt | undefined;
    try {
      attempt = await keeper.obtain(planned);
    } finally {
      limits.ended(planned, attempt);
    }
    return attempt.kind === 'ready';
  }

  /** @returns how many pods it was about */
  function look(): number {
    if (!isLeading()) for (const part of parts) part.pause?.();
    if (!isLeading() || view.unsynced().length > 0) return 0;
    const now = clock.monotonic();
    for (const [key, until] of resting) if (until <= now) resting.delete(key);
    const pods = pulledPods.list();
    for (const part of parts) part.look(start, pods);
    return pods.length;
  }

  return {
    async run(signal) {
      const stop = view.onChange((change) => {
        pulledPods.onChange(change);
        for (const part of parts) part.onChange?.(change);
      });
      while (!signal.aborted) {
        wake = new AbortController();
        const atLeast = look() * MS_PER_ITEM;
        const pause = Math.max(LOOK_MS, atLeast);
        await clock.sleep(pause, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
        await clock.sleep(Math.max(GATHER_MS, atLeast), signal).catch(() => undefined);
      }
      stop();
      await Promise.all(underWay.values());
    },
  };
}
