// The crowd: 200 pods of 50 accounts that nobody has seen before, all at once, on one node.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../tools/processes.ts';
import { stoodStill } from '../awake-clock.ts';
import { inNamespace, makeApp, onThisNode, openNodeArena, type NodeArena } from './node-arena.ts';

const PODS = 200;
const ACCOUNTS = 50;

let e2e: NodeArena;

beforeAll(async () => {
  e2e = await openNodeArena({ node: () => ({ settings: { maxPods: PODS + 10 } }) });
});

afterAll(() => e2e?.[Symbol.asyncDispose]());

/** @returns what went wrong with pulls */
async function runCrowd(namespace: string, image: string): Promise<string[]> {
  await e2e.arena.addNamespace(namespace);
  await e2e.arena.addAccounts(namespace, ACCOUNTS);
  const crowd = inNamespace(e2e, namespace);
  const names = Array.from({ length: PODS }, (_, at) => `pod-${at}`);
  const startedAt = performance.now();

  await Promise.all(
    names.map((name, at) =>
      crowd.createPod(
        name,
        onThisNode(`account-${at % ACCOUNTS}`, {
          containers: [{ name: 'app', image }],
        }),
      ),
    ),
  );
  await crowd.waitForPhase('Running', names, 480);

  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`${PODS} pods of ${ACCOUNTS} accounts run after ${seconds} s`);
  // Otherwise nothing was held, and nothing would have been shown.
  await waitUntil(
    'as many releases as there are accounts are told',
    async () => {
      const released = (await crowd.events()).filter(({ reason }) => reason === 'PodReleased').length;
      if (released < ACCOUNTS) throw new Error(`${released} of ${ACCOUNTS}`);
      return true;
    },
    { deadlineMs: 60_000, everyMs: 500 },
  );
  return crowd.pullTrouble();
}

async function sendHome(namespace: string): Promise<void> {
  const { must, pods } = inNamespace(e2e, namespace);
  await must('DELETE', `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=1`);
  await waitUntil('the crowd is gone', async () => (await pods()).length === 0, { deadlineMs: 300_000 });
}

test(`${PODS} pods of ${ACCOUNTS} new accounts run, and not one pull has failed`, async () => {
  const image = await e2e.team.push('crowd', await makeApp('crowd'));
  let trouble: string[] = [];
  for (let round = 1; round <= 3; round++) {
    const before = stoodStill();
    trouble = await runCrowd(`crowd-${round}`, image);
    // A kubelet gives a Secret one second to arrive: one that stood still with the machine has not waited for it.
    if (trouble.length === 0 || stoodStill() === before) break;
    console.log(
      `the machine stood still for ${stoodStill() - before} ms, so once more:\n${trouble.join('\n')}`,
    );
    await sendHome(`crowd-${round}`);
  }
  expect(trouble).toEqual([]);
}, 1_800_000);
