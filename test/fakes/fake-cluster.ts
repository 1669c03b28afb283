// A cluster in memory that works: uids, versions, conflicts, fences, garbage collection and really signed tokens. Any
// number of clients share it, each with a view of its own, and each may die between any two steps. Time is the clock's.
import type { Clock } from '../../src/clock.ts';
import { TEST_AUDIENCE } from './builders.ts';
import { createFakeClient, type FakeClient } from './fake-cluster-clients.ts';
import { createFakeFences } from './fake-cluster-fences.ts';
import { createFakeHands, type FakeHands } from './fake-cluster-hands.ts';
import { createFakeStore, type FakeStore } from './fake-cluster-store.ts';
import type { CallHook, FakeCall, FakeVerb } from './fake-cluster-network.ts';
import { createFakeTokens, type FakeTokens } from './fake-cluster-tokens.ts';

export type { FakeClient } from './fake-cluster-clients.ts';
export type { CallHook, Fate, FakeCall, FakeCallDetails, FakeVerb } from './fake-cluster-network.ts';
export type { DockerConfig } from './fake-cluster-hands.ts';

export interface FakeClusterOptions {
  readonly clock: Clock;
  /** Our own namespace, which exists from the start; `keyless-pull` when absent. */
  readonly namespace?: string;
  /** What the fence on TokenRequest lets through; TEST_AUDIENCE when absent. */
  readonly audiences?: readonly string[];
  /** How far watches are behind; 0 (default): never in the same step, always in the same turn of the event loop. */
  readonly watchLagMs?: number;
  readonly beforeCall?: CallHook;
}

export interface FakeCluster extends FakeHands {
  /** Our own namespace. */
  readonly namespace: string;
  /**
   * The process of that name (`worker` when absent), made when it is asked for first: a Cluster with a view of its own.
   * `pods`: its view has pods; `synced`: it has listed already; both true when absent.
   */
  client(name?: string, wants?: { readonly pods?: boolean; readonly synced?: boolean }): FakeClient;
  /** Asked before every call of every client; may be replaced at any time. */
  beforeCall: CallHook | undefined;
  /** What tryFences answers; empty at the start. */
  missingFences: readonly string[];
  /** What the key set says instead of the keys that sign here; undefined at the start. */
  foreignKeys: readonly string[] | undefined;
  /** Fences around a right that the worker has nowhere; empty at the start. */
  fencesNowhere: readonly string[];
  /** Namespaces in which RBAC gives the worker no right to write; may be changed at any time. */
  readonly withoutRights: Set<string>;
  /** Namespaces in which a PodDisruptionBudget holds every pod that runs; may be changed at any time. */
  readonly budgets: Set<string>;
  /** Whether the worker has the right to evict; true at the start. */
  mayEvict: boolean;
  /** What the fence on TokenRequest lets through; may be changed at any time. */
  readonly audiences: Set<string>;
  /** All calls so far, in order; may be emptied. */
  readonly calls: FakeCall[];
  /** How many calls of this verb were begun, also those that were refused or lost, by this client or by all. */
  count(verb: FakeVerb, client?: string): number;
  readonly store: FakeStore;
  readonly tokens: FakeTokens;
}

export function createFakeCluster(options: FakeClusterOptions): FakeCluster {
  const { clock, namespace = 'keyless-pull', watchLagMs = 0 } = options;
  const audiences = new Set(options.audiences ?? [TEST_AUDIENCE]);
  const store = createFakeStore(clock);
  const tokens = createFakeTokens(store, clock, 'https://kubernetes.default.svc');
  const fences = createFakeFences(store, { namespace, audiences });
  const clients = new Map<string, FakeClient>();
  const calls: FakeCall[] = [];

  const fake: FakeCluster = {
    ...createFakeHands(store, tokens, clock),
    namespace,
    client(name = 'worker', wants = {}) {
      const known = clients.get(name);
      if (known) return known;
      const made = createFakeClient(name, wants, {
        store,
        fences,
        tokens,
        clock,
        namespace,
        lagMs: watchLagMs,
        missingFences: () => fake.missingFences,
        foreignKeys: () => fake.foreignKeys,
        fencesNowhere: () => fake.fencesNowhere,
        withoutRights: fake.withoutRights,
        budgets: fake.budgets,
        mayEvict: () => fake.mayEvict,
        hook: (call) => fake.beforeCall?.(call),
        write: (call) => calls.push(call),
      });
      clients.set(name, made);
      return made;
    },
    beforeCall: options.beforeCall,
    missingFences: [],
    foreignKeys: undefined,
    fencesNowhere: [],
    withoutRights: new Set(),
    budgets: new Set(),
    mayEvict: true,
    audiences,
    calls,
    count: (verb, client) =>
      calls.filter((call) => call.verb === verb && (client === undefined || call.client === client)).length,
    store,
    tokens,
  };
  fake.addNamespace(namespace, { labels: {} });
  return fake;
}
