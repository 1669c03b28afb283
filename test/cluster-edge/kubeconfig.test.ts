// Who we are and where the API server is: kubeconfigs that are missing, garbled or out of date, and tokens that change.
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { createKubeCluster, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { createLog } from '../../src/log.ts';
import { problemOf } from '../cluster-contract.ts';
import { startStubApiServer, type StubApiServer } from './stub-api-server.ts';

let stub: StubApiServer;
let clusters: KubeCluster[];

beforeEach(async () => {
  stub = await startStubApiServer();
  clusters = [];
});
afterEach(async () => {
  await Promise.all(clusters.map((cluster) => cluster[Symbol.asyncDispose]()));
  await stub[Symbol.asyncDispose]();
});

interface KubeconfigWish {
  readonly server?: string;
  readonly certificateAuthority?: string;
  readonly user?: Readonly<Record<string, unknown>>;
  readonly namespace?: string;
}

/** A kubeconfig with the contexts `stub` (the current one) and `other`. */
function writeKubeconfig(wish: KubeconfigWish = {}, name = 'kubeconfig'): string {
  const authority = Buffer.from(stub.certificateAuthority).toString('base64');
  const trust = wish.certificateAuthority
    ? { 'certificate-authority': wish.certificateAuthority }
    : { 'certificate-authority-data': authority };
  const context = { cluster: 'stub', user: 'stub', ...(wish.namespace && { namespace: wish.namespace }) };
  return stub.write(
    name,
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'stub',
      clusters: [{ name: 'stub', cluster: { server: wish.server ?? stub.url, ...trust } }],
      users: [{ name: 'stub', user: wish.user ?? { token: 'first' } }],
      contexts: [
        { name: 'stub', context },
        { name: 'other', context: { ...context, namespace: 'elsewhere' } },
      ],
    }),
  );
}

async function open(kubeconfig: string, context?: string): Promise<KubeCluster> {
  const choice = { kubeconfig, ...(context !== undefined && { context }) };
  const tools = { clock: stub.clock, log: createLog('silent'), onWatchRestart: () => undefined };
  const cluster = await createKubeCluster(choice, { pods: false }, tools);
  clusters.push(cluster);
  return cluster;
}

const options = () => ({ signal: stub.clock.deadline(60_000) });

/** From now on only this bearer is let in. */
function accept(token: string): void {
  stub.handle = (request) => {
    if (request.authorization === `Bearer ${token}`)
      request.answer(200, { items: [{ metadata: { name: 'team-a' } }] });
    else request.refuse(401, 'Unauthorized');
  };
}

describe('kubeconfigs', () => {
  test('a kubeconfig says where the API server is, who we are and which namespace is ours', async () => {
    accept('first');
    const cluster = await open(writeKubeconfig({ namespace: 'team-a' }));

    expect(cluster).toMatchObject({ server: stub.url, namespace: 'team-a' });
    expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
    expect(stub.requests.map(({ path, query }) => ({ path, query }))).toEqual([
      { path: '/api/v1/namespaces', query: { fieldSelector: 'metadata.name=team-a', limit: '1' } },
    ]);
  });

  test('another context than the current one can be chosen', async () => {
    expect(await open(writeKubeconfig({ namespace: 'team-a' }), 'other')).toMatchObject({
      namespace: 'elsewhere',
    });
  });

  test('a kubeconfig that is not there is named in a sentence', async () => {
    const problem = await problemOf(open(`${stub.folder}/nowhere`), 'file-unreadable');

    expect(problem.message).toBe(`cannot read ${stub.folder}/nowhere: there is no such file`);
  });

  test.each([
    ['is no YAML', 'clusters: [\n'],
    ['is empty', ''],
    ['has clusters without a server', 'clusters: [{ name: stub, cluster: {} }]'],
  ])('a kubeconfig that %s is refused in a sentence', async (_, content) => {
    const path = stub.write('garbled', content);

    const problem = await problemOf(open(path), 'config-invalid');

    expect(problem.message).toBe(`the kubeconfig ${path} cannot be read as one`);
  });

  test.each([
    ['is a word', 'hello'],
    ['has no current context', 'apiVersion: v1\nkind: Config\n'],
    [
      'has a context whose cluster is not there',
      'current-context: a\ncontexts: [{ name: a, context: { cluster: b, user: c } }]',
    ],
  ])('a kubeconfig that %s names no cluster', async (_, content) => {
    const problem = await problemOf(open(stub.write('garbled', content)), 'config-invalid');

    expect(problem.message).toBe('the kubeconfig names no cluster: pass --kubeconfig and --context');
  });

  test('a context that is not there is refused with those that are', async () => {
    const problem = await problemOf(open(writeKubeconfig(), 'staging'), 'config-invalid');

    expect(problem.message).toBe('the kubeconfig has no context "staging": it knows stub, other');
  });

  test('an API server without TLS is refused in a sentence', async () => {
    const problem = await problemOf(
      open(writeKubeconfig({ server: 'http://127.0.0.1:8001' })),
      'config-invalid',
    );

    expect(problem.message).toContain(
      'no kubeconfig with an https server was found, only http://127.0.0.1:8001',
    );
  });

  test('an authority file that is not there is refused in a sentence', async () => {
    const problem = await problemOf(
      open(writeKubeconfig({ certificateAuthority: `${stub.folder}/nowhere.pem` })),
      'file-unreadable',
    );

    expect(problem.message).toContain(
      'cannot read the credentials that the kubeconfig names: there is no such file',
    );
  });
});

describe('credentials that change', () => {
  /** The way a pod finds its token, which client-node also takes from a kubeconfig. */
  const tokenFileUser = (tokenFile: string) => ({
    'auth-provider': { name: 'tokenFile', config: { tokenFile } },
  });

  test('a call that is answered 401 is asked again with the token that the file has by now', async () => {
    const tokenFile = stub.write('token', 'first\n');
    const cluster = await open(writeKubeconfig({ user: tokenFileUser(tokenFile) }));
    accept('first');
    await cluster.findNamespace('team-a', options());

    stub.write('token', 'second\n');
    accept('second');

    expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
    expect(stub.requests.map(({ authorization }) => authorization)).toEqual([
      'Bearer first',
      'Bearer first',
      'Bearer second',
    ]);
  });

  test('a kubeconfig that was written anew is read after a 401', async () => {
    const path = writeKubeconfig({ user: { token: 'first' } });
    const cluster = await open(path);
    writeKubeconfig({ user: { token: 'second' } });
    accept('second');

    expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
  });

  test('a token that is refused and has no successor is asked with once, and ends in a sentence', async () => {
    const cluster = await open(writeKubeconfig());
    accept('another');

    const problem = await problemOf(cluster.findNamespace('team-a', options()), 'cluster-refused');

    expect(problem.message).toBe(
      'GET /api/v1/namespaces: the API server does not accept our own credentials',
    );
    expect(problem.details.upstream).toBe('401 Unauthorized');
    expect(stub.requests).toHaveLength(1);
  });

  test('a kubeconfig that is gone when it is needed again is named in a sentence', async () => {
    const path = writeKubeconfig();
    const cluster = await open(path);
    rmSync(path);
    accept('another');

    const problem = await problemOf(cluster.findNamespace('team-a', options()), 'file-unreadable');

    expect(problem.message).toBe(`cannot read ${path}: there is no such file`);
  });
});
