// Accounts that are deleted and made again, or annotated anew, a hundred times in a row, on a real API server with its
// garbage collector: one Secret is left at last, and nothing is minted in a storm.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeJwt } from 'jose';
import { stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, HOST, openArena, type Arena, type Program } from '../cluster/arena.ts';
import { tokensIn } from '../cluster/burst.ts';
import { createTokenExchangeDouble, type TokenExchangeDouble } from '../fakes/token-exchange-double.ts';
import { trustOf } from './mortal-workers.ts';

const TIMES = 100;
const EXCHANGED_HOST = 'exchanged.team.example';
const EXCHANGED_AUDIENCE = 'exchanged.keyless-pull.example';
/** Who changes an account is given a new credential at most so often. */
const SHORTEST_LIFE_SECONDS = 10;

let arena: Arena;
let worker: Program;
let double: TokenExchangeDouble;

beforeAll(async () => {
  arena = await openArena({ audiences: [EXCHANGED_AUDIENCE] });
  const subjects = ['system:serviceaccount:annotated:account-0'];
  double = await createTokenExchangeDouble({
    clock: systemClock,
    trust: await trustOf(arena, subjects, EXCHANGED_AUDIENCE),
  });
  const certificateAuthorityFile = join(arena.controlPlane.folder, 'double-ca.pem');
  writeFileSync(certificateAuthorityFile, double.certificateAuthorityPem);
  const rules = [
    { name: 'team', hosts: [HOST], audience: AUDIENCE, exchange: { kind: 'pass-through' } },
    {
      name: 'exchanged',
      hosts: [EXCHANGED_HOST],
      audience: EXCHANGED_AUDIENCE,
      exchange: { kind: 'token-exchange', endpoint: double.tokenUrl, certificateAuthorityFile },
      parameters: { 'username-claim': { from: 'annotation' } },
    },
  ];
  writeFileSync(arena.configFile, stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules }));
  await arena.start('webhook', 'webhook');
  worker = await arena.start('worker', 'worker');
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 60_000 });
  await waitForCollector();
});

/** The garbage collector looks every 30 s which kinds there are: before that nothing of ours is taken away. */
async function waitForCollector(): Promise<void> {
  await arena.addNamespace('first');
  await arena.addAccounts('first', 1);
  await addPod('first', 'only', HOST);
  const records = () => recordsOf('first');
  await waitUntil('there is a record', async () => (await records()).length === 1, { deadlineMs: 30_000 });
  await arena.controlPlane.admin('DELETE', '/api/v1/namespaces/first/pods/only');
  await arena.controlPlane.admin('DELETE', `${accountsPath('first')}/account-0`);
  await waitUntil('it goes with its account', async () => (await records()).length === 0, {
    deadlineMs: 90_000,
  });
}

afterAll(async () => {
  await arena[Symbol.asyncDispose]();
  await double[Symbol.asyncDispose]();
});

interface Listed {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly serviceAccount: { readonly uid: string } };
  readonly status?: {
    readonly secretUID?: string;
    readonly conditions: readonly { readonly status: string; readonly reason: string }[];
  };
}

async function list(path: string): Promise<readonly Listed[]> {
  const { body } = await arena.controlPlane.admin<{ items: readonly Listed[] }>('GET', path);
  return body.items;
}

const accountsPath = (namespace: string) => `/api/v1/namespaces/${namespace}/serviceaccounts`;
const secretsOf = (namespace: string) => list(`/api/v1/namespaces/${namespace}/secrets`);
const recordsOf = (namespace: string) =>
  list(`/apis/keyless-pull.dev/v1alpha1/namespaces/${namespace}/pullcredentials`);

async function accountUid(namespace: string): Promise<string | undefined> {
  const accounts = await list(accountsPath(namespace));
  return accounts.find(({ metadata }) => metadata.name === 'account-0')?.metadata.uid;
}

function loginIn(
  secret: Listed | undefined,
  host: string,
): { username: string; password: string } | undefined {
  const text = Buffer.from(secret?.data?.['.dockerconfigjson'] ?? '', 'base64').toString() || '{"auths":{}}';
  const { auths } = JSON.parse(text) as { auths: Record<string, { username: string; password: string }> };
  return auths[host];
}

async function addPod(namespace: string, name: string, host: string): Promise<void> {
  const containers = [{ name: 'app', image: `${host}/shop/web:1` }];
  const pod = { metadata: { name }, spec: { serviceAccountName: 'account-0', containers } };
  const { status } = await arena.controlPlane.admin('POST', `/api/v1/namespaces/${namespace}/pods`, pod);
  expect(status).toBe(201);
}

/** What the worker asked since then: the API server is to have no storm either. */
const callsSince = (at: number) =>
  arena.calls().filter((call) => call.receivedAt >= at && call.resource !== 'leases').length;

const linesWith = (text: string) =>
  worker
    .output()
    .split('\n')
    .filter((line) => line.includes(text)).length;

describe('an account', () => {
  test(`that is deleted and made again ${TIMES} times ends with one record and one Secret, those of its last life`, async () => {
    await arena.addNamespace('flapping');
    await arena.addAccounts('flapping', 1);
    await addPod('flapping', 'before', HOST);
    await waitUntil(
      'the first life has its credential',
      async () => (await recordsOf('flapping'))[0]?.status !== undefined,
      {
        deadlineMs: 30_000,
      },
    );
    const startedAt = systemClock.now();
    const { admin } = arena.controlPlane;

    for (let time = 0; time < TIMES; time++) {
      const deleted = await admin('DELETE', `${accountsPath('flapping')}/account-0`);
      const made = await admin('POST', accountsPath('flapping'), { metadata: { name: 'account-0' } });
      expect([deleted.status, made.status]).toEqual([200, 201]);
      await systemClock.sleep(100);
    }
    const seconds = (systemClock.now() - startedAt) / 1000;
    const uid = await accountUid('flapping');
    const isLast = async () => {
      const [records, secrets] = [await recordsOf('flapping'), await secretsOf('flapping')];
      return (
        records.length === 1 &&
        secrets.length === 1 &&
        records[0]?.spec?.serviceAccount.uid === uid &&
        records[0]?.status?.secretUID === secrets[0]?.metadata.uid &&
        loginIn(secrets[0], HOST) !== undefined
      );
    };
    await waitUntil('record and Secret are those of the last life', isLast, { deadlineMs: 90_000 });
    await addPod('flapping', 'after', HOST);
    await arena.waitForRelease('flapping', 60);

    const [record] = await recordsOf('flapping');
    const [secret] = await secretsOf('flapping');
    const claims = decodeJwt(loginIn(secret, HOST)?.password ?? '') as {
      'kubernetes.io'?: { serviceaccount?: { uid?: string } };
    };
    const minted = tokensIn(arena, 'flapping');
    console.log(
      `${TIMES} lives in ${seconds.toFixed(1)} s: ${minted} tokens, ${callsSince(startedAt)} calls, ${linesWith('credential not issued')} failures logged`,
    );
    expect(await isLast()).toBe(true);
    expect(secret?.metadata.name).toBe(secretNameFor('account-0', 'team', '', HOST));
    expect(secret?.metadata.ownerReferences?.map((owner) => owner.uid)).toEqual([record?.metadata.uid]);
    expect(record?.status?.conditions).toMatchObject([{ status: 'True', reason: 'issued' }]);
    expect(claims['kubernetes.io']?.serviceaccount?.uid).toBe(uid);
    expect(minted).toBeLessThanOrEqual(TIMES / 2);
    expect(callsSince(startedAt)).toBeLessThanOrEqual(10 * TIMES);
    expect(linesWith('"level":"error"')).toBe(0);
  });

  test(`that is annotated anew ${TIMES} times is exchanged once in ${SHORTEST_LIFE_SECONDS} s, and at last for what it says at last`, async () => {
    const { admin } = arena.controlPlane;
    const annotate = async (claim: string) => {
      const metadata = { annotations: { 'keyless-pull.dev/username-claim': claim } };
      const { status } = await admin('PATCH', `${accountsPath('annotated')}/account-0`, { metadata });
      expect(status).toBe(200);
    };
    await arena.addNamespace('annotated');
    await arena.addAccounts('annotated', 1);
    await annotate('jti');
    await addPod('annotated', 'before', EXCHANGED_HOST);
    await waitUntil(
      'the credential is there',
      async () => loginIn((await secretsOf('annotated'))[0], EXCHANGED_HOST) !== undefined,
      {
        deadlineMs: 30_000,
      },
    );
    const startedAt = systemClock.now();
    double.requests.length = 0;

    for (let time = 1; time <= TIMES; time++) {
      await annotate(time % 2 === 0 ? 'sub' : 'jti');
      await systemClock.sleep(50);
    }
    await waitUntil(
      'the credential is what the account says at last',
      async () => loginIn((await secretsOf('annotated'))[0], EXCHANGED_HOST)?.username === double.username,
      { deadlineMs: 60_000 },
    );
    await systemClock.sleep(SHORTEST_LIFE_SECONDS * 1000);

    const seconds = (systemClock.now() - startedAt) / 1000;
    const { username = '', password = '' } = loginIn((await secretsOf('annotated'))[0], EXCHANGED_HOST) ?? {};
    console.log(`${TIMES} changes in ${seconds.toFixed(1)} s: ${double.requests.length} exchanges`);
    expect(double.accepts(username, password)).toBe(true);
    expect(double.requests.length).toBeLessThanOrEqual(seconds / SHORTEST_LIFE_SECONDS + 1);
    expect(await recordsOf('annotated')).toHaveLength(1);
    expect(linesWith('"level":"error"')).toBe(0);
  });
});
