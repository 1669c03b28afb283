// One burst of cold pods against two workers and a webhook, and everything that must hold afterwards.
import { expect } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { readAuditLog } from '../../tools/audit-log.ts';
import { WORKER_USER } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { awakeNow } from '../awake-clock.ts';
import { HOST, type Arena, type Program } from './arena.ts';

export interface Burst {
  readonly namespace: string;
  readonly pods: number;
  readonly accounts: number;
  /** Kills the working one when this many credentials are there. */
  readonly killAfter?: number;
}

export interface BurstResult {
  readonly exchanges: number;
  /** How often a worker that lives lost its Lease meanwhile, because this machine could not keep up: it may have asked again. */
  readonly leasesLost: number;
  readonly seconds: number;
  readonly secondsAfterKill: number;
  /** What was killed; it still says that it leads. */
  readonly killed: Program | undefined;
  /** Of all pods that were gated, from their creation to the removal of the gate, in seconds. */
  readonly longestWait: number;
}

/** One webhook, and two workers of which one leads. */
export async function startTwoWorkers(arena: Arena): Promise<{ webhook: Program; workers: Program[] }> {
  const webhook = await arena.start('webhook', 'webhook');
  const workers = [await arena.start('one', 'worker'), await arena.start('two', 'worker')];
  const oneLeads = async () => workers.some((worker) => worker.isLeading());
  await waitUntil('one of the two leads', oneLeads, { deadlineMs: 60_000 });
  return { webhook, workers };
}

/** @throws what a test shows when something does not hold */
export async function runBurst(
  arena: Arena,
  workers: readonly Program[],
  burst: Burst,
): Promise<BurstResult> {
  const { namespace, pods, accounts, killAfter } = burst;
  await arena.addNamespace(namespace);
  await arena.addAccounts(namespace, accounts);
  await arena.waitForGates(namespace);
  const before = tokensIn(arena, namespace);
  const lostBefore = leasesLost(workers);

  const startedAt = awakeNow();
  const adding = arena.addPods(namespace, pods, accounts);
  let killedAt = 0;
  let killed: Program | undefined;
  if (killAfter !== undefined) {
    await waitUntil(
      'the working one is in the middle',
      async () => tokensIn(arena, namespace) - before >= killAfter,
      { deadlineMs: 60_000, everyMs: 200 },
    );
    killed = workers.find((worker) => worker.isLeading());
    killed?.kill('SIGKILL');
    killedAt = awakeNow();
  }
  await adding;
  await arena.waitForRelease(namespace, 120);
  const endedAt = awakeNow();

  const waits = expectReleasedInOrder(arena, burst);
  await expectNoneWithout(arena, workers, burst);
  const exchanges = tokensIn(arena, namespace) - before;
  const throttled = arena.calls().filter(({ status }) => status === 429);
  expect(throttled).toHaveLength(0);
  return {
    exchanges,
    leasesLost: leasesLost(workers) - lostBefore,
    seconds: (endedAt - startedAt) / 1000,
    secondsAfterKill: killedAt ? (endedAt - killedAt) / 1000 : 0,
    killed,
    longestWait: Math.max(...waits) / 1000,
  };
}

/** No pod was released before its own Secret had been filled and its record had said so. @returns how long they waited, in ms */
function expectReleasedInOrder(arena: Arena, { namespace, pods, accounts }: Burst): number[] {
  const everybodys = readAuditLog(arena.controlPlane.auditLog ?? '')
    .filter((call) => call.namespace === namespace)
    // What a killed worker has asked for can be done, and written down as failed because nobody heard the answer: it counts last.
    .toSorted((one, other) => Number(!succeeded(one)) - Number(!succeeded(other)));
  const firstAt = (resource: string, verb: string, calls = everybodys) => {
    const instants = new Map<string, number>();
    for (const call of calls) {
      // What a worker tries, to learn a uid, writes nothing.
      if (call.path.includes('dryRun')) continue;
      if (call.resource === resource && call.verb === verb && !instants.has(call.name))
        instants.set(call.name, call.receivedAt);
    }
    return instants;
  };
  const ours = everybodys.filter(({ user }) => user === WORKER_USER);
  const createdAt = firstAt('pods', 'create');
  const filledAt = firstAt('secrets', 'update', ours);
  const toldAt = firstAt('pullcredentials/status', 'update', ours);
  const releasedAt = firstAt('pods', 'patch', ours);
  for (let at = 0; at < pods; at++) {
    const secret = secretNameFor(`account-${at % accounts}`, 'team', '', HOST);
    // A pod that came after its account's credential was never gated, and so never released.
    const released = releasedAt.get(`pod-${at}`) ?? Infinity;
    const steps = [filledAt.get(secret) ?? Number.NaN, toldAt.get(secret) ?? Number.NaN, released];
    expect(steps, `pod-${at} waits for ${secret}`).toEqual(steps.toSorted((one, other) => one - other));
    expect(steps[0]).toBeGreaterThan(0);
    expect(steps[1]).toBeGreaterThan(0);
  }
  expect(createdAt.size).toBe(pods);
  expect(releasedAt.size).toBeGreaterThanOrEqual(accounts);
  return [...releasedAt].map(([name, released]) => released - (createdAt.get(name) ?? Number.NaN));
}

function succeeded({ status }: { readonly status: number }): boolean {
  return [200, 201].includes(status);
}

function leasesLost(workers: readonly Program[]): number {
  return workers.reduce((sum, worker) => sum + worker.output().split('"no longer leading"').length - 1, 0);
}

/** No gate was opened for its age, and what the pods name lets them in. */
async function expectNoneWithout(
  arena: Arena,
  workers: readonly Program[],
  { namespace, accounts }: Burst,
): Promise<void> {
  const { admin } = arena.controlPlane;
  const events = await admin<{ items: { reason: string }[] }>(
    'GET',
    `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
  );
  expect(events.body.items.filter(({ reason }) => reason === 'PodReleasedLate')).toEqual([]);
  for (const worker of workers) expect(worker.output()).not.toContain('pod released without a credential');
  const secrets = await admin<{ items: { data?: Record<string, string> }[] }>(
    'GET',
    `/api/v1/namespaces/${namespace}/secrets`,
  );
  const usable = secrets.body.items.filter(({ data }) =>
    Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64')
      .toString()
      .includes(`"${HOST}"`),
  );
  expect(usable).toHaveLength(accounts);
  const names = Array.from({ length: accounts }, (_, at) =>
    secretNameFor(`account-${at}`, 'team', '', HOST),
  ).sort();
  const references = (await arena.pods(namespace)).flatMap(({ spec }) => spec.imagePullSecrets ?? []);
  expect([...new Set(references.map(({ name }) => name))].sort()).toEqual(names);
}

export function tokensIn(arena: Arena, namespace: string): number {
  return arena
    .calls()
    .filter(
      (call) =>
        call.namespace === namespace && call.resource === 'serviceaccounts/token' && call.status === 201,
    ).length;
}
