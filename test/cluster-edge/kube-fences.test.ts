// How the fences are tried where RBAC gives the worker its rights everywhere, in some namespaces, or in none.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { tryFences } from '../../src/cluster/kube-fences.ts';
import { createKubeView } from '../../src/cluster/kube-view.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { createLog } from '../../src/log.ts';
import { problemOf } from '../cluster-contract.ts';
import { startStubApiServer, type StubApiServer, type StubRequest } from './stub-api-server.ts';
import type { KubeConnection } from '../../src/cluster/kube-connection.ts';
import type { NamespaceView } from '../../src/core/pod-view.ts';

type Answer = (request: StubRequest) => void;
const open: Answer = (request) => request.answer(201, {});
const fenced: Answer = (request) => {
  const policy = `ValidatingAdmissionPolicy 'keyless-pull-worker-secrets' with binding 'keyless-pull-worker-secrets'`;
  request.refuse(422, 'Invalid', { message: `x is invalid: ${policy} denied request: no` });
};
const noRight: Answer = (request) => {
  const of = /namespaces\/([^/]+)/.exec(request.path)?.[1];
  const message = `x is forbidden: User "x" cannot create resource "x" in API group "" in the namespace "${of}"`;
  request.refuse(403, 'Forbidden', { message });
};
const terminating: Answer = (request) =>
  request.refuse(403, 'Forbidden', { details: { causes: [{ reason: 'NamespaceTerminating' }] } });
const foreign: Answer = (request) =>
  request.refuse(403, 'Forbidden', { message: 'a policy of the cluster says no' });
const gone: Answer = (request) => request.refuse(404, 'NotFound');

let stub: StubApiServer;
let connection: KubeConnection;
/** In the order of the watch; the worker's own is the last. */
const namespaces: NamespaceView[] = [
  namespace('default', false),
  namespace('out', false),
  namespace('team-a', true),
  namespace('ending', true, true),
  namespace('team-b', true),
  namespace('keyless-pull', false),
];

beforeAll(async () => {
  stub = await startStubApiServer();
});
afterAll(() => stub[Symbol.asyncDispose]());
beforeEach(() => {
  connection = stub.connect();
});

/** What is missing, what stands around nothing, and where was asked, all by the answers of namespaces. */
async function tryThem(
  answers: { secrets?: Record<string, Answer>; tokens?: Record<string, Answer> },
  others: Answer,
) {
  const asked: Record<'secrets' | 'tokens', string[]> = { secrets: [], tokens: [] };
  stub.handle = (request) => {
    if (request.path.endsWith('/selfsubjectreviews')) {
      const userInfo = { username: 'system:serviceaccount:keyless-pull:keyless-pull' };
      return request.answer(201, { status: { userInfo } });
    }
    const of = /namespaces\/([^/]+)/.exec(request.path)?.[1] ?? '';
    const kind = request.path.endsWith('/token') ? 'tokens' : 'secrets';
    asked[kind].push(of);
    return (answers[kind]?.[of] ?? others)(request);
  };
  const nowhere: string[] = [];
  const tools = { connection, clock: stub.clock, log: createLog('silent') };
  const view = {
    ...createKubeView({ pods: false }, { ...tools, onRestart: () => undefined }),
    namespaces: () => namespaces,
  };
  const missing = await tryFences(
    { ...tools, view, namespace: 'keyless-pull', ownAudiences: [] },
    { signal: stub.clock.deadline(60_000), onNowhere: (fence) => nowhere.push(fence) },
  );
  return { missing, nowhere, asked };
}

test('with the rights in the whole cluster one question for each fence tells', async () => {
  expect(await tryThem({}, fenced)).toEqual({
    missing: [],
    nowhere: [],
    asked: { secrets: ['default'], tokens: ['keyless-pull'] },
  });
  expect(await tryThem({}, open)).toMatchObject({ missing: ['secrets', 'tokens'], nowhere: [] });
});

test("RBAC's no proves nothing: those that opted in are asked next, and the first that has the right tells", async () => {
  const standing = await tryThem({ secrets: { 'team-b': fenced }, tokens: { 'team-a': fenced } }, noRight);
  const missing = await tryThem({ secrets: { 'team-b': open }, tokens: { 'team-b': open } }, noRight);

  expect(standing).toEqual({
    missing: [],
    nowhere: [],
    asked: { secrets: ['default', 'team-a', 'team-b'], tokens: ['keyless-pull', 'team-a'] },
  });
  expect(missing).toMatchObject({ missing: ['secrets', 'tokens'], nowhere: [] });
});

test('a right in a namespace that has not opted in is found as well', async () => {
  const { missing, nowhere } = await tryThem({ secrets: { out: open }, tokens: { out: open } }, noRight);

  expect({ missing, nowhere }).toEqual({ missing: ['secrets', 'tokens'], nowhere: [] });
});

test('a right that is missing in every namespace leaves nothing to fence, and that is said', async () => {
  const { missing, nowhere, asked } = await tryThem({}, noRight);

  expect({ missing, nowhere }).toEqual({ missing: [], nowhere: ['secrets', 'tokens'] });
  expect(asked.secrets).toEqual(['default', 'team-a', 'team-b', 'out']);
  expect(asked.tokens).toEqual(['keyless-pull', 'team-a', 'team-b', 'default', 'out']);
});

test.each([
  ['another policy', foreign],
  ['a name that is not there', gone],
])('%s proves nothing either: with no fence that answers, it is missing', async (_, answer) => {
  const alone = await tryThem({ secrets: { default: answer }, tokens: { 'team-a': answer } }, noRight);
  const beside = await tryThem({ secrets: { default: answer }, tokens: { 'keyless-pull': answer } }, fenced);

  expect(alone).toMatchObject({ missing: ['secrets', 'tokens'], nowhere: [] });
  expect(beside).toMatchObject({ missing: [], nowhere: [] });
});

test('a namespace that is about to go is passed by', async () => {
  const { missing, nowhere } = await tryThem({ secrets: { 'team-a': terminating } }, noRight);

  expect({ missing, nowhere }).toEqual({ missing: [], nowhere: ['secrets', 'tokens'] });
});

test('an API server that fails is no answer', async () => {
  await problemOf(
    tryThem({ secrets: { default: (request) => request.refuse(500, 'InternalError') } }, fenced),
    'cluster-unreachable',
  );
});

test('no token of an audience that means anything is ever asked for, and no Secret is stored', async () => {
  const before = stub.requests.length;
  await tryThem({}, noRight);

  for (const { path, query, body } of stub.requests.slice(before)) {
    if (path.endsWith('/secrets')) expect(query).toEqual({ dryRun: 'All' });
    if (path.endsWith('/token'))
      expect(body).toMatchObject({ spec: { audiences: ['keyless-pull.dev/fence-probe'] } });
  }
});

function namespace(name: string, isOptedIn: boolean, isTerminating = false): NamespaceView {
  return { name, labels: isOptedIn ? { [INJECT_LABEL]: 'enabled' } : {}, isTerminating };
}
