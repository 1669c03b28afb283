// One burst of cold pods against two workers and a webhook, and everything that must hold afterwards.
import { expect } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { waitUntil } from '../../tools/processes.ts';
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
  readonly seconds: number;
  readonly secondsAfterKill: number;
}

/** One webhook, and two workers of which one leads. */
export async function startTwoWorkers(arena: Arena): Promise<{ webhook: Program; workers: Program[] }> {
  const webhook = await arena.start('webhook', 'webhook');
  const workers = [await arena.start('one', 'worker'), await arena.start('two', 'worker')];
  const oneLeads = async () => workers.some((worker) => worker.isLeading());
  await waitUntil('one of the two leads', oneLeads, { deadlineMs: 20_000 });
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
  const before = tokensIn(arena, namespace);

  const startedAt = performance.now();
  const adding = arena.addPods(namespace, pods, accounts);
  let killedAt = 0;
  if (killAfter !== undefined) {
    await waitUntil(
      'the working one is in the middle',
      async () => tokensIn(arena, namespace) - before >= killAfter,
      { deadlineMs: 60_000, everyMs: 200 },
    );
    workers.find((worker) => worker.isLeading())?.kill('SIGKILL');
    killedAt = performance.now();
  }
  await adding;
  await arena.waitForRelease(namespace, 120);
  const endedAt = performance.now();

  expectReleasedInOrder(arena, burst);
  const exchanges = tokensIn(arena, namespace) - before;
  const throttled = arena.calls().filter(({ status }) => status === 429);
  expect(throttled).toHaveLength(0);
  return {
    exchanges,
    seconds: (endedAt - startedAt) / 1000,
    secondsAfterKill: killedAt ? (endedAt - killedAt) / 1000 : 0,
  };
}

/** No pod was released before its own Secret had been filled. */
function expectReleasedInOrder(arena: Arena, { namespace, pods, accounts }: Burst): void {
  const calls = arena.calls().filter((call) => call.namespace === namespace && call.status === 200);
  const firstAt = (resource: string, verb: string) => {
    const instants = new Map<string, number>();
    for (const call of calls) {
      if (call.resource === resource && call.verb === verb && !instants.has(call.name))
        instants.set(call.name, call.receivedAt);
    }
    return instants;
  };
  const filledAt = firstAt('secrets', 'update');
  const releasedAt = firstAt('pods', 'patch');
  for (let at = 0; at < pods; at++) {
    const secret = secretNameFor(`account-${at % accounts}`, 'team', '', HOST);
    // A pod that came after its account's credential was never gated, and so never released.
    const steps = [filledAt.get(secret) ?? Number.NaN, releasedAt.get(`pod-${at}`) ?? Infinity];
    expect(steps, `pod-${at} waits for ${secret}`).toEqual(steps.toSorted((one, other) => one - other));
    expect(steps[0]).toBeGreaterThan(0);
  }
  expect(releasedAt.size).toBeGreaterThanOrEqual(accounts);
}

export function tokensIn(arena: Arena, namespace: string): number {
  return arena
    .calls()
    .filter(
      (call) =>
        call.namespace === namespace && call.resource === 'serviceaccounts/token' && call.status === 201,
    ).length;
}
