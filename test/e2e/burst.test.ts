// The crowd: 200 pods of 50 accounts that nobody has seen before, all at once, on one node.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../tools/processes.ts';
import { inNamespace, makeApp, onThisNode, openNodeArena, type NodeArena } from './node-arena.ts';

const PODS = 200;
const ACCOUNTS = 50;

let e2e: NodeArena;

beforeAll(async () => {
  e2e = await openNodeArena({ node: () => ({ settings: { maxPods: PODS + 10 } }) });
});

afterAll(() => e2e?.[Symbol.asyncDispose]());

test(`${PODS} pods of ${ACCOUNTS} new accounts run, and not one pull has failed`, async () => {
  const image = await e2e.team.push('crowd', await makeApp('crowd'));
  await e2e.arena.addNamespace('crowd');
  await e2e.arena.addAccounts('crowd', ACCOUNTS);
  const crowd = inNamespace(e2e, 'crowd');
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
  expect(await crowd.pullTrouble()).toEqual([]);
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
});
