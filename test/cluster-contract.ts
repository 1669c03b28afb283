// What every Cluster does. The same suite runs against the fake of test/fakes and against a real API server, with the
// worker's own rights and the shipped fences, so that the two cannot drift apart.
import { afterAll, beforeAll } from 'vitest';
import type { Clock } from '../src/clock.ts';
import type { CallOptions, Cluster } from '../src/cluster/cluster.ts';
import type { AccountView, PodView } from '../src/core/pod-view.ts';
import { isProblem, type Problem, type ProblemCode } from '../src/problem.ts';
import { describeAccountsAndTokens } from './cluster-contract-tokens.ts';
import { describeLeasesAndEvents } from './cluster-contract-leases.ts';
import { describeRecordsAndSecrets } from './cluster-contract-objects.ts';
import { describePods } from './cluster-contract-pods.ts';
import { describeView } from './cluster-contract-view.ts';
import type { AccountWish, NamespaceWish, PodWish } from './fakes/builders.ts';

/** A Secret as somebody with the right to read it sees it. */
export interface SeenSecret {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Decoded from base64. */
  readonly data: Readonly<Record<string, string>>;
}

export interface SeenEvent {
  readonly reason: string;
  readonly type: string;
  readonly note: string;
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid: string };
}

/** A cluster under test, and the people and controllers in it, who have every right. */
export interface ContractWorld extends AsyncDisposable {
  /** As the worker. */
  readonly cluster: Cluster;
  /** The clock that cluster goes by. */
  readonly clock: Clock;
  /** Our own namespace. */
  readonly namespace: string;
  addNamespace(name: string, wish?: NamespaceWish): Promise<void>;
  labelNamespace(name: string, labels: Readonly<Record<string, string>>): Promise<void>;
  /** Its deletion begins, and does not end. */
  terminateNamespace(name: string): Promise<void>;
  addAccount(namespace: string, name: string, wish?: AccountWish): Promise<AccountView>;
  annotateAccount(
    namespace: string,
    name: string,
    annotations: Readonly<Record<string, string>>,
  ): Promise<void>;
  deleteAccount(namespace: string, name: string): Promise<void>;
  addPod(namespace: string, name: string, wish?: PodWish): Promise<PodView>;
  /** Undefined if there is no such pod. */
  gatesOf(namespace: string, name: string): Promise<readonly string[] | undefined>;
  startPod(namespace: string, name: string): Promise<void>;
  /** A PodDisruptionBudget that lets no pod of the namespace go. */
  holdPods(namespace: string): Promise<void>;
  /** Gives the worker the right that `heal: evict` needs. */
  allowEvictions(): Promise<void>;
  deletePod(namespace: string, name: string): Promise<void>;
  addOpaqueSecret(namespace: string, name: string, data: Readonly<Record<string, string>>): Promise<void>;
  secret(namespace: string, name: string): Promise<SeenSecret | undefined>;
  deleteSecret(namespace: string, name: string): Promise<void>;
  /** Somebody changes the record's metadata, and so its resource version. */
  annotateRecord(namespace: string, name: string): Promise<void>;
  hasRecord(namespace: string, name: string): Promise<boolean>;
  deleteRecord(namespace: string, name: string): Promise<void>;
  deleteLease(name: string): Promise<void>;
  events(namespace: string): Promise<readonly SeenEvent[]>;
  /** What `look` gives once it gives something; fails after `withinMs` (absent: 10 s of a fake cluster, a minute of a real one). */
  eventually<Seen>(
    what: string,
    look: () => Seen | undefined | Promise<Seen | undefined>,
    withinMs?: number,
  ): Promise<Seen>;
}

/** What the tests of one file use: the world, and names that no other test has. */
export interface ContractTools {
  world(): ContractWorld;
  cluster(): Cluster;
  /** Ends after 20 s of the cluster's time. */
  options(): CallOptions;
  /** A new opted-in namespace, unless its wish says otherwise. */
  addNamespace(wish?: NamespaceWish): Promise<string>;
  /** A new account in a namespace of its own. */
  addAccount(wish?: AccountWish): Promise<AccountView>;
}

const CALL_MS = 20_000;

/** Runs the suite on a world that `open` makes, once for all of its tests. */
export function describeCluster(open: () => Promise<ContractWorld>): ContractTools {
  let opened: ContractWorld | undefined;
  let number = 0;
  const world = () => {
    if (!opened) throw new Error('the world is not open');
    return opened;
  };
  const tools: ContractTools = {
    world,
    cluster: () => world().cluster,
    options: () => ({ signal: world().clock.deadline(CALL_MS) }),
    async addNamespace(wish) {
      const name = `team-${++number}`;
      await world().addNamespace(name, wish);
      return name;
    },
    addAccount: async (wish) => world().addAccount(await tools.addNamespace(), 'builder', wish),
  };

  beforeAll(async () => {
    opened = await open();
  });
  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]();
  });
  describeAccountsAndTokens(tools);
  describeRecordsAndSecrets(tools);
  describePods(tools);
  describeLeasesAndEvents(tools);
  describeView(tools);
  return tools;
}

/** The Problem of one of these codes that the promise rejects with; anything else fails the test. */
export async function problemOf(promise: Promise<unknown>, ...codes: ProblemCode[]): Promise<Problem> {
  const outcome = await promise.then(
    (value: unknown) => new Error(`it was not refused, but answered ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (isProblem(outcome, ...codes)) return outcome;
  if (isProblem(outcome)) {
    throw new Error(`expected ${codes.join(' or ')}, got ${outcome.code}: ${outcome.message}`, {
      cause: outcome,
    });
  }
  throw outcome;
}
