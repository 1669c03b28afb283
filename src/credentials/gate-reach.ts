// Where we may open gates: RBAC gives us the right in the whole cluster, or in one namespace after the other. The Lease tells
// the webhooks, which hold no pod that nobody could let go again.
import { isProblem } from '../problem.ts';
import { injectionOf, type NamespaceView } from '../core/pod-view.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, ClusterChange } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';

export interface GateReach {
  /** False until the API server has been asked once. */
  isKnown(): boolean;
  /** Undefined: all of them. */
  namespaces(): readonly string[] | undefined;
  includes(namespace: string): boolean;
  /** RBAC has just said no. */
  lost(namespace: string): void;
  /** Asks until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface GateReachTools {
  readonly cluster: Pick<Cluster, 'mayOpenGates'> & {
    readonly view: Pick<Cluster['view'], 'namespaces' | 'unsynced' | 'onChange'>;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/** Nobody tells us of a RoleBinding: we ask anew. */
const LOOK_MS = 30_000;
const RETRY_MS = 1_000;
/** A namespace that opts in is asked about at once, and several together. */
const GATHER_MS = 100;
const CALL_MS = 10_000;
const AT_ONCE = 4;

export function createGateReach({ cluster, clock, log }: GateReachTools): GateReach {
  const { view } = cluster;
  const granted = new Set<string>();
  let isKnown = false;
  let isEverywhere = false;
  let fresh = new Set<string>();
  let wake = new AbortController();

  async function ask(namespace: string | undefined, signal: AbortSignal): Promise<boolean> {
    try {
      return await cluster.mayOpenGates(namespace, { signal: clock.deadline(CALL_MS, signal) });
    } catch (error) {
      // A cluster that lets nobody ask for his rights: as if there were no variant of them.
      if (!isProblem(error, 'cluster-refused')) throw error;
      log.debug({ error }, 'own rights not found out');
      return true;
    }
  }

  async function look(names: Iterable<string>, signal: AbortSignal): Promise<void> {
    isEverywhere = await ask(undefined, signal);
    if (isEverywhere) return;
    const next = names[Symbol.iterator]();
    const work = async () => {
      for (let { done, value } = next.next(); !done; { done, value } = next.next()) {
        if (value === undefined) continue;
        if (await ask(value, signal)) granted.add(value);
        else granted.delete(value);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  function optedIn(): Set<string> {
    return new Set([...view.namespaces()].filter(mayHaveGates).map(({ name }) => name));
  }

  function onChange({ kind, gone, object }: ClusterChange): void {
    if (kind !== 'namespace') return;
    if (gone) return void granted.delete(object.name);
    if (isEverywhere || granted.has(object.name) || !mayHaveGates(object)) return;
    fresh.add(object.name);
    wake.abort();
  }

  return {
    isKnown: () => isKnown,
    namespaces: () => (isEverywhere ? undefined : [...granted].sort()),
    includes: (namespace) => isEverywhere || granted.has(namespace),
    lost: (namespace) => void granted.delete(namespace),
    async run(signal) {
      const stop = view.onChange(onChange);
      let lookAt = 0;
      while (!signal.aborted) {
        wake = new AbortController();
        if (!view.unsynced().includes('namespaces')) {
          const isDue = clock.monotonic() >= lookAt;
          const names = isDue ? optedIn() : fresh;
          fresh = new Set();
          try {
            await look(names, signal);
            isKnown = true;
            if (isDue) lookAt = clock.monotonic() + LOOK_MS;
          } catch (error) {
            log.debug({ error }, 'own rights not found out');
            lookAt = clock.monotonic() + RETRY_MS;
          }
        }
        await clock.sleep(GATHER_MS, signal).catch(() => undefined);
        const pause = Math.max(0, lookAt - clock.monotonic());
        await clock.sleep(pause, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
      }
      stop();
    },
  };
}

function mayHaveGates(namespace: NamespaceView): boolean {
  if (namespace.isTerminating || PROTECTED_NAMESPACES.includes(namespace.name)) return false;
  return injectionOf(namespace) === 'enabled';
}
