// A whole support bundle of a cluster in memory, unpacked by the tar of the system: what is in it, and what is not.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { supportBundle } from '../../../src/cli/support-bundle.ts';
import { Problem } from '../../../src/problem.ts';
import { createFakeUserCluster, refusal } from '../fake-user-cluster.ts';
import type { UserCluster } from '../../../src/cluster/user-cluster.ts';

const PASSWORD = 'correct-horse-battery';
const TOKEN = `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wL3dlYiJ9.${'c2ln'.repeat(8)}`;
const AUTH = Buffer.from(`shop/web:${PASSWORD}`).toString('base64');
const planted = [PASSWORD, TOKEN, AUTH, TOKEN.split('.')[1] ?? ''];

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Every path answers with an object that has something secret wherever somebody might have put it. */
function leakyCluster(): { cluster: UserCluster; asked: string[] } {
  const fake = createFakeUserCluster();
  const asked: string[] = [];
  const object = {
    metadata: {
      name: 'keyless-pull',
      namespace: 'keyless-pull',
      labels: { 'keyless-pull.dev/managed': 'true' },
      annotations: { 'team.example/leak': TOKEN, [`note`]: `password=${PASSWORD}` },
    },
    reportingComponent: 'keyless-pull.dev/worker',
    spec: {
      containers: [
        {
          env: [{ name: 'HTTPS_PROXY', value: `http://web:${PASSWORD}@proxy.example` }],
          ports: [{ name: 'metrics', containerPort: 9191 }],
        },
      ],
    },
    data: { 'config.yaml': `auth: ${AUTH}` },
    message: `realm said {"token":"${TOKEN}"}`,
  };
  const cluster: UserCluster = {
    ...fake,
    clock: undefined,
    read: async (path) => {
      asked.push(path);
      return object;
    },
    ask: async () => object,
    find: async () => object,
    call: async () => Promise.reject(refusal()),
    list: async (path) => {
      asked.push(path);
      if (path.includes('fail')) throw refusal();
      return [object];
    },
    listMetadata: async (path) => {
      asked.push(`metadata of ${path}`);
      return [object];
    },
    pods: async () => [object],
    lines: async function* (path) {
      asked.push(path);
      if (path.endsWith('/proxy/metrics')) throw new Problem('cluster-unreachable', 'nobody is there');
      yield `{"level":"info","message":"sent Basic ${AUTH}"}`;
      yield `refused: ${TOKEN}`;
      yield 'leading';
    },
  } as UserCluster;
  return { cluster, asked };
}

async function bundle(cluster: UserCluster) {
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-bundle-'));
  folders.push(folder);
  const file = join(folder, 'bundle.tar.gz');
  const printed: string[] = [];
  const io = {
    out: (text: string) => void printed.push(text),
    err: (text: string) => void printed.push(text),
    readStdin: () => Promise.resolve(''),
    signal: new AbortController().signal,
    isTerminal: false,
  };
  const make = () =>
    supportBundle(
      { ownNamespace: 'keyless-pull', file, output: 'json', color: false, version: '0.1.0' },
      io,
      { cluster },
    );
  const code = await make();
  const unpacked = join(folder, 'unpacked');
  execFileSync('mkdir', [unpacked]);
  execFileSync('tar', ['-xzf', file, '-C', unpacked]);
  const names = readdirSync(unpacked, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(unpacked, name)).isFile(),
  );
  const texts = new Map(names.map((name) => [name, readFileSync(join(unpacked, name), 'utf8')]));
  return { code, file, texts, printed: printed.join(''), make };
}

test('nothing that was planted in annotations, variables, config, events or logs is in it', async () => {
  const { cluster } = leakyCluster();

  const { code, texts, printed } = await bundle(cluster);

  expect(code).toBe(0);
  for (const [name, text] of [...texts, ['what is printed', printed] as const])
    for (const secret of planted) expect(text, name).not.toContain(secret);
});

test('the manifest says what is in it, what is not, and why', async () => {
  const { cluster } = leakyCluster();

  const { texts, printed } = await bundle(cluster);

  const { contents } = JSON.parse(texts.get('manifest.json') ?? '') as {
    contents: { file: string; what: string; bytes: number; missing?: string }[];
  };
  expect(
    contents
      .filter(({ missing }) => missing === undefined)
      .map(({ file }) => file)
      .toSorted(),
  ).toEqual([...texts.keys()].filter((name) => name !== 'manifest.json').toSorted());
  for (const { file, bytes } of contents) expect(Buffer.byteLength(texts.get(file) ?? ''), file).toBe(bytes);
  expect(contents.find(({ file }) => file.startsWith('metrics/'))?.missing).toBe(
    'nobody is there (cluster-unreachable)',
  );
  expect(texts.get('logs/keyless-pull.log')).toContain('leading');
  expect((JSON.parse(printed) as { contents: unknown }).contents).toEqual(contents);
});

test('of Secrets the metadata alone are asked for, and of their annotations the names are kept', async () => {
  const { cluster, asked } = leakyCluster();

  const { texts } = await bundle(cluster);

  expect(asked.filter((path) => path.includes('/secrets'))).toEqual([
    'metadata of /api/v1/secrets',
    'metadata of /api/v1/secrets',
  ]);
  expect(texts.get('objects/secrets-metadata.json')).toContain(
    '"annotations": [\n        "team.example/leak"',
  );
});

test('metrics are asked for at the port that the installation gives them', async () => {
  const { cluster, asked } = leakyCluster();

  await bundle(cluster);

  expect(asked).toContain('/api/v1/namespaces/keyless-pull/pods/keyless-pull:9191/proxy/metrics');
});

test('nobody else may read the file, and no file that is there is written over', async () => {
  const { cluster } = leakyCluster();

  const { file, make } = await bundle(cluster);

  expect(statSync(file).mode & 0o777).toBe(0o600);
  await expect(make()).rejects.toThrow(/^cannot write .*bundle\.tar\.gz: it is there already$/);
});
