// What the watches keep of what the API server sends.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createKubeView } from '../../src/cluster/kube-view.ts';
import { createLog } from '../../src/log.ts';
import { startStubApiServer, until, type StubApiServer } from './stub-api-server.ts';

let stub: StubApiServer;
const stop = new AbortController();
beforeEach(async () => {
  stub = await startStubApiServer();
});
afterEach(async () => {
  stop.abort();
  await stub[Symbol.asyncDispose]();
});

test('of the labels and annotations of pods those are kept that are ours', async () => {
  const metadata = {
    namespace: 'shop',
    name: 'web',
    uid: 'uid-1',
    resourceVersion: '7',
    labels: { app: 'web', 'keyless-pull.dev/inject': 'disabled' },
    annotations: { 'team.example/notes': 'x'.repeat(200_000), 'keyless-pull.dev/mount': '*' },
  };
  stub.handle = ({ path, query, answer, watch }) => {
    if (query['watch']) watch();
    else
      answer(200, {
        metadata: { resourceVersion: '7' },
        items: path.endsWith('/pods') ? [{ metadata }] : [],
      });
  };
  const tools = { connection: stub.connect(), clock: stub.clock, log: createLog('silent') };
  const view = createKubeView({ pods: true }, { ...tools, onRestart: () => undefined });
  const running = view.run(stop.signal);
  await until('all is listed', () => view.unsynced().length === 0);

  const [pod] = view.pods();

  expect(pod).toMatchObject({ namespace: 'shop', name: 'web', uid: 'uid-1' });
  expect(pod?.labels).toEqual({ 'keyless-pull.dev/inject': 'disabled' });
  expect(pod?.annotations).toEqual({ 'keyless-pull.dev/mount': '*' });
  stop.abort();
  await running;
});
