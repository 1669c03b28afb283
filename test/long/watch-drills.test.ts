// The connection to a real API server, broken in every way that networks, certificates and API servers know. What was changed
// meanwhile is seen when it is back, and nothing is done twice.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, type Arena } from '../cluster/arena.ts';
import { tokensIn } from '../cluster/burst.ts';
import { awakeNow } from '../awake-clock.ts';
import { startReplica, type Replica } from '../cluster/replica.ts';
import { startBreakableProxy } from '../fakes/breakable-proxy.ts';
import { startThrottlingFront } from '../fakes/throttling-front.ts';
import { leads, NAME, openDrillStage, type DrillStage } from './drill-stage.ts';

const WATCHES = ['managed-pods', 'namespaces', 'pending-pods', 'pullcredentials', 'serviceaccounts'];
/** What was missed is seen this long after its watch is back. */
const SEEN_MS = 2_000;
/** Two seconds, and what a loaded machine may add to a start or a stop. */
const SOON_MS = 5_000;

let stage: DrillStage;
let arena: Arena;

beforeAll(async () => {
  stage = await openDrillStage();
  ({ arena } = stage);
});

afterAll(() => stage[Symbol.asyncDispose]());

const until = (what: string, look: () => Promise<boolean> | boolean, seconds = 30) =>
  waitUntil(what, async () => look(), { deadlineMs: seconds * 1000 });

const label = (namespace: string, value: string) =>
  stage.must('PATCH', `/api/v1/namespaces/${namespace}`, { metadata: { labels: { drill: value } } });
const sees = ({ cluster }: Replica, namespace: string, value: string) =>
  cluster.view.namespace(namespace)?.labels['drill'] === value;

/** What the view has told of one namespace since the mark, each as `kind name gone`. */
function toldOf({ changes }: Replica, namespace: string, mark: number): string[] {
  return changes.slice(mark).flatMap(({ kind, gone, object }) => {
    const isOf = kind === 'namespace' ? object.name === namespace : object.namespace === namespace;
    return isOf ? [`${kind} ${object.name}${gone ? ' gone' : ''}`] : [];
  });
}

test('a status write that meets somebody else’s annotation is repeated, and both are there', async () => {
  let conflicts = 0;
  await using worker = await startReplica(arena, 'conflicting', {
    change: (cluster) => ({
      async updateRecordStatus(...args) {
        if (args[0].namespace === 'conflict' && conflicts++ === 1) await stage.annotate('conflict');
        return cluster.updateRecordStatus(...args);
      },
    }),
  });
  await leads(worker);
  await stage.openTeam('conflict');
  const before = await stage.record('conflict');

  await stage.makeDue('conflict', Date.now());
  await until('it is renewed', async () => {
    return (await stage.record('conflict')).status?.tokenID !== before.status?.tokenID;
  });

  const after = await stage.record('conflict');
  expect(after.metadata.annotations).toMatchObject({ drill: 'was here' });
  expect((await stage.credential('conflict')).claims.jti).toBe(after.status?.tokenID);
  expect(tokensIn(arena, 'conflict')).toBe(2);
  // The first credential, the renewal that met the annotation, and its repetition.
  expect(conflicts).toBe(3);
});

test('an API server that asks everybody to wait is asked no sooner, and nothing is lost', async () => {
  await using front = await startThrottlingFront(arena.controlPlane);
  const certificateAuthorityFile = join(arena.controlPlane.folder, 'front.pem');
  writeFileSync(certificateAuthorityFile, front.certificateAuthority);
  await using worker = await startReplica(arena, 'throttled', { url: front.url, certificateAuthorityFile });
  await leads(worker);
  await stage.waitForGates();
  await arena.addNamespace('throttled');
  await arena.addAccounts('throttled', 3);

  // The Lease has no time to wait: its holder would lose it.
  const refused = () =>
    front.requests.filter(({ path, isThrottled }) => isThrottled && !path.includes('/leases'));

  front.retryAfter = 2;
  await arena.addPods('throttled', 6, 3);
  await until('a call is refused', () => refused().length > 0);
  await systemClock.sleep(6_000);
  front.retryAfter = undefined;
  await arena.waitForRelease('throttled', 60);

  const calls = refused();
  const hasty = calls.filter((call, at) =>
    calls.slice(at + 1).some((next) => isSame(call, next) && next.at - call.at < 1_990),
  );
  expect(hasty.filter(({ method }) => method !== 'POST')).toEqual([]);
  expect(tokensIn(arena, 'throttled')).toBe(3);
});

const isSame = (one: { method: string; path: string }, other: { method: string; path: string }) =>
  one.method === other.method && one.path === other.path;

test('a token of our own that is dead is replaced by what its file has, and the watches come back', async () => {
  await using proxy = await startBreakableProxy(arena.controlPlane.url);
  const secrets = `/api/v1/namespaces/${OWN_NAMESPACE}/secrets`;
  const token = await boundToken(secrets);
  await using replica = await startReplica(arena, 'expiring', { url: proxy.url, works: false, token });
  await arena.addNamespace('expired');
  await until('it is seen', () => replica.cluster.view.namespace('expired') !== undefined);

  await stage.must('DELETE', `${secrets}/drill-token`);
  await until('the API server knows that the token is dead', () => isRefused(replica.cluster), 60);
  for (const connection of proxy.connections) connection.set('reset');
  await until('all watches are refused', () => restartedAll(replica, 2));

  await label('expired', 'meanwhile');
  const good = await serviceAccountToken(arena.controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
  const mark = replica.changes.length;
  writeFileSync(replica.tokenFile, good);
  const writtenAt = awakeNow();
  await until('the change is seen', () => sees(replica, 'expired', 'meanwhile'));

  const took = awakeNow() - writtenAt;
  console.log(`own token dead: seen ${(took / 1000).toFixed(1)} s after the file was right`);
  expect(took).toBeLessThan(SOON_MS);
  expect(toldOf(replica, 'expired', mark)).toEqual(['namespace expired']);
});

/** Every watch has failed so often since its start. */
const restartedAll = ({ restarts }: Replica, times: number) =>
  WATCHES.every((watch) => restarts.filter((restart) => restart.watch === watch).length >= times);

async function isRefused(cluster: KubeCluster): Promise<boolean> {
  const signal = systemClock.deadline(5_000);
  return cluster.findNamespace('expired', { signal }).then(
    () => false,
    (error: unknown) => String(error).includes('does not accept our own credentials'),
  );
}

/** It dies with its Secret. */
async function boundToken(secrets: string): Promise<string> {
  const { metadata } = (await stage.must('POST', secrets, { metadata: { name: 'drill-token' } })) as {
    metadata: { uid: string };
  };
  const path = `/api/v1/namespaces/${OWN_NAMESPACE}/serviceaccounts/${WORKER_ACCOUNT}/token`;
  const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: 'drill-token', uid: metadata.uid };
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { boundObjectRef } };
  const { status } = (await stage.must('POST', path, body)) as { status: { token: string } };
  return status.token;
}

test('an authority that is replaced is followed without a restart, and drops no connection', async () => {
  const { folder, certificateAuthorityFile, url, tokens } = arena.controlPlane;
  const names = ['server.pem', 'server-key.pem', 'ca.pem'].map((name) => join(folder, name));
  const before = names.map((name) => [name, readFileSync(name, 'utf8')] as const);
  await using proxy = await startBreakableProxy(url);
  await using replica = await startReplica(arena, 'trusting', { url: proxy.url, works: false });
  await arena.addNamespace('trusted');
  const authority = await createCertificateAuthority('the next authority');
  const { certificate, key } = await authority.issue(['127.0.0.1', 'localhost']);
  const after = [certificate, key, authority.certificate];
  const admin = async (method: 'GET' | 'PATCH', path: string, body?: unknown) =>
    (await apiClient({ url, certificateAuthorityFile }, tokens['admin'] ?? '')(method, path, body)).status;
  const relabel = async (value: string) =>
    expect(
      await admin('PATCH', '/api/v1/namespaces/trusted', { metadata: { labels: { drill: value } } }),
    ).toBe(200);

  try {
    for (const [at, name] of names.entries()) writeFileSync(name, after[at] ?? '');
    await until(
      'the API server shows the new certificate',
      async () => (await admin('GET', '/readyz')) === 200,
      90,
    );
    const signal = systemClock.deadline(10_000);
    const asked = Array.from({ length: 4 }, () => replica.cluster.findNamespace('trusted', { signal }));
    for (const found of await Promise.all(asked)) expect(found).toMatchObject({ name: 'trusted' });
    await relabel('old-watch');
    await until('the watch of before goes on', () => sees(replica, 'trusted', 'old-watch'));
    expect(replica.restarts).toEqual([]);

    for (const connection of proxy.connections) connection.set('reset');
    await relabel('new-watch');
    const cutAt = awakeNow();
    await until('the watches are back', () => sees(replica, 'trusted', 'new-watch'));
    console.log(`authority replaced: watches back ${((awakeNow() - cutAt) / 1000).toFixed(1)} s after a cut`);
  } finally {
    for (const [name, text] of before) writeFileSync(name, text);
    const isBack = async () => (await arena.controlPlane.admin('GET', '/readyz')).status === 200;
    await until('the API server shows the certificate of before', isBack, 90);
  }
});

test('a worker that is stopped hands the Lease over before it ends', async () => {
  const one = await arena.start('stopping', 'worker');
  await until('it leads', () => one.isLeading());
  const two = await arena.start('waiting', 'worker');

  one.kill('SIGTERM');
  const stoppedAt = awakeNow();
  await until('the other leads', () => two.isLeading());

  const took = awakeNow() - stoppedAt;
  console.log(`Lease released: the other led ${(took / 1000).toFixed(1)} s after SIGTERM`);
  // Who waits for it to run out waits for six seconds at least.
  expect(took).toBeLessThan(SOON_MS);
  two.kill('SIGTERM');
  await Promise.all([one.ended(), two.ended()]);
});

describe('two that both believe they lead', () => {
  test('leave a Secret that is good, and the late one writes nothing more', async () => {
    await using proxy = await startBreakableProxy(arena.controlPlane.url);
    let isArmed = false;
    const writes: string[] = [];
    const noted = (cluster: KubeCluster, ...names: (keyof KubeCluster)[]): Partial<KubeCluster> =>
      Object.fromEntries(
        names.map((name) => [
          name,
          (...args: unknown[]) => {
            writes.push(String(name));
            // From here on all that it says is on its way, and nothing arrives.
            if (isArmed && name === 'updateSecret') proxy.set('hold');
            return (cluster[name] as (...args: unknown[]) => Promise<unknown>)(...args);
          },
        ]),
      );
    await using late = await startReplica(arena, 'late', {
      url: proxy.url,
      change: (cluster) =>
        noted(
          cluster,
          'createRecord',
          'createSecret',
          'mintToken',
          'updateSecret',
          'updateRecordStatus',
          'removeGate',
        ),
    });
    await leads(late);
    await stage.openTeam('torn');
    const uid = (await stage.credential('torn')).uid;
    await using next = await startReplica(arena, 'next');
    isArmed = true;
    const first = (await stage.record('torn')).status;
    await stage.makeDue('torn', Date.now());

    await leads(next);
    expect(late.worker.isLeading()).toBe(false);
    const renewed = async () => (await stage.record('torn')).status?.tokenID !== first?.tokenID;
    await until('the next one has renewed', renewed);
    const nexts = await stage.credential('torn');
    expect(nexts.claims.jti).toBe((await stage.record('torn')).status?.tokenID);
    const said = writes.length;
    proxy.set('pass');
    await until(
      'the late write has arrived',
      async () => (await stage.credential('torn')).token !== nexts.token,
    );

    const stored = await stage.credential('torn');
    const { status } = await stage.record('torn');
    const review = { spec: { token: stored.token, audiences: [AUDIENCE] } };
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    expect(await stage.must('POST', path, review)).toMatchObject({ status: { authenticated: true } });
    expect(stored.uid).toBe(uid);
    expect(status?.tokenID).toBe(nexts.claims.jti);
    // It ends a little before the record says so, and is renewed long before that.
    const endsAt = (stored.claims.exp ?? 0) * 1000;
    expect(Date.parse(status?.expiresAt ?? '') - endsAt).toBeLessThan(60_000);
    expect(Date.parse(status?.refreshAt ?? '')).toBeLessThan(endsAt - 300_000);
    expect(tokensIn(arena, 'torn')).toBe(3);

    await stage.makeDue('torn', Date.now());
    const isOneAgain = async () => {
      const [credential, record] = [await stage.credential('torn'), await stage.record('torn')];
      return credential.claims.jti === record.status?.tokenID && credential.claims.jti !== nexts.claims.jti;
    };
    await until('the next renewal makes both one again', isOneAgain);
    expect(late.worker.isLeading()).toBe(false);
    expect(writes.slice(said)).toEqual([]);
    expect(tokensIn(arena, 'torn')).toBe(4);
  });
});

test('a watch that is half open is noticed after 90 s, and all that was missed is seen and done once', async () => {
  await using proxy = await startBreakableProxy(arena.controlPlane.url);
  await using quiet = await startReplica(arena, 'quiet', { works: false });
  await using cut = await startReplica(arena, 'cut', { url: proxy.url });
  await leads(cut);
  await stage.openTeam('renewed');
  await stage.openTeam('deleted');
  await arena.addNamespace('half-open');
  await arena.addAccounts('half-open', 2);
  await stage.waitForGates();
  await stage.makeDue('renewed', Date.now() + 20_000);
  const before = { renewed: await stage.record('renewed'), deleted: await stage.record('deleted') };
  const isKnown = () => {
    const record = cut.cluster.view.record('renewed', NAME);
    const refreshAt = Date.parse(before.renewed.status?.refreshAt ?? '');
    return (
      record?.status?.refreshAt === refreshAt &&
      cut.cluster.view.account('half-open', 'account-1') !== undefined
    );
  };
  await until('it knows all of that', isKnown);
  const mark = { changes: cut.changes.length, restarts: cut.restarts.length, quiet: quiet.restarts.length };

  for (const connection of proxy.connections) connection.set('swallow');
  const cutAt = awakeNow();
  await label('half-open', 'changed');
  await stage.annotate('renewed');
  const accounts = '/api/v1/namespaces/half-open/serviceaccounts';
  await stage.must('DELETE', `${accounts}/account-1`);
  await stage.must('POST', accounts, { metadata: { name: 'late' } });
  await stage.must('DELETE', `/apis/keyless-pull.dev/v1alpha1/namespaces/deleted/pullcredentials/${NAME}`);
  await arena.addPods('half-open', 1, 1);
  const seesAll = ({ cluster: { view } }: Replica) =>
    view.namespace('half-open')?.labels['drill'] === 'changed' &&
    !view.account('half-open', 'account-1') &&
    view.account('half-open', 'late') !== undefined &&
    view.record('deleted', NAME)?.uid !== before.deleted.metadata.uid &&
    [...view.pods()].some(({ namespace }) => namespace === 'half-open');
  await until('who is not cut off sees it at once', () => seesAll(quiet));
  expect(seesAll(cut)).toBe(false);
  await until('what came due is renewed meanwhile', async () => {
    return (await stage.record('renewed')).status?.tokenID !== before.renewed.status?.tokenID;
  });
  expect(seesAll(cut)).toBe(false);

  await until('all that was missed is seen', () => seesAll(cut), 120);
  const seenAt = awakeNow();
  await arena.waitForRelease('half-open', 30);
  await until('the deleted one is back', async () => {
    const { status } = await stage.record('deleted');
    return status !== undefined && (await stage.credential('deleted')).claims.jti === status.tokenID;
  });

  const restarts = cut.restarts.slice(mark.restarts);
  expect(restarts.map(({ watch }) => watch).toSorted()).toEqual(WATCHES);
  const lastAt = Math.max(...restarts.map(({ at }) => at));
  console.log(
    `half open: given up after ${((lastAt - cutAt) / 1000).toFixed(1)} s, all seen ${((seenAt - lastAt) / 1000).toFixed(1)} s later`,
  );
  expect(lastAt - cutAt).toBeLessThan(90_000 + SOON_MS);
  expect(seenAt - lastAt).toBeLessThan(SEEN_MS);
  const told = toldOf(cut, 'half-open', mark.changes).filter((each) => !/^(pod|record)/.test(each));
  expect(told.toSorted()).toEqual(['account account-1 gone', 'account late', 'namespace half-open']);
  expect(tokensIn(arena, 'half-open')).toBe(1);
  expect(tokensIn(arena, 'renewed')).toBe(2);
  expect(tokensIn(arena, 'deleted')).toBe(2);
  // Bookmarks kept the other's watches alive, though nothing happened in most of them.
  expect(quiet.restarts.slice(mark.quiet)).toEqual([]);
});

test('an API server that is away for a minute loses nothing', async () => {
  await using worker = await startReplica(arena, 'patient');
  await leads(worker);
  await stage.openTeam('down');
  await stage.waitForGates();
  const before = await stage.record('down');
  const uid = (await stage.credential('down')).uid;
  await stage.makeDue('down', Date.now() + 15_000);
  const minted = tokensIn(arena, 'down');

  await arena.controlPlane.stopApiServer();
  const awayAt = performance.now();
  await systemClock.sleep(30_000);
  expect(worker.worker.isLeading()).toBe(false);
  await systemClock.sleep(30_000 - Math.max(0, performance.now() - awayAt - 30_000));
  await arena.controlPlane.startApiServer();
  const backAt = performance.now();
  await until('the API server takes new namespaces', () =>
    arena.addNamespace('after').then(
      () => true,
      () => false,
    ),
  );
  await arena.addAccounts('after', 2);
  await arena.addPods('after', 4, 2);
  await arena.waitForRelease('after', 60);
  await until('every watch is back', () => worker.cluster.view.account('after', 'account-1') !== undefined);
  const isFilled = async () => {
    const { status } = await stage.record('after').catch(() => ({ status: undefined }));
    return status !== undefined && (await stage.credential('after')).claims.jti === status.tokenID;
  };
  await until('the new ones have their credential', isFilled);
  console.log(
    `away for a minute: new pods served ${((performance.now() - backAt) / 1000).toFixed(1)} s after it was ready`,
  );
  await until('what came due is renewed', async () => {
    return (await stage.record('down')).status?.tokenID !== before.status?.tokenID;
  });

  const credential = await stage.credential('down');
  expect(credential.uid).toBe(uid);
  expect(credential.claims.jti).toBe((await stage.record('down')).status?.tokenID);
  expect(tokensIn(arena, 'down') - minted).toBe(1);
  await until('both accounts have theirs', () => tokensIn(arena, 'after') === 2);
  const emptied = arena
    .calls()
    .filter(
      ({ resource, verb, namespace }) => resource === 'secrets' && verb === 'update' && namespace === 'down',
    );
  // The first credential and its renewal.
  expect(emptied).toHaveLength(2);
});
