// What status says of credentials, pods that wait and the worker, how it ends, and what it never prints.
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { status, type StatusOptions } from '../../src/cli/status.ts';
import { Problem } from '../../src/problem.ts';
import { until } from '../cluster-edge/stub-api-server.ts';
import {
  createFakeUserCluster,
  createPrinted,
  podObject,
  recordObject,
  SECRET,
} from './fake-user-cluster.ts';

const OPTIONS: StatusOptions = { output: 'table', color: false, ownNamespace: 'keyless-pull' };

function open(change: (cluster: ReturnType<typeof createFakeUserCluster>) => void = () => undefined) {
  const cluster = createFakeUserCluster();
  change(cluster);
  const io = createPrinted();
  const run = (options: Partial<StatusOptions> = {}) =>
    status({ ...OPTIONS, ...options }, io, { cluster, clock: cluster.clock });
  return { cluster, io, run };
}

describe('once', () => {
  test('a line for each credential, the worker, and a summary', async () => {
    const { io, run } = open(({ recordObjects }) => recordObjects.push(recordObject()));

    expect(await run()).toBe(0);
    expect(io.stdout).toBe(
      `ACCOUNT  RULE  REGISTRY               PRINCIPAL  READY  REASON  EXPIRES IN  RENEWS IN  PROBLEM
web      team  registry.team.example  -          yes    issued  50m         25m

worker: worker-1, alive 0s ago
1 of 1 credential ready, 0 pods wait
`,
    );
  });

  test('an empty cluster with a worker is fine', async () => {
    const { io, run } = open();

    expect(await run()).toBe(0);
    expect(io.stdout).toBe('worker: worker-1, alive 0s ago\n0 of 0 credentials ready, 0 pods wait\n');
  });

  test('a credential that is refused is shown with its problem: 1', async () => {
    const { io, run } = open(({ recordObjects }) =>
      recordObjects.push(recordObject({ reason: 'exchange-refused', message: 'the registry says no' })),
    );

    expect(await run()).toBe(1);
    expect(io.stdout).toContain('no     exchange-refused  -           -          the registry says no\n');
    expect(io.stdout).toContain('0 of 1 credential ready');
  });

  test('a credential that has expired while nobody worked is not ready, whatever its record says', async () => {
    const { cluster, io, run } = open(({ recordObjects }) => recordObjects.push(recordObject()));
    await cluster.clock.advance(3_001_000);
    cluster.lease = { holder: 'worker-1', renewedAt: cluster.clock.now() };

    expect(await run()).toBe(1);
    expect(io.stdout).toContain('credential-expired  over        over');
  });

  test('a pod that waits says for what, and is a finding after a minute', async () => {
    const { cluster, io, run } = open((fake) =>
      fake.podObjects.push(podObject({ gated: true, seconds: 60 })),
    );

    expect(await run()).toBe(0);
    expect(io.stdout).toContain(`web-1        web      60s  ${SECRET}: no PullCredential yet\n`);
    expect(io.stdout).toContain('0 of 0 credentials ready, 1 pod waits\n');

    await cluster.clock.advance(1_000);
    expect(await run()).toBe(1);
    expect(io.stdout).toContain('1 pod waits, 1 for more than 60 s\n');
  });

  test('a pod whose credential is there waits for the worker', async () => {
    const { io, run } = open((fake) => {
      fake.recordObjects.push(recordObject());
      fake.podObjects.push(podObject({ gated: true }), podObject({ name: 'not-held' }));
    });

    expect(await run()).toBe(0);
    expect(io.stdout).toContain('its credentials are ready: the worker has to look\n');
    expect(io.stdout).not.toContain('not-held');
  });

  test.each([
    ['holds the Lease', undefined, 'no worker works: nobody holds the Lease'],
    [
      'has renewed it for two minutes',
      { holder: 'worker-1', renewedAt: Date.parse('2026-11-21T11:58:00Z') },
      "no worker works: worker-1 was alive 2m ago, by this machine's clock",
    ],
  ])('nobody %s: 1', async (_, lease, line) => {
    const { io, run } = open((fake) => (fake.lease = lease));

    expect(await run()).toBe(1);
    expect(io.stdout).toContain(line);
  });

  test('who may see credentials alone is told what is missing, and that is no finding', async () => {
    const { io, run } = open((fake) => fake.forbidden.add('pods').add('findLease'));

    expect(await run()).toBe(0);
    expect(io.stdout).toContain(
      'worker: not known\nyou may not see pods\nyou may not see the Lease of the worker\n',
    );
  });

  test('who may not see credentials gets no answer', async () => {
    const { run } = open((fake) => fake.forbidden.add('records'));

    await expect(run()).rejects.toMatchObject({ code: 'cluster-refused' });
  });

  test('one namespace and all of them at once is wrong use', async () => {
    const { run } = open();

    await expect(run({ namespace: 'shop', allNamespaces: true })).rejects.toMatchObject({ code: 'usage' });
  });

  test('JSON and YAML say the same', async () => {
    const { io, run } = open(({ recordObjects }) => recordObjects.push(recordObject()));
    await run({ output: 'json' });
    const json: unknown = JSON.parse(io.stdout);
    io.stdout = '';
    await run({ output: 'yaml' });

    expect(parse(io.stdout)).toEqual(json);
    expect(json).toMatchObject({
      credentials: [{ namespace: 'shop', ready: true, expiresAt: '2026-11-21T12:50:00Z' }],
      worker: { state: 'alive', holder: 'worker-1', renewedSecondsAgo: 0 },
      summary: { credentials: 1, ready: 1, waiting: 0, waitingTooLong: 0, ok: true },
    });
  });

  test.each(['table', 'json', 'yaml'] as const)(
    'what steers a terminal is never printed as it is: %s',
    async (output) => {
      const message = 'a\u001B[31mred\u0007\u009B2J\u007F\nnext';
      const { io, run } = open(({ recordObjects }) =>
        recordObjects.push(recordObject({ reason: 'exchange-refused', message })),
      );
      await run({ output, allNamespaces: true });

      expect(io.stdout).toContain('red');
      expect(io.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
      if (output === 'json') expect(JSON.parse(io.stdout).credentials[0].message).toBe(message);
      if (output === 'yaml') expect(parse(io.stdout).credentials[0].message).toBe(message);
    },
  );
});

describe('watching', () => {
  test('each change is a line of JSON, time alone is none, and Ctrl-C ends it', async () => {
    const { cluster, io, run } = open();
    const lines = () => io.stdout.split('\n').length - 1;
    const ended = run({ watch: true, output: 'json' });
    await until('the first look', () => lines() === 1 && cluster.clock.waiting() > 0);
    await cluster.clock.advance(2_000);
    await until('the second look', () => cluster.clock.waiting() > 0);
    expect(lines()).toBe(1);

    cluster.recordObjects.push(recordObject({ reason: 'exchange-refused', message: 'no' }));
    await cluster.clock.advance(2_000);
    await until('the change is told', () => lines() === 2);
    io.stop.abort();

    expect(await ended).toBe(1);
    expect(JSON.parse(io.stdout.split('\n')[1] ?? '')).toMatchObject({ summary: { ok: false } });
  });

  test('an API server that goes away is told once and waited for', async () => {
    const { cluster, io, run } = open();
    const ended = run({ watch: true });
    await until('the first look', () => io.stdout !== '' && cluster.clock.waiting() > 0);
    cluster.trouble = new Problem('cluster-unreachable', 'the API server cannot be reached');
    await cluster.clock.advance(2_000);
    await until('the trouble is told', () => io.stderr !== '' && cluster.clock.waiting() > 0);
    await cluster.clock.advance(2_000);
    await until('another look', () => cluster.clock.waiting() > 0);
    io.stop.abort();

    expect(await ended).toBe(2);
    expect(io.stderr).toBe('the API server cannot be reached (cluster-unreachable)\n');
  });
});
