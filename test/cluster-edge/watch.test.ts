// Our watch reader against an API server that forgets, breaks off, falls silent and talks nonsense.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createWatch, type Watch } from '../../src/cluster/watch.ts';
import { viewAccount, type AccountView } from '../../src/core/pod-view.ts';
import { createLog } from '../../src/log.ts';
import {
  startStubApiServer,
  until,
  type StubApiServer,
  type StubRequest,
  type StubWatch,
} from './stub-api-server.ts';

const PATH = '/api/v1/serviceaccounts';

let stub: StubApiServer;
let stop: AbortController;
let running: Promise<void> | undefined;
let watch: Watch<AccountView>;
let told: string[];
let restarts: string[];
/** Requests that list, and requests that watch. */
let lists: StubRequest[];
let watches: StubRequest[];
/** What a list is answered with; a watch is opened and left open. */
let onList: (request: StubRequest) => void;
let onWatch: (request: StubRequest) => void;
let open: StubWatch[];

beforeEach(async () => {
  stub = await startStubApiServer();
  stop = new AbortController();
  running = undefined;
  [told, restarts, lists, watches, open] = [[], [], [], [], []];
  onList = (request) => request.answer(200, listOf('100'));
  onWatch = (request) => open.push(request.watch());
  stub.handle = (request) => {
    const isWatch = request.query['watch'] === 'true';
    (isWatch ? watches : lists).push(request);
    (isWatch ? onWatch : onList)(request);
  };
  watch = createWatch<AccountView>(
    {
      name: 'serviceaccounts',
      path: PATH,
      view: viewAccount,
      keyOf: ({ namespace, name }) => `${namespace}/${name}`,
    },
    {
      connection: stub.connect(),
      clock: stub.clock,
      log: createLog('silent'),
      onChange: ({ name }, gone) => told.push(`${name} ${gone ? 'gone' : 'seen'}`),
      onRestart: (name) => restarts.push(name),
    },
  );
});

afterEach(async () => {
  stop.abort();
  await running;
  await stub[Symbol.asyncDispose]();
});

function start(): void {
  running = watch.run(stop.signal);
}

/** While this waits, the time goes on, so that pauses between attempts end. */
const eventually = (what: string, happened: () => boolean) =>
  until(what, happened, { clock: stub.clock, tickMs: 10 });

function account(name: string, resourceVersion: string) {
  return {
    kind: 'ServiceAccount',
    metadata: { namespace: 'team-a', name, uid: `uid-${name}`, resourceVersion },
  };
}

function bookmark(resourceVersion: string) {
  return { kind: 'ServiceAccount', metadata: { resourceVersion } };
}

function listOf(resourceVersion: string, ...items: unknown[]) {
  return { kind: 'ServiceAccountList', metadata: { resourceVersion }, items };
}

const expiredStatus = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };

test('a list of several pages is read to its end before anything counts as known', async () => {
  const pages = [
    { ...listOf('100', account('a', '11')), metadata: { resourceVersion: '100', continue: 'next' } },
    listOf('100', account('b', '12')),
  ];
  onList = (request) => {
    if (request.query['continue'] === undefined) request.answer(200, pages[0]);
  };

  start();
  await eventually('the second page is asked for', () => lists.length === 2);
  expect(watch.isSynced()).toBe(false);
  lists[1]?.answer(200, pages[1]);
  await eventually('the watch begins', () => watches.length === 1);

  expect(lists.map(({ query }) => query)).toEqual([{ limit: '500' }, { limit: '500', continue: 'next' }]);
  expect(watch.isSynced()).toBe(true);
  expect(told).toEqual(['a seen', 'b seen']);
  expect(watches[0]?.query).toMatchObject({
    watch: 'true',
    resourceVersion: '100',
    allowWatchBookmarks: 'true',
  });
});

test('a list that breaks off between two pages is begun again', async () => {
  onList = (request) => {
    if (lists.length === 1) {
      const metadata = { resourceVersion: '100', continue: 'next' };
      request.answer(200, { ...listOf('100', account('a', '11')), metadata });
    } else if (lists.length === 2) request.reset();
    else request.answer(200, listOf('105', account('a', '11'), account('b', '12')));
  };

  start();
  await eventually('the watch begins', () => watches.length === 1);

  expect(lists.map(({ query }) => query['continue'])).toEqual([undefined, 'next', undefined]);
  expect(watches[0]?.query['resourceVersion']).toBe('105');
  expect(watch.get('team-a/b')?.name).toBe('b');
});

test('a bookmark moves the place from which a broken watch goes on', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  open[0]?.send('ADDED', account('a', '101'));
  open[0]?.send('BOOKMARK', bookmark('177'));
  await eventually('the account is seen', () => told.length === 1);

  watches[0]?.reset();
  await eventually('the watch goes on', () => watches.length === 2);

  expect(watches[1]?.query['resourceVersion']).toBe('177');
  expect(lists).toHaveLength(1);
  expect(told).toEqual(['a seen']);
});

test('a watch that the API server ends goes on from its last event, without a new list', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  open[0]?.send('ADDED', account('a', '101'));
  await eventually('the account is seen', () => told.length === 1);
  await stub.clock.advance(2_000);

  open[0]?.end();
  await eventually('the watch goes on', () => watches.length === 2);

  expect(watches[1]?.query['resourceVersion']).toBe('101');
  expect(lists).toHaveLength(1);
  expect(restarts).toEqual([]);
});

test.each([
  ['as a status', (request: StubRequest) => request.answer(410, expiredStatus)],
  ['as an event', (request: StubRequest) => request.watch().send('ERROR', expiredStatus)],
])(
  'a forgotten place, told %s, is made up for by a new list that reports what is gone',
  async (_, forget) => {
    onList = (request) =>
      request.answer(
        200,
        lists.length === 1
          ? listOf('100', account('kept', '11'), account('changed', '12'), account('deleted', '13'))
          : listOf('500', account('kept', '11'), account('changed', '400'), account('new', '450')),
      );
    onWatch = (request) => (watches.length === 1 ? forget(request) : void open.push(request.watch()));

    start();
    await eventually('the second watch begins', () => watches.length === 2);

    expect(told.slice(3)).toEqual(['changed seen', 'new seen', 'deleted gone']);
    expect([...watch.values()].map(({ name }) => name).toSorted()).toEqual(['changed', 'kept', 'new']);
    expect(watches[1]?.query['resourceVersion']).toBe('500');
    expect(restarts).toEqual(['serviceaccounts']);
  },
);

test('a watch that has been silent for 90 seconds is replaced, and not before', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  await stub.clock.advance(80_000);
  open[0]?.send('ADDED', account('a', '150'));
  await until('the account is seen', () => told.length === 1);

  await stub.clock.advance(85_000);
  expect({ restarts, watches: watches.length }).toEqual({ restarts: [], watches: 1 });
  await stub.clock.advance(6_000);
  await eventually('the watch is replaced', () => watches.length === 2);

  expect(watches[0]?.isAborted).toBe(true);
  expect(watches[1]?.query['resourceVersion']).toBe('150');
  expect(lists).toHaveLength(1);
});

test('a line that is no JSON ends the watch and brings a new list', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);

  open[0]?.write('{"type":"ADDED","object":\u0000\n');
  await eventually('everything is listed anew', () => watches.length === 2);

  expect(lists).toHaveLength(2);
  expect(told).toEqual([]);
});

test('an event that comes in pieces, cut inside a character, is read whole', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  const line = Buffer.from(`${JSON.stringify({ type: 'ADDED', object: account('gruß', '101') })}\n`);
  const cut = line.indexOf(0xc3) + 1;

  open[0]?.write(line.subarray(0, cut));
  await stub.clock.advance(100);
  open[0]?.write(line.subarray(cut));
  await eventually('the account is seen', () => told.length === 1);

  expect(told).toEqual(['gruß seen']);
});

test('an API server that refuses is asked again with growing pauses, two seconds at most', async () => {
  onList = (request) => request.answer(503, 'no upstream');
  const at: number[] = [];
  const handle = stub.handle;
  stub.handle = (request) => {
    at.push(stub.clock.monotonic());
    handle(request);
  };

  start();
  await eventually('nine lists have failed', () => at.length === 9);

  const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(100);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(2_000);
  expect(pauses.at(-1)).toBeGreaterThan(1_000);
  expect(watch.isSynced()).toBe(false);
});

test('a list that is never answered is given up after a minute and asked for again', async () => {
  onList = (request) => {
    if (lists.length > 1) request.answer(200, listOf('100'));
  };
  start();
  await until('the list is asked for', () => lists.length === 1);

  await stub.clock.advance(59_000);
  expect({ restarts, lists: lists.length }).toEqual({ restarts: [], lists: 1 });
  await stub.clock.advance(1_000);
  await eventually('the watch begins', () => watches.length === 1);

  expect(lists[0]?.isAborted).toBe(true);
  expect(watch.isSynced()).toBe(true);
});

test('an API server that ends every watch at once is not asked without a pause', async () => {
  onWatch = (request) => request.watch().end();
  start();
  await eventually('the first watch', () => watches.length === 1);

  await stub.clock.advance(10_000);
  await eventually('the next watch', () => watches.length > 2);

  expect(watches.length).toBeLessThan(30);
  expect(lists).toHaveLength(1);
});

test('the answer to our own write stays when an older event of the watch comes after it', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  watch.put(viewAccount(account('a', '120')), '120');

  open[0]?.send('ADDED', account('a', '110'));
  open[0]?.send('MODIFIED', account('a', '120'));
  open[0]?.send('ADDED', account('b', '121'));
  await eventually('the watch is past both', () => told.includes('b seen'));

  expect(told).toEqual(['a seen', 'b seen']);
  expect(watch.get('team-a/a')).toBeDefined();
});

test('the answer to our own write that comes after the deletion brings nothing back', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  open[0]?.send('ADDED', account('a', '110'));
  open[0]?.send('DELETED', account('a', '112'));
  await eventually('the deletion is seen', () => told.includes('a gone'));

  watch.put(viewAccount(account('a', '111')), '111');

  expect(watch.get('team-a/a')).toBeUndefined();
  expect(told).toEqual(['a seen', 'a gone']);
});

test('a list that is older than our own write does not take it away', async () => {
  onWatch = (request) =>
    watches.length === 1 ? request.answer(410, expiredStatus) : void open.push(request.watch());
  onList = (request) => {
    if (lists.length === 2) watch.put(viewAccount(account('ours', '300')), '300');
    request.answer(200, listOf(lists.length === 1 ? '100' : '200'));
  };

  start();
  await eventually('the second watch begins', () => watches.length === 2);

  expect(watch.get('team-a/ours')).toBeDefined();
  expect(told).toEqual(['ours seen']);
});

test('a watch that is answered 429 is asked for again after Retry-After, not before, and where it was', async () => {
  onWatch = (request) =>
    watches.length === 1
      ? request.answer(429, { kind: 'Status' }, { 'retry-after': '7' })
      : void open.push(request.watch());
  start();
  await until('the watch is asked for', () => watches.length === 1);
  await until('the answer has come', () => restarts.length === 1);

  await stub.clock.advance(6_900);
  expect(watches).toHaveLength(1);
  await stub.clock.advance(2_100);
  await until('it is asked for again', () => watches.length === 2);

  expect(watches[1]?.query['resourceVersion']).toBe('100');
  expect(lists).toHaveLength(1);
});

test.each([401, 403])(
  'who is answered %d for a while goes on where he was, without a new list',
  async (status) => {
    onWatch = (request) =>
      watches.length <= 3 ? request.refuse(status, 'No') : void open.push(request.watch());

    start();
    await eventually('the watch begins', () => open.length === 1);
    open[0]?.send('ADDED', account('a', '101'));
    await eventually('the account is seen', () => told.length === 1);

    expect(watches[3]?.query['resourceVersion']).toBe('100');
    expect(lists).toHaveLength(1);
  },
);

test('a watch that the API server does not even begin is given up after 20 seconds', async () => {
  onWatch = (request) => {
    if (watches.length > 1) open.push(request.watch());
  };
  start();
  await until('the watch is asked for', () => watches.length === 1);

  await stub.clock.advance(19_000);
  expect({ restarts, watches: watches.length }).toEqual({ restarts: [], watches: 1 });
  await stub.clock.advance(1_000);
  await eventually('the watch begins', () => open.length === 1);

  expect(watches[0]?.isAborted).toBe(true);
  expect(lists).toHaveLength(1);
});

test('how long the API server has not been heard is known while the watch looks healthy', async () => {
  start();
  await eventually('the watch begins', () => open.length === 1);
  open[0]?.send('BOOKMARK', bookmark('150'));
  open[0]?.send('ADDED', account('a', '151'));
  await until('the account is seen', () => told.length === 1);
  expect(watch.silentMs()).toBe(0);

  await stub.clock.advance(70_000);

  expect(watch.silentMs()).toBe(70_000);
  expect(restarts).toEqual([]);
});

test('watches are asked for 5 to 10 minutes, spread by chance', async () => {
  onWatch = (request) => {
    stub.clock.chance = watches.length === 1 ? 0 : 0.99;
    request.watch().end();
  };
  stub.clock.chance = 0.5;
  start();
  await eventually('three watches have been asked for', () => watches.length === 3);

  expect(watches.map(({ query }) => query['timeoutSeconds'])).toEqual(['450', '300', '597']);
});
