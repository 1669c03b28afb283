// Who we are and where the API server is: kubeconfigs that are missing, garbled or out of date, and tokens that change.
import { rmSync } from 'node:fs';
import { delimiter } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { createKubeCluster, type KubeChoice, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { createLog } from '../../src/log.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { problemOf } from '../cluster-contract.ts';
import { startStubApiServer, until, type StubApiServer, type StubWatch } from './stub-api-server.ts';

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
  const trust =
    wish.certificateAuthority !== undefined
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

function open(kubeconfig: string, context?: string): Promise<KubeCluster> {
  return openChosen({ kubeconfig, ...(context !== undefined && { context }) });
}

async function openChosen(choice: KubeChoice): Promise<KubeCluster> {
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

  test.each([
    [
      'an authority file',
      (): KubeconfigWish => ({ certificateAuthority: `${stub.folder}/nowhere.pem` }),
      () => `${stub.folder}/nowhere.pem`,
    ],
    [
      'a login plugin',
      (): KubeconfigWish => ({
        user: { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'keyless-pull-no-login' } },
      }),
      () => 'keyless-pull-no-login',
    ],
  ])('%s that is not there is refused in a sentence that names it', async (_, wish, name) => {
    const problem = await problemOf(open(writeKubeconfig(wish())), 'file-unreadable');

    expect(problem.message).toBe(
      `cannot read the credentials that the kubeconfig names: there is no such file: ${name()}`,
    );
  });
});

describe('the files of KUBECONFIG', () => {
  /** Opens what they say together. */
  const openAll = (...paths: readonly string[]) => openChosen({ usual: paths.join(delimiter) });

  test('of what several say the first counts, its current context too, as for kubectl', async () => {
    const first = writeKubeconfig({ namespace: 'team-a' }, 'first');
    const second = writeKubeconfig({ namespace: 'team-b', server: 'https://elsewhere.invalid' }, 'second');
    const third = stub.write(
      'third',
      stringify({
        'current-context': 'third',
        clusters: [{ name: 'third', cluster: { server: 'https://third.invalid' } }],
        users: [],
        contexts: [{ name: 'third', context: { cluster: 'third', user: 'stub' } }],
      }),
    );

    expect(await openAll(first, second, third)).toMatchObject({ server: stub.url, namespace: 'team-a' });
    const usual = [first, third].join(delimiter);
    expect(await openChosen({ usual, context: 'third' })).toMatchObject({ server: 'https://third.invalid' });
  });

  test('one that is not there is passed over, as by kubectl', async () => {
    const there = writeKubeconfig({ namespace: 'team-a' });

    expect(await openAll(`${stub.folder}/nowhere`, there)).toMatchObject({ namespace: 'team-a' });
  });

  test('where none is there, all are named', async () => {
    const paths = [`${stub.folder}/nowhere`, `${stub.folder}/neither`];

    const problem = await problemOf(openAll(...paths), 'file-unreadable');

    expect(problem.message).toBe(
      `cannot read the kubeconfig that KUBECONFIG names: there is no such file: ${paths.join(', ')}`,
    );
  });

  test('one that cannot be read as one is named', async () => {
    const garbled = stub.write('garbled', 'clusters: [\n');

    const problem = await problemOf(openAll(writeKubeconfig(), garbled), 'config-invalid');

    expect(problem.message).toBe(`the kubeconfig ${garbled} cannot be read as one`);
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

  describe('in a tokenFile, as kubectl reads it', () => {
    test('beside the kubeconfig, before a token that is written there too', async () => {
      stub.write('token', 'from-the-file\n');
      accept('from-the-file');
      const cluster = await open(writeKubeconfig({ user: { tokenFile: 'token', token: 'written-there' } }));

      expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
      expect(stub.requests).toHaveLength(1);
    });

    test('and again when what it held is refused', async () => {
      const path = stub.write('token', 'first');
      const cluster = await open(writeKubeconfig({ user: { tokenFile: path } }));
      accept('first');
      await cluster.findNamespace('team-a', options());

      stub.write('token', 'second');
      accept('second');

      expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
    });

    test('and one that is not there is refused in a sentence', async () => {
      const problem = await problemOf(
        open(writeKubeconfig({ user: { tokenFile: 'no' } })),
        'file-unreadable',
      );

      expect(problem.message).toContain('there is no such file');
    });
  });

  test('a token file that is gone for a moment costs nothing while its token is accepted', async () => {
    const path = stub.write('token', 'first');
    const cluster = await open(writeKubeconfig({ user: { tokenFile: path } }));
    accept('first');
    await cluster.findNamespace('team-a', options());
    rmSync(path);

    await stub.clock.advance(11_000);

    expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
  });

  test('a token that comes late is taken a second after the last look', async () => {
    const tokenFile = stub.write('token', 'first');
    const cluster = await open(writeKubeconfig({ user: { tokenFile } }));
    accept('second');
    await problemOf(cluster.findNamespace('team-a', options()), 'cluster-refused');
    stub.write('token', 'second');

    await problemOf(cluster.findNamespace('team-a', options()), 'cluster-refused');
    await stub.clock.advance(1_000);

    expect(await cluster.findNamespace('team-a', options())).toMatchObject({ name: 'team-a' });
  });
});

describe('an authority that is replaced', () => {
  const authorityFile = () => stub.write('ca.pem', stub.certificateAuthority);
  const find = (cluster: KubeCluster) => cluster.findNamespace('team-a', options());

  test('is followed as soon as its file is written, and what goes on over older connections goes on', async () => {
    const cluster = await open(writeKubeconfig({ certificateAuthority: authorityFile() }));
    const stop = new AbortController();
    const watches: StubWatch[] = [];
    stub.handle = (request) => {
      if (request.query['watch']) watches.push(request.watch());
      else request.answer(200, { metadata: { resourceVersion: '1' }, items: [] });
    };
    const running = cluster.run(stop.signal);
    await until('the watches have begun', () => watches.length === 3, { clock: stub.clock });
    const before = stub.requests.length;

    await stub.replaceAuthority();
    authorityFile();
    // More at once than there are connections: some of them must be new.
    await Promise.all(Array.from({ length: 4 }, () => find(cluster)));
    const account = {
      metadata: { namespace: 'team-a', name: 'builder', uid: 'uid-1', resourceVersion: '2' },
    };
    for (const watch of watches) watch.send('ADDED', account);
    await until('the old watches are heard', () => cluster.view.account('team-a', 'builder') !== undefined);

    expect(stub.requests).toHaveLength(before + 4);
    expect(watches).toHaveLength(3);
    stop.abort();
    await running;
  });

  test('is followed in a kubeconfig that carries it', async () => {
    const cluster = await open(writeKubeconfig());
    accept('first');
    await find(cluster);

    await stub.replaceAuthority();
    writeKubeconfig();
    await Promise.all(Array.from({ length: 4 }, () => find(cluster)));

    expect(stub.requests).toHaveLength(5);
  });

  test('is followed before the API server shows a certificate of it', async () => {
    const old = authorityFile();
    const cluster = await open(writeKubeconfig({ certificateAuthority: old }));
    accept('first');
    await find(cluster);
    const before = stub.certificateAuthority;
    await stub.replaceAuthority();
    stub.write('ca.pem', `${before}\n${stub.certificateAuthority}`);

    await stub.clock.advance(11_000);

    expect(await find(cluster)).toMatchObject({ name: 'team-a' });
  });

  test('that our file does not have yet is named in a sentence, and followed a second after it has', async () => {
    const cluster = await open(writeKubeconfig({ certificateAuthority: authorityFile() }));
    accept('first');
    await stub.replaceAuthority();

    const problem = await problemOf(find(cluster), 'cluster-unreachable');
    expect(problem.message).toMatch(/^the API server's certificate is not accepted/);
    authorityFile();
    await stub.clock.advance(1_000);

    expect(await find(cluster)).toMatchObject({ name: 'team-a' });
  });

  test.each(['', '-----BEGIN CERTIFICATE-----\nMIIB'])(
    'is not taken while its file is half written (%j)',
    async (half) => {
      const cluster = await open(writeKubeconfig({ certificateAuthority: authorityFile() }));
      accept('first');
      await find(cluster);
      stub.write('ca.pem', half);

      await stub.clock.advance(11_000);

      expect(await find(cluster)).toMatchObject({ name: 'team-a' });
    },
  );

  test('is not followed to whoever else answers at the address', async () => {
    const cluster = await open(writeKubeconfig({ certificateAuthority: authorityFile() }));
    await stub.replaceAuthority();

    await problemOf(find(cluster), 'cluster-unreachable');

    expect(stub.requests).toEqual([]);
  });
});

test('a client certificate that was written anew is shown within ten seconds', async () => {
  const people = await createCertificateAuthority('people');
  const write = async (name: string) => {
    const { certificate, key } = await people.issue([name]);
    return {
      'client-certificate': stub.write('me.pem', certificate),
      'client-key': stub.write('me.key', key),
    };
  };
  const cluster = await open(writeKubeconfig({ user: await write('first') }));
  stub.handle = (request) => request.answer(200, { items: [] });
  await cluster.findNamespace('team-a', options());

  await write('second');
  await stub.clock.advance(10_000);
  await cluster.findNamespace('team-a', options());

  expect(stub.requests.map(({ client }) => client)).toEqual(['first', 'second']);
});
