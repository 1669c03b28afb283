// The worker against a real API server with the shipped rights and fences: what is repaired, who mints, who is released.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createKubeCluster, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { loadConfig } from '../../src/config.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { createWorker, type Worker } from '../../src/credentials/worker.ts';
import { createLog } from '../../src/log.ts';
import { createExchange, type Exchange } from '../../src/registry/exchange.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { runKubectl } from '../../tools/kubectl.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena } from '../cluster/arena.ts';
import { Problem } from '../../src/problem.ts';
import { tokensIn } from '../cluster/burst.ts';
import { quietestOf } from '../quietest.ts';
import { OWN_NAMESPACE } from '../../tools/install.ts';

let arena: Arena;

beforeAll(async () => {
  arena = await openArena();
  await arena.start('webhook', 'webhook');
});

afterAll(() => arena[Symbol.asyncDispose]());

interface Replica extends AsyncDisposable {
  readonly cluster: KubeCluster;
  readonly worker: Worker;
}

interface ReplicaChoice {
  readonly exchange?: Exchange;
  /** Replaces calls of the cluster. */
  readonly change?: (cluster: KubeCluster) => Partial<KubeCluster>;
}

/** A worker in this process, with the worker's own identity. */
async function startReplica(
  name: string,
  { exchange = createExchange({ http: createHttpCall() }), change }: ReplicaChoice = {},
): Promise<Replica> {
  const log = createLog('silent');
  const real = await createKubeCluster(
    { kubeconfig: await arena.kubeconfig(), namespace: OWN_NAMESPACE },
    { pods: true },
    { clock: systemClock, log, onWatchRestart: () => undefined },
  );
  const cluster = { ...real, ...change?.(real) };
  const { rules, worker: limits } = loadConfig(arena.configFile);
  const worker = createWorker({
    cluster,
    exchange,
    clock: systemClock,
    log,
    identity: name,
    settings: () => ({ rules, ...limits }),
  });
  const stop = new AbortController();
  const running = Promise.all([real.run(stop.signal), worker.run(stop.signal)]);
  return {
    cluster,
    worker,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await real[Symbol.asyncDispose]();
    },
  };
}

async function secretOf(namespace: string, account: string) {
  const name = secretNameFor(account, 'team', '', HOST);
  const { body } = await arena.controlPlane.admin<{
    metadata?: { uid: string };
    data?: Record<string, string>;
  }>('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`);
  const config = Buffer.from(body.data?.['.dockerconfigjson'] ?? '', 'base64').toString();
  return { uid: body.metadata?.uid, isFilled: config.includes(HOST) };
}

const leads = (replica: Replica) =>
  waitUntil('the replica leads', async () => replica.worker.isLeading(), { deadlineMs: 60_000 });

describe('death of the worker', () => {
  const writes = ['createRecord', 'createSecret', 'mintToken', 'updateSecret', 'updateRecordStatus'] as const;

  test.each(writes)('after %s is repaired by the next one, in the same Secret', async (last) => {
    const namespace = `dead-after-${last.toLowerCase()}`;
    await arena.addNamespace(namespace);
    await arena.addAccounts(namespace, 1);
    const died = Promise.withResolvers<void>();
    {
      await using first = await startReplica(`first-${last}`, {
        change: (cluster) => dyingAfter(cluster, last, died.resolve),
      });
      await leads(first);
      await arena.waitForGates(namespace);
      await arena.addPods(namespace, 1, 1);
      await died.promise;
    }
    const before = await secretOf(namespace, 'account-0');

    await using second = await startReplica(`second-${last}`);
    await leads(second);
    await arena.waitForRelease(namespace, 30);

    const after = await secretOf(namespace, 'account-0');
    expect(after.isFilled).toBe(true);
    if (last !== 'createRecord') expect(after.uid).toBe(before.uid);
    expect(
      second.cluster.view.record(namespace, secretNameFor('account-0', 'team', '', HOST))?.status?.secretUid,
    ).toBe(after.uid);
  });
});

/** Once `last` has been done, nothing that this replica asks is answered any more: as after kill -9, but in this process. */
function dyingAfter(cluster: KubeCluster, last: keyof KubeCluster, died: () => void): Partial<KubeCluster> {
  let dead = false;
  const mortal = (name: keyof KubeCluster) => {
    const real = cluster[name] as (...args: unknown[]) => Promise<unknown>;
    return async (...args: unknown[]) => {
      if (dead) throw new Error('dead');
      const answer = await real(...args);
      const isDryRun = (args[1] as { dryRun?: boolean } | undefined)?.dryRun === true;
      if (name === last && !isDryRun) {
        dead = true;
        died();
      }
      if (dead) throw new Error('dead');
      return answer;
    };
  };
  const names = [
    'createRecord',
    'createSecret',
    'mintToken',
    'updateSecret',
    'updateRecordStatus',
    'removeGate',
  ] as const;
  return Object.fromEntries(names.map((name) => [name, mortal(name)]));
}

describe('the Lease', () => {
  test('an exchange that is slower than the Lease is made once', async () => {
    let exchanges = 0;
    const slow: Exchange = async (call, input) => {
      exchanges++;
      await systemClock.sleep(8_000);
      return createExchange({ http: createHttpCall() })(call, input);
    };
    await using one = await startReplica('slow-one', { exchange: slow });
    await using two = await startReplica('slow-two', { exchange: slow });
    await waitUntil('one of the two leads', async () => one.worker.isLeading() || two.worker.isLeading(), {
      deadlineMs: 60_000,
    });

    // On a machine that stands still for 5 s the Lease is lost, and what was under way is begun again.
    const made = await quietestOf(3, 2, async (round) => {
      const namespace = `slow-${round}`;
      await arena.addNamespace(namespace);
      await arena.addAccounts(namespace, 2);
      await arena.waitForGates(namespace);
      exchanges = 0;
      await arena.addPods(namespace, 4, 2);
      await arena.waitForRelease(namespace, 60);
      expect(tokensIn(arena, namespace)).toBe(exchanges);
      return exchanges;
    });

    expect(made).toBe(2);
  });

  test('a replica that wrongly takes the other for dead mints nothing', async () => {
    await arena.addNamespace('mistaken');
    await arena.addAccounts('mistaken', 5);
    await using living = await startReplica('living');
    await leads(living);
    let seen: ReturnType<KubeCluster['findLease']> | undefined;
    let attempts = 0;
    let minted = 0;
    await using mistaken = await startReplica('mistaken', {
      // It sees the Lease as it once was, for ever.
      change: (cluster) => ({
        findLease: (...args) => (seen ??= cluster.findLease(...args)),
        updateLease: (...args) => {
          attempts++;
          return cluster.updateLease(...args);
        },
        mintToken: (...args) => {
          minted++;
          return cluster.mintToken(...args);
        },
      }),
    });
    await waitUntil('the mistaken one has tried to take the Lease', async () => attempts > 0, {
      deadlineMs: 60_000,
    });

    await arena.waitForGates('mistaken');
    await arena.addPods('mistaken', 10, 5);
    await arena.waitForRelease('mistaken', 30);

    expect(mistaken.worker.isLeading()).toBe(false);
    expect(minted).toBe(0);
    expect(tokensIn(arena, 'mistaken')).toBe(5);
  });
});

/** A gated pod whose worker cannot issue anything, and dies. */
async function leaveGatedPod(namespace: string): Promise<void> {
  const down = () => Promise.reject(new Problem('cluster-unreachable', 'down'));
  await using first = await startReplica(`absent-${namespace}`, { change: () => ({ createRecord: down }) });
  await leads(first);
  await arena.waitForGates(namespace);
  await arena.addPods(namespace, 1, 1);
  const [pod] = await arena.pods(namespace);
  expect(pod?.spec.schedulingGates).toHaveLength(1);
}

describe('a gated pod', () => {
  test('that lost our label is released all the same', async () => {
    await arena.addNamespace('unlabelled');
    await arena.addAccounts('unlabelled', 1);
    await leaveGatedPod('unlabelled');
    const label = { metadata: { labels: { 'keyless-pull.dev/managed': null } } };
    await arena.controlPlane.admin('PATCH', '/api/v1/namespaces/unlabelled/pods/pod-0', label);

    await using next = await startReplica('next');
    await leads(next);

    await arena.waitForRelease('unlabelled', 30);
    expect((await secretOf('unlabelled', 'account-0')).isFilled).toBe(true);
  });

  test('that is older than its account is released with the credential of the new account', async () => {
    await arena.addNamespace('older');
    await arena.addAccounts('older', 1);
    await leaveGatedPod('older');
    await arena.controlPlane.admin('DELETE', '/api/v1/namespaces/older/serviceaccounts/account-0');
    await using next = await startReplica('next');
    await leads(next);
    await arena.addAccounts('older', 1);

    await arena.waitForRelease('older', 30);

    expect((await secretOf('older', 'account-0')).isFilled).toBe(true);
  });
});

describe('when all workers are dead', () => {
  test('pods are admitted with a warning, not gated', async () => {
    await arena.addNamespace('orphaned');
    await arena.addAccounts('orphaned', 1);
    await waitUntil(
      'the webhook knows that no worker lives',
      async () => !(await arena.wouldHold('orphaned')),
      {
        deadlineMs: 60_000,
      },
    );

    const { code, stderr } = await runKubectl(arena.controlPlane, [
      '-n',
      'orphaned',
      'run',
      'web',
      `--image=${HOST}/shop/web:1`,
    ]);

    const [pod] = await arena.pods('orphaned');
    expect(code).toBe(0);
    expect(stderr).toContain('no worker is alive');
    expect(pod?.spec.schedulingGates ?? []).toEqual([]);
    expect(pod?.spec.imagePullSecrets).toHaveLength(1);
  });
});
