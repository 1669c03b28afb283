// The worker on the fake cluster in virtual time, with ten thousand accounts whose credentials live for an hour to twelve:
// a cold start, and then a day.
import { createCaretaker } from '../../src/credentials/caretaker.ts';
import { createEndpointLimits } from '../../src/credentials/endpoint-limits.ts';
import { createIssuer } from '../../src/credentials/issuer.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { createPodGate } from '../../src/credentials/pod-gate.ts';
import { createRefreshWorker } from '../../src/credentials/refresh-worker.ts';
import type { WorkerSettings } from '../../src/credentials/worker.ts';
import { createLog } from '../../src/log.ts';
import { isGated, viewPod, type PodView } from '../../src/core/pod-view.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { createFakeClient } from '../../test/fakes/fake-cluster-clients.ts';
import { createFakeFences } from '../../test/fakes/fake-cluster-fences.ts';
import { createFakeHands } from '../../test/fakes/fake-cluster-hands.ts';
import type { FakeCall } from '../../test/fakes/fake-cluster-network.ts';
import { createPlainStore, createPlainTokens } from './plain-store.ts';
import { ruleFrom, TEST_AUDIENCE } from '../../test/fakes/builders.ts';
import { viewRecord } from '../../src/core/pull-credential-record.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import type { Exchange } from '../../src/registry/exchange.ts';
import { createVirtualClock } from './virtual-clock.ts';

export interface DayWish {
  readonly needs: number;
  readonly hours: number;
  readonly ratePerEndpoint: number;
  readonly burst: number;
  readonly progress: (line: string) => void;
}

export interface Day {
  /** Until the last of all had its first credential. */
  readonly coldSeconds: number;
  readonly coldExchanges: number;
  readonly coldPeak: number;
  readonly coldRealSeconds: number;
  readonly renewals: number;
  /** Renewals that were due when they were made. */
  readonly due: number;
  /** Exchanges in the busiest second of the day. */
  readonly peak: number;
  /** Credentials that ended before they were renewed, or are not good at the end. */
  readonly expired: number;
  readonly puts: number;
  readonly statusWrites: number;
  /** Neither of those, nor a token: what nobody needs in a day of renewals. */
  readonly otherWrites: number;
  readonly dayRealSeconds: number;
  /** Of a core, the fake cluster and the clock included; milliseconds per virtual second. */
  readonly dayProcessorMs: number;
}

/** Shares and lives: Google's, Azure's and Amazon's. */
const LIVES = [
  { share: 0.1, seconds: 3_600 },
  { share: 0.3, seconds: 3 * 3_600 },
  { share: 0.6, seconds: 12 * 3_600 },
] as const;
const EXCHANGE_MS = 200;
const PULL_MS = 2_000;
const PER_NAMESPACE = 100;
const HOUR_MS = 3_600_000;

export async function liveOneDay({ needs, hours, ratePerEndpoint, burst, progress }: DayWish): Promise<Day> {
  const clock = createVirtualClock();
  const calls: FakeCall[] = [];
  const audiences = new Set<string>();
  const namespace = 'keyless-pull';
  const store = createPlainStore(clock);
  const tokens = createPlainTokens(clock);
  const fake = createFakeHands(store, tokens, clock);
  const cluster = createFakeClient(
    'worker',
    {},
    {
      store,
      tokens,
      clock,
      namespace,
      fences: createFakeFences(store, { namespace, audiences }),
      lagMs: 0,
      missingFences: () => [],
      hook: () => undefined,
      write: (call) => calls.push(call),
    },
  );
  const rules = LIVES.map(({ seconds }) =>
    ruleFrom({
      name: `life-${seconds}`,
      hosts: [`life-${seconds}.team.example`],
      audience: `${TEST_AUDIENCE}/${seconds}`,
      // All behind one gateway: one endpoint, one bucket.
      exchange: { kind: 'token-realm', endpoint: 'https://gateway.team.example' },
    }),
  );
  for (const { audience } of rules) audiences.add(audience);
  const asked: number[] = [];
  let due = 0;
  let expired = 0;
  const exchange: Exchange = async (_call, { token, planned: { need, rule } }) => {
    const now = clock.now();
    asked.push(now);
    const status = fake.record(need.identity.namespace, need.secretName)?.status;
    if (!status?.issuedAt || now >= status.refreshAt) due++;
    if (status?.issuedAt && now >= status.expiresAt) expired++;
    await clock.sleep(EXCHANGE_MS);
    const life = Number(rule.name.slice('life-'.length)) * 1000;
    return { hosts: [need.host], username: 'pods', password: token, issuedAt: now, expiresAt: now + life };
  };
  const SETTINGS: WorkerSettings = {
    rules,
    needsPerPod: 8,
    needsPerAccount: 16,
    gateSeconds: 30,
    ratePerEndpoint,
    burst,
    unusedHours: 72,
    heal: 'report',
  };
  const settings = () => SETTINGS;
  const log = createLog('silent');
  const shared = { cluster, clock, log, isLeading: () => true };
  const issuer = createIssuer({ ...shared, exchange, needsPerAccount: () => 16 });
  const keeper = createKeeper({ view: cluster.view, clock, issuer });
  const podGate = createPodGate({ ...shared, keeper, settings });
  const limits = createEndpointLimits({ clock, rate: settings });
  const worker = createRefreshWorker({ ...shared, keeper, issuer, podGate, limits, rules: () => rules });
  const caretaker = createCaretaker({ ...shared, keeper, issuer, limits, settings });

  runWhatIsReleased();
  for (let nth = 0; nth < needs; nth++) addPod(nth, needs);
  const ending = new AbortController();
  const coldFrom = clock.now();
  const coldRealFrom = process.hrtime.bigint();
  const running = Promise.all([worker.run(ending.signal), caretaker.run(ending.signal)]);
  const ready = () => fake.records().filter(({ status }) => status?.isReady).length;
  while (asked.length < needs && clock.now() - coldFrom < 4 * (needs / ratePerEndpoint) * 1000)
    await clock.pass(10_000);
  await clock.pass(10_000);
  const coldExchanges = asked.length;
  const coldSeconds =
    ready() === needs ? ((asked.at(-1) ?? Infinity) + EXCHANGE_MS - coldFrom) / 1000 : Infinity;
  const coldRealSeconds = secondsSince(coldRealFrom);
  const coldPeak = peakOf(asked);
  progress(
    `cold start of ${needs}: ${coldSeconds.toFixed(0)} virtual seconds in ${coldRealSeconds.toFixed(0)} real ones`,
  );

  await clock.pass(5_000);
  asked.length = 0;
  calls.length = 0;
  due = 0;
  let puts = 0;
  let statusWrites = 0;
  let otherWrites = 0;
  const dayFrom = process.hrtime.bigint();
  const processorFrom = process.cpuUsage();
  for (let hour = 1; hour <= hours; hour++) {
    await clock.pass(HOUR_MS);
    countWrites();
    if (hour % 4 === 0)
      progress(`hour ${hour}: ${asked.length} renewals, ${secondsSince(dayFrom).toFixed(0)} real seconds`);
  }
  const { user, system } = process.cpuUsage(processorFrom);
  const dayProcessorMs = (user + system) / 1000 / (hours * 3_600);
  await clock.pass(5_000);
  ending.abort();
  await clock.pass(EXCHANGE_MS);
  await running;
  countWrites();
  const bad = fake
    .records()
    .filter(({ status }) => !status?.isReady || status.expiresAt <= clock.now()).length;
  return {
    coldSeconds,
    coldExchanges,
    coldPeak,
    coldRealSeconds,
    renewals: asked.length,
    due,
    peak: peakOf(asked),
    expired: expired + bad + (needs - fake.records().length),
    puts,
    statusWrites,
    otherWrites,
    dayRealSeconds: secondsSince(dayFrom),
    dayProcessorMs,
  };

  function countWrites(): void {
    for (const { verb } of calls.splice(0)) {
      if (verb === 'updateSecret') puts++;
      else if (verb === 'updateRecordStatus') statusWrites++;
      else if (verb !== 'mintToken' && !verb.startsWith('find')) otherWrites++;
    }
  }

  /** A kubelet: pulls what is there to pull with, and hangs, and says so, where nothing is. */
  function runWhatIsReleased(): void {
    const pull = (namespace: string, name: string) => {
      const pod = store.get('pod', namespace, name);
      if (!pod) return;
      const view = viewPod(pod);
      if (!view.isPending || isGated(view)) return;
      const [secret = ''] = view.pullSecrets;
      const isReady = fake.record(namespace, secret)?.status?.isReady;
      if (isReady) store.write('pod', { ...pod, metadata: pod.metadata, status: { phase: 'Running' } });
      else if (view.failedImages.length === 0)
        store.write('pod', { ...pod, metadata: pod.metadata, status: hangingStatus(view) });
    };
    store.subscribe(({ kind, object }) => {
      const { namespace, name } = object.metadata;
      // Pods have the names of their accounts here.
      const pod = kind === 'record' ? viewRecord(object).account : name;
      if (kind === 'pod' || (kind === 'record' && object['status']))
        void clock.sleep(PULL_MS).then(() => pull(namespace, pod));
    });
  }

  function addPod(nth: number, of: number): void {
    const rule = ruleOf(rules, nth, of);
    const namespace = namespaceOf(nth);
    if (nth % PER_NAMESPACE === 0) fake.addNamespace(namespace);
    const serviceAccount = `app-${nth}`;
    const host = rule.hosts[0] ?? '';
    fake.addAccount(namespace, serviceAccount);
    fake.addPod(namespace, serviceAccount, {
      serviceAccount,
      images: [`${host}/app:1`],
      imagePullSecrets: [secretNameFor(serviceAccount, rule.name, '', host)],
    });
  }
}

function hangingStatus({ images }: PodView) {
  const state = { waiting: { reason: 'ImagePullBackOff' } };
  return { phase: 'Pending', containerStatuses: images.map(({ name }) => ({ name, state })) };
}

function namespaceOf(nth: number): string {
  return `team-${Math.floor(nth / PER_NAMESPACE)}`;
}

/** Mixed within every namespace, in the shares of `LIVES`. */
function ruleOf(rules: readonly RegistryRule[], nth: number, of: number): RegistryRule {
  let place = (((nth * 7_919) % of) + 0.5) / of;
  const found = LIVES.findIndex(({ share }) => (place -= share) < 0);
  const rule = rules[found];
  if (!rule) throw new RangeError('the shares of the lives are less than one');
  return rule;
}

/** Most of these instants within any one second. */
function peakOf(times: readonly number[]): number {
  let from = 0;
  let most = 0;
  for (const [at, time] of times.entries()) {
    while ((times[from] ?? time) <= time - 1_000) from++;
    most = Math.max(most, at - from + 1);
  }
  return most;
}

function secondsSince(from: bigint): number {
  return Number(process.hrtime.bigint() - from) / 1e9;
}
