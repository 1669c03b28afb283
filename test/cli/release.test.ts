// What release opens, what it refuses to do unasked, and how it ends.
import { expect, test } from 'vitest';
import { release, type ReleaseOptions } from '../../src/cli/release.ts';
import { Problem } from '../../src/problem.ts';
import { createFakeUserCluster, createPrinted, podObject } from './fake-user-cluster.ts';

function open() {
  const cluster = createFakeUserCluster();
  cluster.podObjects.push(
    podObject({ name: 'held-1', gated: true }),
    podObject({ name: 'held-2', gated: true }),
    podObject({ name: 'free' }),
  );
  const io = createPrinted();
  const run = (words: string[], options: Partial<ReleaseOptions> = {}) =>
    release(words, { output: 'table', color: false, ...options }, io, { cluster, clock: cluster.clock });
  return { cluster, io, run };
}

test('one pod, by its name', async () => {
  const { cluster, io, run } = open();

  expect(await run(['pod', 'held-1'])).toBe(0);
  expect(cluster.released).toEqual(['shop/held-1']);
  expect(io.stdout).toBe('shop/held-1  released\n1 released\n');
});

test('a pod that is not held is left alone, and that is fine', async () => {
  const { cluster, io, run } = open();

  expect(await run(['pod/free'])).toBe(0);
  expect(cluster.released).toEqual([]);
  expect(io.stdout).toBe('shop/free  not held\n1 not held\n');
});

test('all pods that are held, with --yes', async () => {
  const { cluster, io, run } = open();

  expect(await run([], { all: true, yes: true, output: 'json' })).toBe(0);
  expect(cluster.released).toEqual(['shop/held-1', 'shop/held-2']);
  expect(JSON.parse(io.stdout)).toEqual({
    pods: [
      { namespace: 'shop', pod: 'held-1', outcome: 'released' },
      { namespace: 'shop', pod: 'held-2', outcome: 'released' },
    ],
    ok: true,
  });
});

test('a dry run shows them and changes nothing', async () => {
  const { cluster, io, run } = open();

  expect(await run([], { all: true, dryRun: true, allNamespaces: true })).toBe(0);
  expect(cluster.released).toEqual([]);
  expect(io.stdout).toContain('2 would be released\n');
});

test('no pod that is held is no trouble', async () => {
  const { cluster, io, run } = open();
  cluster.podObjects.length = 0;

  expect(await run([], { all: true, yes: true })).toBe(0);
  expect(io.stdout).toBe('no pod is held\n');
});

test('a pod that may not be released is told: 2', async () => {
  const { cluster, io, run } = open();
  cluster.forbidden.add('releaseGate');

  expect(await run([], { all: true, yes: true })).toBe(2);
  expect(io.stdout).toContain('shop/held-1  refused  refused with 403 Forbidden (cluster-refused)\n');
  expect(io.stdout).toContain('2 refused\n');
});

test('a pod that is not there, and an API server that is away, end it', async () => {
  const { cluster, run } = open();
  await expect(run(['pod', 'none'])).rejects.toMatchObject({ code: 'cluster-missing' });

  cluster.trouble = new Problem('cluster-unreachable', 'the API server cannot be reached');
  await expect(run(['pod', 'held-1'])).rejects.toMatchObject({ code: 'cluster-unreachable' });
});

test.each([
  ['--all without --yes', [], { all: true }],
  ['--all and a pod', ['pod', 'held-1'], { all: true, yes: true }],
  ['neither', [], {}],
  ['another kind', ['deployment', 'web'], {}],
  ['no name', ['pod'], {}],
  ['two names', ['pod', 'held-1', 'held-2'], {}],
  ['a name that is none', ['pod', '../nodes/a'], {}],
  ['--all-namespaces without --all', ['pod', 'held-1'], { allNamespaces: true }],
] as const)('%s is wrong use', async (_, words, options) => {
  const { cluster, run } = open();

  await expect(run([...words], options)).rejects.toMatchObject({ code: 'usage' });
  expect(cluster.released).toEqual([]);
});
