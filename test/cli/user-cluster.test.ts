// The calls of the user's cluster: pages, what is answered to who may not, and the one patch.
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openUserCluster, type UserCluster } from '../../src/cluster/user-cluster.ts';
import { startStubApiServer, type StubApiServer } from '../cluster-edge/stub-api-server.ts';
import { writeKubeconfig } from './kubeconfig-file.ts';

let stub: StubApiServer;
let cluster: UserCluster;

const open = ({ proxy = '', ...choice }: { namespace?: string; proxy?: string } = {}) =>
  openUserCluster(
    { kubeconfig: writeKubeconfig(stub, { proxy }), ...choice },
    { clock: stub.clock, signal: new AbortController().signal },
  );

beforeEach(async () => {
  stub = await startStubApiServer();
  cluster = await open();
});
afterEach(async () => {
  await cluster[Symbol.asyncDispose]();
  await stub[Symbol.asyncDispose]();
});

const POD = { namespace: 'shop', name: 'web-1', uid: 'uid-1' };

test("the namespace is the flag's, else the context's", async () => {
  await using other = await open({ namespace: 'bar' });

  expect([cluster.namespace, other.namespace]).toEqual(['shop', 'bar']);
});

describe('the proxy that a kubeconfig names', () => {
  test('is gone through, and the API server is verified behind it', async () => {
    const asked: (string | undefined)[] = [];
    const proxy = createServer().on('connect', (request, socket) => {
      asked.push(request.url);
      const { hostname, port } = new URL(stub.url);
      const other = connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        other.pipe(socket).pipe(other);
      });
      for (const one of [socket, other]) one.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    stub.handle = ({ answer }) => answer(200, { items: [{ n: 1 }] });
    {
      const { port } = proxy.address() as AddressInfo;
      await using other = await open({ proxy: `http://127.0.0.1:${port}` });
      expect(await other.pods()).toEqual([{ n: 1 }]);
    }
    await new Promise((resolve) => proxy.close(resolve));

    expect(asked).toEqual([new URL(stub.url).host]);
  });

  test('is refused in a sentence where it is of a kind that we do not speak', async () => {
    await expect(open({ proxy: 'socks5://127.0.0.1:1' })).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'the kubeconfig names a proxy that is no http or https one',
    });
  });
});

describe('lists', () => {
  test('come page by page', async () => {
    stub.handle = ({ query, answer }) =>
      query['continue'] === 'more'
        ? answer(200, { items: [{ n: 2 }] })
        : answer(200, { metadata: { continue: 'more' }, items: [{ n: 1 }] });

    expect(await cluster.pods('shop', { fieldSelector: 'status.phase=Pending' })).toEqual([
      { n: 1 },
      { n: 2 },
    ]);
    expect(stub.requests.map(({ path, query }) => ({ path, query }))).toEqual([
      {
        path: '/api/v1/namespaces/shop/pods',
        query: { fieldSelector: 'status.phase=Pending', limit: '500' },
      },
      {
        path: '/api/v1/namespaces/shop/pods',
        query: { fieldSelector: 'status.phase=Pending', limit: '500', continue: 'more' },
      },
    ]);
  });

  test('are read once more in one piece when the API server has forgotten them on the way', async () => {
    stub.handle = ({ query, answer, refuse }) => {
      if (query['continue']) refuse(410, 'Expired');
      else if (query['limit']) answer(200, { metadata: { continue: 'more' }, items: [{ n: 1 }] });
      else answer(200, { items: [{ n: 1 }, { n: 2 }] });
    };

    expect(await cluster.pods()).toEqual([{ n: 1 }, { n: 2 }]);
    expect(stub.requests.map(({ path }) => path)).toEqual(Array.from({ length: 3 }, () => '/api/v1/pods'));
  });

  test('of PullCredentials say so where keyless-pull is not installed', async () => {
    await expect(cluster.records()).rejects.toMatchObject({
      code: 'cluster-missing',
      message: 'this cluster knows no PullCredentials: keyless-pull is not installed in it',
    });
  });

  test('of events have both kinds in the order of time', async () => {
    stub.handle = ({ answer }) =>
      answer(200, {
        items: [
          { reason: 'New', eventTime: '2026-11-21T12:00:02.000000Z', message: 'b', reportingComponent: 'us' },
          {
            reason: 'Old',
            lastTimestamp: '2026-11-21T12:00:01Z',
            eventTime: null,
            count: 3,
            source: { component: 'kubelet' },
          },
        ],
      });

    expect(await cluster.events('shop', 'Pod', 'web-1')).toMatchObject([
      { reason: 'Old', count: 3, controller: 'kubelet' },
      { reason: 'New', note: 'b', count: 1, controller: 'us' },
    ]);
    expect(stub.requests[0]?.query['fieldSelector']).toBe(
      'involvedObject.kind=Pod,involvedObject.name=web-1',
    );
  });
});

test('the sign of life of the worker, or none', async () => {
  expect(await cluster.findLease('keyless-pull')).toBeUndefined();

  stub.handle = ({ answer }) =>
    answer(200, { spec: { holderIdentity: 'worker-1', renewTime: '2026-11-21T12:00:00.000000Z' } });
  expect(await cluster.findLease('keyless-pull')).toEqual({
    holder: 'worker-1',
    renewedAt: Date.parse('2026-11-21T12:00:00Z'),
  });
});

describe('the gate', () => {
  test('is taken away by name, from this very pod', async () => {
    stub.handle = ({ answer }) => answer(200, {});

    expect(await cluster.releaseGate(POD)).toBe('released');
    expect(stub.requests[0]).toMatchObject({
      method: 'PATCH',
      path: '/api/v1/namespaces/shop/pods/web-1',
      body: {
        metadata: { uid: 'uid-1' },
        spec: { schedulingGates: [{ name: 'keyless-pull.dev/credentials', $patch: 'delete' }] },
      },
    });
  });

  test.each([
    [404, 'NotFound'],
    [409, 'Conflict'],
    [422, 'Invalid'],
  ])('is gone when the API server answers %s', async (code, reason) => {
    stub.handle = ({ refuse }) => refuse(code, reason);

    expect(await cluster.releaseGate(POD)).toBe('gone');
  });

  test("is not gone when somebody's policy keeps it there", async () => {
    const message = "ValidatingAdmissionPolicy 'keep' with binding 'keep' denied request: no";
    stub.handle = ({ refuse }) => refuse(422, 'Invalid', { message });

    await expect(cluster.releaseGate(POD)).rejects.toMatchObject({ code: 'cluster-refused' });
  });
});
