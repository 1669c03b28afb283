// What doctor asks of a cluster, what it reads of the answers, and what it makes of errors. The API server is a stub here;
// test/long/doctor.test.ts has the real one.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLiveCluster, type LiveCluster } from '../../src/cli/doctor/live-cluster.ts';
import { isProblem } from '../../src/problem.ts';
import {
  startStubApiServer,
  until,
  type StubApiServer,
  type StubRequest,
} from '../cluster-edge/stub-api-server.ts';
import { writeKubeconfig } from './kubeconfig-file.ts';

const ACCOUNT = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-1',
  annotations: {},
  pullSecrets: [],
  isDeleting: false,
};

let stub: StubApiServer;
let stop: AbortController;
let cluster: LiveCluster;

beforeEach(async () => {
  stub = await startStubApiServer();
  stop = new AbortController();
  cluster = createLiveCluster(
    { kubeconfig: writeKubeconfig(stub) },
    { clock: stub.clock, signal: stop.signal },
  );
});
afterEach(async () => {
  await cluster[Symbol.asyncDispose]();
  await stub[Symbol.asyncDispose]();
});

const answers = (body: unknown) => {
  stub.handle = (request) => request.answer(200, body);
};
const refuses = (code: number, reason: string, message = reason) => {
  stub.handle = (request) => request.refuse(code, reason, { message });
};
const asked = () => stub.requests.map(({ method, path }) => `${method} ${path}`);

async function problemOf(promise: Promise<unknown>) {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isProblem(error)) throw new Error('there is no Problem', { cause: error });
  return { code: error.code, message: error.message };
}

const jwt = (header: object, claims: object) =>
  [header, claims, 'signature']
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');

describe('answers', () => {
  test('whom the API server takes us for, unless that cannot be shown', async () => {
    answers({ status: { userInfo: { username: 'jane' } } });
    expect(await cluster.greeting()).toBe('the API server takes you for jane');

    answers({ status: { userInfo: { username: 'a\u001B[31mb' } } });
    expect(await cluster.greeting()).toBe('the API server answers');
    expect(asked()[0]).toBe('POST /apis/authentication.k8s.io/v1/selfsubjectreviews');
  });

  test('an account and a namespace, by name', async () => {
    answers({
      metadata: { name: 'shop', namespace: 'shop', uid: 'u', annotations: { a: 'b' }, labels: { c: 'd' } },
    });

    expect(await cluster.account('shop', 'shop')).toMatchObject({
      kind: 'found',
      thing: { uid: 'u', annotations: { a: 'b' } },
    });
    expect(await cluster.namespace('shop')).toMatchObject({ kind: 'found', thing: { labels: { c: 'd' } } });
    expect(asked()).toEqual([
      'GET /api/v1/namespaces/shop/serviceaccounts/shop',
      'GET /api/v1/namespaces/shop',
    ]);
  });

  test('or by a list of one, where the user may only list', async () => {
    let items: unknown[] = [{ metadata: { name: 'web', uid: 'u' } }];
    stub.handle = (request: StubRequest) =>
      request.query['fieldSelector'] ? request.answer(200, { items }) : request.refuse(403, 'Forbidden');

    expect(await cluster.account('shop', 'web')).toMatchObject({ kind: 'found', thing: { uid: 'u' } });
    expect(stub.requests[1]?.query).toEqual({ fieldSelector: 'metadata.name=web', limit: '1' });
    items = [];
    expect(await cluster.account('shop', 'web')).toEqual({ kind: 'missing' });
  });

  test('the audiences of the fence, as a list in CEL has them', async () => {
    const variables = [
      { name: 'other', expression: '"x"' },
      { name: 'audiences', expression: `["https://a.example", 'b']` },
    ];
    answers({ spec: { variables } });
    expect(await cluster.fenceAudiences()).toEqual({ kind: 'found', thing: ['https://a.example', 'b'] });

    answers({});
    expect(await cluster.fenceAudiences()).toEqual({ kind: 'found', thing: [] });
  });

  test('a token, asked for with its one audience, for ten minutes, unbound, and for this uid alone', async () => {
    const text = jwt({ kid: 'key-1', alg: 'RS256' }, { iss: 'i', sub: 's', aud: ['a'] });
    answers({ status: { token: text, expirationTimestamp: '2026-11-21T12:10:00Z' } });

    const reply = await cluster.token(ACCOUNT, 'a');

    expect(asked()).toEqual(['POST /api/v1/namespaces/shop/serviceaccounts/web/token']);
    expect(stub.requests[0]?.body).toEqual({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { uid: 'uid-1' },
      spec: { audiences: ['a'], expirationSeconds: 600 },
    });
    expect(reply).toMatchObject({
      kind: 'found',
      thing: {
        keyId: 'key-1',
        algorithm: 'RS256',
        claims: { iss: 'i', sub: 's', aud: ['a'] },
        issuedAt: Date.parse('2026-11-21T12:00:00Z'),
        expiresAt: Date.parse('2026-11-21T12:10:00Z'),
      },
    });
    expect(JSON.stringify(reply)).not.toContain(text);
  });

  const fence = 'keyless-pull-worker-token-requests';
  const denied = (demand: string, policy = fence) =>
    `serviceaccounts "web" is invalid: : ValidatingAdmissionPolicy '${policy}' with binding 'b' denied request: keyless-pull's worker may only ask for tokens ${demand}`;
  test.each([
    [404, 'NotFound', 'serviceaccounts "web" not found', { kind: 'missing' }],
    [403, 'Forbidden', 'serviceaccounts "web" is forbidden', { kind: 'refused' }],
    [
      422,
      'Invalid',
      denied('with exactly one audience'),
      { kind: 'refused', policy: fence, demand: 'audience' },
    ],
    [
      422,
      'Invalid',
      denied('that are bound to a Secret'),
      { kind: 'refused', policy: fence, demand: 'binding' },
    ],
    [
      422,
      'Invalid',
      denied('in namespaces with the label keyless-pull.dev/inject (enabled or draining)'),
      { kind: 'refused', policy: fence, demand: 'namespace' },
    ],
    [403, 'Forbidden', denied('exactly one audience', 'no-tokens'), { kind: 'refused', policy: 'no-tokens' }],
  ])('no token: %s %s, %s', async (code, reason, message, reply) => {
    refuses(code, reason, message);

    expect(await cluster.token(ACCOUNT, 'a')).toEqual(reply);
  });
});

describe('errors', () => {
  test('credentials that are not accepted', async () => {
    refuses(401, 'Unauthorized');

    expect(await problemOf(cluster.discovery())).toEqual({
      code: 'cluster-refused',
      message: 'the API server does not accept the credentials of your kubeconfig: log in again',
    });
  });

  test('an account that was recreated meanwhile', async () => {
    refuses(409, 'Conflict');

    expect(await problemOf(cluster.token(ACCOUNT, 'a'))).toEqual({
      code: 'cluster-conflict',
      message: 'the ServiceAccount was recreated meanwhile: ask again',
    });
  });

  test('a kubeconfig that is not there is told by the first question', async () => {
    const nowhere = createLiveCluster(
      { kubeconfig: `${stub.folder}/nowhere` },
      { clock: stub.clock, signal: stop.signal },
    );

    expect(await problemOf(nowhere.greeting())).toMatchObject({ code: 'file-unreadable' });
  });

  test('an API server that says nothing is left after half a minute, or when the user has enough', async () => {
    stub.handle = () => undefined;
    const late = problemOf(cluster.discovery());
    await until('it was asked', () => stub.requests.length === 1);
    await stub.clock.advance(30_000);
    expect(await late).toMatchObject({ code: 'deadline' });

    const stopped = problemOf(cluster.discovery());
    stop.abort();
    expect(await stopped).toMatchObject({ code: 'deadline' });
  });
});
