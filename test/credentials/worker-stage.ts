// A worker on the fake cluster under a clock that is moved by hand, and a registry that a test scripts.
import { createHandClock, type HandClock } from '../fakes/hand-clock.ts';
import {
  createFakeCluster,
  type FakeClient,
  type FakeCluster,
  type FakeVerb,
} from '../fakes/fake-cluster.ts';
import { plannedOf, ruleFrom, TEST_HOST, type PodWish } from '../fakes/builders.ts';
import type { Clock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import type { PodView } from '../../src/core/pod-view.ts';
import type { PlannedNeed } from '../../src/core/pull-plan.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import { createCaretaker } from '../../src/credentials/caretaker.ts';
import { createEndpointLimits } from '../../src/credentials/endpoint-limits.ts';
import { createIssuer } from '../../src/credentials/issuer.ts';
import { createKeeper, type Keeper } from '../../src/credentials/keeper.ts';
import { createPodGate } from '../../src/credentials/pod-gate.ts';
import { createRefreshWorker } from '../../src/credentials/refresh-worker.ts';
import { createWorker, type Worker, type WorkerSettings } from '../../src/credentials/worker.ts';
import { createLog, type Log } from '../../src/log.ts';
import { Problem, type ProblemCode, type ProblemDetails } from '../../src/problem.ts';
import type { Exchange } from '../../src/registry/exchange.ts';

export const NAMESPACE = 'team-a';
export const HOUR_MS = 3_600_000;

/** What one worker writes about a need, in the port's words. */
export const WRITES: readonly FakeVerb[] = [
  'createRecord',
  'createSecret',
  'mintToken',
  'updateSecret',
  'updateRecordStatus',
];

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** One exchange that was begun. */
export interface Asked {
  readonly account: string;
  readonly host: string;
  readonly at: number;
}

/** `repair`, `healing` or `end`, with the outcome. */
export type Counted = readonly [what: string, outcome: string];

export interface Loop {
  readonly cluster: FakeClient;
  readonly keeper: Keeper;
  /** Has the caretaker run beside the loop, until that stops; answers what it was told to count. */
  startCare(): Counted[];
  /** True at the start; the loop does nothing while it is false. */
  setLeading(isLeading: boolean): void;
  stop(): Promise<void>;
}

export interface Replica {
  readonly cluster: FakeClient;
  readonly worker: Worker;
  /** Settles when the worker has ended. */
  readonly running: Promise<void>;
  /** Tells it to end. */
  stop(): void;
}

export interface Stage {
  readonly clock: HandClock;
  readonly fake: FakeCluster;
  readonly log: Log;
  /** What was logged, oldest first. */
  readonly lines: LogLine[];
  /** What the worker is told by its config; may be changed at any time. */
  readonly settings: { -readonly [Key in keyof WorkerSettings]: WorkerSettings[Key] };
  /** What the registry answers; may be replaced at any time. */
  registry: Exchange;
  /** Exchanges so far; may be emptied. */
  readonly asked: Asked[];
  /** Asks `registry` and writes it down. */
  readonly exchange: Exchange;
  /** An account's first need under the first rule. */
  planned(account: string, host?: string): PlannedNeed;
  /** A pod of that account that names its Secrets, as the webhook leaves it. */
  addPod(name: string, wish?: PodWish): PodView;
  /** The pod has been scheduled and its images are there. */
  runPod(name: string): void;
  /** Which of the verbs were called since the last time, in order. */
  written(verbs?: readonly FakeVerb[]): FakeVerb[];
  /** `reason` of the events so far, oldest first. */
  told(): string[];
  /** The loop without a Lease. */
  startLoop(name?: string, clock?: Clock): Loop;
  /** The whole worker. */
  startWorker(name?: string): Replica;
}

/** Opens with one namespace, opted in, and one account `builder`. */
export function openStage(wish: Partial<WorkerSettings> = {}): Stage {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  const lines: LogLine[] = [];
  const log = createLog('debug', { write: (line) => void lines.push(JSON.parse(line) as LogLine) });
  const asked: Asked[] = [];
  fake.addNamespace(NAMESPACE);
  fake.addAccount(NAMESPACE, 'builder');

  const ruleOf = (host: string) => stage.settings.rules.find(({ hosts }) => hosts.includes(host));
  const hostsOf = ({ images }: PodWish) => (images ?? [TEST_HOST]).map((image) => image.split('/')[0] ?? '');

  const stage: Stage = {
    clock,
    fake,
    log,
    lines,
    settings: {
      rules: [ruleFrom()],
      needsPerPod: 8,
      needsPerAccount: 16,
      gateSeconds: 30,
      ratePerEndpoint: 10,
      burst: 50,
      unusedHours: 72,
      heal: 'report',
      ...wish,
    },
    registry: lasting(HOUR_MS / 1000),
    asked,
    exchange: (call, input) => {
      const { identity, host } = input.planned.need;
      asked.push({ account: identity.account, host, at: clock.now() });
      return stage.registry(call, input);
    },
    planned(account, host = TEST_HOST) {
      const found = fake.client().view.account(NAMESPACE, account);
      const rule = ruleOf(host);
      if (!found || !rule) throw new Error(`the stage has no account ${account} or no rule for ${host}`);
      return plannedOf(found, rule, host);
    },
    addPod(name, podWish = {}) {
      const secrets = hostsOf(podWish).flatMap((host) => {
        const rule = ruleOf(host);
        return rule ? [secretNameFor(podWish.serviceAccount ?? 'builder', rule.name, '', host)] : [];
      });
      return fake.addPod(NAMESPACE, name, {
        serviceAccount: 'builder',
        imagePullSecrets: secrets,
        ...podWish,
      });
    },
    runPod: (name) => {
      fake.changePod(NAMESPACE, name, (pod) => ({ ...pod, status: { phase: 'Running' } }));
    },
    written: (verbs = WRITES) =>
      fake.calls
        .splice(0)
        .map(({ verb }) => verb)
        .filter((verb) => verbs.includes(verb)),
    told: () => fake.events().map(({ reason }) => reason),
    startLoop(name = 'worker', ownClock = clock) {
      const cluster = fake.client(name);
      const lease = { isHeld: true };
      const isLeading = () => lease.isHeld;
      const settings = () => ({ ...stage.settings });
      const needsPerAccount = () => stage.settings.needsPerAccount;
      const rules = (): readonly RegistryRule[] => stage.settings.rules;
      const shared = { cluster, clock: ownClock, log, isLeading };
      const issuer = createIssuer({ ...shared, exchange: stage.exchange, needsPerAccount });
      const keeper = createKeeper({ ...shared, view: cluster.view, issuer });
      const podGate = createPodGate({ ...shared, keeper, settings });
      const limits = createEndpointLimits({ clock: ownClock, rate: settings });
      const refreshWorker = createRefreshWorker({ ...shared, keeper, issuer, podGate, limits, rules });
      const ending = new AbortController();
      const running = [refreshWorker.run(ending.signal)];
      return {
        cluster,
        keeper,
        startCare() {
          const counted: Counted[] = [];
          const caretaker = createCaretaker({
            ...shared,
            keeper,
            issuer,
            limits,
            settings,
            onRepair: (_rule, result) => counted.push(['repair', result]),
            onHealing: (outcome) => counted.push(['healing', outcome]),
            onRecordEnd: (reason) => counted.push(['end', reason]),
          });
          running.push(caretaker.run(ending.signal));
          return counted;
        },
        setLeading: (isHeld) => {
          lease.isHeld = isHeld;
        },
        async stop() {
          ending.abort();
          await clock.advance(0);
          await Promise.all(running);
        },
      };
    },
    startWorker(name = 'worker') {
      const cluster = fake.client(name);
      const settings = () => ({ ...stage.settings });
      const worker = createWorker({
        cluster,
        exchange: stage.exchange,
        clock,
        log,
        identity: name,
        settings,
      });
      const ending = new AbortController();
      return { cluster, worker, running: worker.run(ending.signal), stop: () => ending.abort() };
    },
  };
  return stage;
}

/** A registry that takes the token itself as the password, for so many seconds. */
export function lasting(seconds: number): Exchange {
  return async ({ clock }, { token, planned: { need } }) => ({
    hosts: [need.host],
    username: `${need.identity.namespace}/${need.identity.account}`,
    password: token,
    issuedAt: clock.now(),
    expiresAt: clock.now() + seconds * 1000,
  });
}

export function refusing(code: ProblemCode, message = 'not you', details: ProblemDetails = {}): Exchange {
  return async () => {
    throw new Problem(code, message, { details });
  };
}
