// A user's cluster in memory, for what the commands make of it; test/cluster/status.test.ts has the real one.
import { Problem } from '../../src/problem.ts';
import { viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import { viewRecord } from '../../src/core/pull-credential-record.ts';
import { createHandClock, type HandClock } from '../fakes/hand-clock.ts';
import type { CommandIo } from '../../src/cli/output.ts';
import type { UserCluster } from '../../src/cluster/user-cluster.ts';
import type { UserEvent } from '../../src/cluster/user-events.ts';

export interface FakeUserCluster extends UserCluster {
  readonly clock: HandClock;
  readonly podObjects: Record<string, unknown>[];
  readonly recordObjects: unknown[];
  readonly userEvents: UserEvent[];
  readonly accountObjects: Record<string, unknown>[];
  namespaceLabels: Record<string, string>;
  lease: { holder: string; renewedAt: number } | undefined;
  /** Names of calls that are answered 403. */
  readonly forbidden: Set<keyof UserCluster>;
  /** Every call throws it. */
  trouble: Problem | undefined;
  readonly released: string[];
}

export function refusal(): Problem {
  return new Problem('cluster-refused', 'refused with 403 Forbidden', {
    details: { upstream: '403 Forbidden' },
  });
}

export function createFakeUserCluster(): FakeUserCluster {
  const clock = createHandClock();
  const unused = () => Promise.reject(new Error('the commands do not call this'));
  const guard = (name: keyof UserCluster) => {
    if (fake.trouble) throw fake.trouble;
    if (fake.forbidden.has(name)) throw refusal();
  };
  const nameIn = (object: unknown) => viewPod(object).name;
  const fake: FakeUserCluster = {
    clock,
    namespace: 'shop',
    podObjects: [],
    recordObjects: [],
    userEvents: [],
    accountObjects: [{ metadata: { namespace: 'shop', name: 'web', uid: 'uid-web' } }],
    namespaceLabels: { 'keyless-pull.dev/inject': 'enabled' },
    lease: { holder: 'worker-1', renewedAt: clock.now() },
    forbidden: new Set(),
    trouble: undefined,
    released: [],
    read: unused,
    call: unused,
    list: unused,
    listMetadata: unused,
    ask: unused,
    find: unused,
    pages: () => {
      throw new Error('the commands do not call this');
    },
    lines: () => {
      throw new Error('the commands do not call this');
    },
    token: unused,
    async pods(of) {
      guard('pods');
      return fake.podObjects.filter((pod) => of === undefined || viewPod(pod).namespace === of);
    },
    async records(of) {
      guard('records');
      return fake.recordObjects
        .map(viewRecord)
        .filter((record) => of === undefined || record.namespace === of);
    },
    async events(_of, kind, name) {
      guard('events');
      return fake.userEvents.filter((event) => event.kind === kind && event.name === name);
    },
    async findPod(_of, name) {
      guard('findPod');
      return fake.podObjects.find((pod) => nameIn(pod) === name);
    },
    async findAccount(_of, name) {
      guard('findAccount');
      return fake.accountObjects.map(viewAccount).find((account) => account.name === name);
    },
    async findNamespace(name) {
      guard('findNamespace');
      return viewNamespace({ metadata: { name, labels: fake.namespaceLabels } });
    },
    async findLease() {
      guard('findLease');
      return fake.lease;
    },
    async releaseGate({ namespace, name }) {
      guard('releaseGate');
      fake.released.push(`${namespace}/${name}`);
      return 'released';
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  return fake;
}

const NOW = Date.parse('2026-11-21T12:00:00Z');
export const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();

export const SECRET = 'keyless-pull-web-team-h1';
export const HOST = 'registry.team.example';

/** `reason` other than `issued`: not ready. */
export function recordObject({ name = SECRET, reason = 'issued', message = 'all is well', more = {} } = {}) {
  const isReady = reason === 'issued';
  return {
    metadata: { namespace: 'shop', name, uid: `uid-${name}` },
    spec: {
      serviceAccount: { name: 'web', uid: 'uid-web' },
      rule: 'team',
      registry: HOST,
      secretName: name,
    },
    status: {
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False', reason, message }],
      ...(isReady && { issuedAt: at(-600), expiresAt: at(3000), refreshAt: at(1500) }),
      ...more,
    },
  };
}

/** Of account web, with the reference that admission gives. `seconds`: how long it has been there. */
export function podObject({
  name = 'web-1',
  seconds = 5,
  gated = false,
  image = `${HOST}/shop/web:1`,
  status = {},
} = {}) {
  return {
    metadata: {
      namespace: 'shop',
      name,
      uid: `uid-${name}`,
      creationTimestamp: at(-seconds),
      annotations: { 'keyless-pull.dev/credentials': `team=${SECRET}` },
    },
    spec: {
      serviceAccountName: 'web',
      containers: [{ name: 'app', image }],
      imagePullSecrets: [{ name: SECRET }],
      ...(gated && { schedulingGates: [{ name: 'keyless-pull.dev/credentials' }] }),
    },
    status: { phase: 'Pending', ...status },
  };
}

export interface Printed extends CommandIo {
  readonly stop: AbortController;
  stdout: string;
  stderr: string;
}

export function createPrinted(): Printed {
  const stop = new AbortController();
  const printed: Printed = {
    stop,
    stdout: '',
    stderr: '',
    out: (text) => void (printed.stdout += text),
    err: (text) => void (printed.stderr += text),
    readStdin: async () => '',
    signal: stop.signal,
    isTerminal: false,
  };
  return printed;
}
