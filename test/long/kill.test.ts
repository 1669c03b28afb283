// kill -9, exactly before and exactly after each call that an issue or a renewal makes: the next worker brings everything
// to its end, in the same Secret, and makes no more than was lost.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { waitUntil } from '../../tools/processes.ts';
import { awakeNow, whileAwake } from '../awake-clock.ts';
import { HOST, type StoredPod } from '../cluster/arena.ts';
import type { Hold } from '../cluster/holding-proxy.ts';
import { NAMESPACE, openMortalWorkers, STEPS, type MortalWorkers, type Step } from './mortal-workers.ts';

const SIDES = ['before', 'after'] as const;
const ISSUE_ROUNDS = 8;
const RENEWAL_ROUNDS = 12;
/** Of so many kills one leaves the Lease alone: for the others it is ended as its 6 s would end it. */
const LEASE_RUNS_OUT_EVERY = 50;
/** No exchange takes longer. */
const EXCHANGE_MS = 30_000;
const RENEWED = STEPS.slice(STEPS.indexOf('token'), STEPS.indexOf('gate'));

interface Point {
  readonly step: Step;
  readonly when: Hold['when'];
}
const pointsOf = (steps: readonly Step[]): Point[] =>
  steps.flatMap((step) => SIDES.map((when) => ({ step, when })));
const times = <T>(count: number, items: readonly T[]): T[] =>
  Array.from({ length: count }, () => items).flat();

const deathsInIssue = times(ISSUE_ROUNDS, pointsOf(STEPS)).map((point, at) => ({
  ...point,
  account: `account-${at}`,
}));
const deathsInRenewal = times(RENEWAL_ROUNDS, pointsOf(RENEWED));
const accounts = deathsInIssue.map(({ account }) => account);

let workers: MortalWorkers;
let kills = 0;
const takeOvers: number[] = [];
/** Of Secrets, as they were first seen. */
const uids = new Map<string, string>();

beforeAll(async () => {
  workers = await openMortalWorkers(accounts);
  await workers.leading();
  await workers.arena.addNamespace(NAMESPACE);
  await workers.arena.addAccounts(NAMESPACE, accounts.length);
  await waitUntil('pods are held', () => isHeld('?dryRun=All', 'account-0'), { deadlineMs: 30_000 });
});

afterAll(() => workers[Symbol.asyncDispose]());

async function isHeld(query: string, account: string): Promise<boolean> {
  const containers = [{ name: 'app', image: `${HOST}/shop/web:1` }];
  const pod = { metadata: { name: account }, spec: { serviceAccountName: account, containers } };
  const { admin } = workers.arena.controlPlane;
  const path = `/api/v1/namespaces/${NAMESPACE}/pods${query}`;
  const body = await whileAwake(async () => {
    const answer = await admin<StoredPod>('POST', path, pod);
    expect(answer.status).toBe(201);
    return answer.body;
  });
  return (body.spec.schedulingGates ?? []).length === 1;
}

async function get<T>(path: string): Promise<T | undefined> {
  const { status, body } = await workers.arena.controlPlane.admin<T>('GET', path);
  return status === 200 ? body : undefined;
}

interface StoredSecret {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly data: Readonly<Record<string, string>>;
}

interface StoredRecord {
  readonly status?: {
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
    }[];
    readonly expiresAt: string;
    readonly tokenID: string;
    readonly secretUID: string;
  };
}

const CORE = `/api/v1/namespaces/${NAMESPACE}`;
const RECORDS = `/apis/keyless-pull.dev/v1alpha1/namespaces/${NAMESPACE}/pullcredentials`;
const nameOf = (account: string) => secretNameFor(account, 'team', '', HOST);
const secretOf = (account: string) => get<StoredSecret>(`${CORE}/secrets/${nameOf(account)}`);
const recordOf = (account: string) => get<StoredRecord>(`${RECORDS}/${nameOf(account)}`);

/** @throws what does not hold: the Secret has a login that was made for its account, and the record speaks of just that one */
async function expectRight(account: string): Promise<void> {
  const [secret, record] = [await secretOf(account), await recordOf(account)];
  const text = Buffer.from(secret?.data['.dockerconfigjson'] ?? '', 'base64').toString() || '{"auths":{}}';
  const { auths } = JSON.parse(text) as { auths: Record<string, { password: string }> };
  const { password = '' } = auths[HOST] ?? {};
  const issued = workers.issued.get(password);
  const ready = record?.status?.conditions.find(({ type }) => type === 'Ready');

  expect(Object.keys(auths)).toEqual([HOST]);
  expect(workers.accepts(password)).toBe(true);
  expect(issued?.account).toBe(account);
  expect(ready).toMatchObject({ status: 'True', reason: 'issued' });
  expect(record?.status?.tokenID).toBe(issued?.tokenId);
  // Counted from when it was asked for: the record is never later than the service, and earlier by an exchange at most.
  const early = (issued?.expiresAt ?? 0) - Date.parse(record?.status?.expiresAt ?? '');
  expect(early).toBeGreaterThanOrEqual(0);
  expect(early).toBeLessThan(EXCHANGE_MS);
  expect(record?.status?.secretUID).toBe(secret?.metadata.uid);
  expect(secret?.metadata.uid).toBe(uids.get(account) ?? secret?.metadata.uid);
  uids.set(account, secret?.metadata.uid ?? '');
}

const comesRight = (account: string, also: () => Promise<boolean> = async () => true) =>
  waitUntil(
    `the credential of ${account} is right`,
    async () => {
      await expectRight(account);
      return also();
    },
    { deadlineMs: 30_000, everyMs: 100 },
  );

async function isReleased(account: string): Promise<boolean> {
  const pod = await get<StoredPod>(`${CORE}/pods/${account}`);
  return pod !== undefined && !pod.spec.schedulingGates?.length;
}

/** Kills whoever has been held, and remembers how long nobody led where the Lease had to run out. */
async function kill(): Promise<void> {
  const leavesLease = ++kills % LEASE_RUNS_OUT_EVERY === 0;
  await workers.kill(leavesLease);
  if (!leavesLease) return;
  const killedAt = awakeNow();
  await workers.leading();
  takeOvers.push((awakeNow() - killedAt) / 1000);
}

/** How often a call of the need may have been made in all: once more if it was done and what it was for was lost. */
function atMost(counted: Step, { step, when }: Point): number {
  const isDone = (one: Step) =>
    STEPS.indexOf(one) < STEPS.indexOf(step) || (one === step && when === 'after');
  return isDone(counted) && !isDone('status') ? 2 : 1;
}

/** Who is killed says nothing any more: these stood still for 5 s, on a machine that has too much to do. */
const leasesLost = () =>
  workers.programs.filter((program) => program.output().includes('"no longer leading"')).length;

const exchangesOf = (account: string) =>
  [...workers.issued.values()].filter((one) => one.account === account).length;

describe('a worker that is killed', () => {
  test(`at each of the 14 points of an issue, ${ISSUE_ROUNDS} times each, leaves nothing that the next one does not finish`, async () => {
    for (const { account, ...point } of deathsInIssue) {
      const held = workers.hold(point.step, point.when, account);
      expect(await isHeld('', account)).toBe(true);
      await held;
      const before = await secretOf(account);
      if (before) uids.set(account, before.metadata.uid);
      await kill();

      await comesRight(account, () => isReleased(account));
      const lost = leasesLost();
      const where = `killed ${point.when} ${point.step}`;
      expect(workers.minted(account), `tokens, ${where}`).toBeLessThanOrEqual(atMost('token', point) + lost);
      expect(exchangesOf(account), `exchanges, ${where}`).toBeLessThanOrEqual(
        atMost('exchange', point) + lost,
      );
    }
  });

  test(`at each of the 8 points of a renewal, ${RENEWAL_ROUNDS} times each, leaves the Secret good, and the next one renews it`, async () => {
    for (const { step, when } of deathsInRenewal) {
      const account = await workers.hold(step, when);
      const before = (await recordOf(account))?.status?.tokenID;
      const isWritten = step === 'status' && when === 'after';
      await kill();

      await comesRight(
        account,
        async () => isWritten || (await recordOf(account))?.status?.tokenID !== before,
      );
    }
  });

  test('has after 200 kills left one Secret and one record per account, all of them right, and no pod gated', async () => {
    for (const account of accounts) await comesRight(account, () => isReleased(account));
    const secrets = await get<{ items: StoredSecret[] }>(`${CORE}/secrets`);
    const records = await get<{ items: StoredRecord[] }>(RECORDS);
    const errors = workers.programs.flatMap((program) =>
      program
        .output()
        .split('\n')
        .filter((line) => line.includes('"level":"error"')),
    );

    expect(kills).toBeGreaterThanOrEqual(200);
    expect(secrets?.items.map(({ metadata }) => metadata.uid).sort()).toEqual([...uids.values()].sort());
    expect(records?.items).toHaveLength(accounts.length);
    expect(errors).toEqual([]);
    // 6 s from the last renewal that was seen, and the start of work.
    expect(Math.max(...takeOvers)).toBeLessThanOrEqual(8);
    console.log(
      `${kills} kills; where the Lease had to run out, the next one led after ${takeOvers.map((one) => one.toFixed(1)).join(', ')} s`,
    );
  });
});
