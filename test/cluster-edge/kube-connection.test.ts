// The one connection to the API server, when it throttles, hangs, breaks off, refuses, or is not who it should be.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKubeCalls } from '../../src/cluster/kube-calls.ts';
import type { KubeCall, KubeConnection } from '../../src/cluster/kube-connection.ts';
import { createKubeView } from '../../src/cluster/kube-view.ts';
import { secretManifest } from '../../src/core/pull-secret.ts';
import { createLog, showError } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { problemOf } from '../cluster-contract.ts';
import { TEST_HOST, needOf } from '../fakes/builders.ts';
import { startStubApiServer, until, type StubApiServer } from './stub-api-server.ts';

const CALLS_IN_FLIGHT = 16;

let stub: StubApiServer;
let connection: KubeConnection;

beforeEach(async () => {
  stub = await startStubApiServer();
  connection = stub.connect();
});
afterEach(() => stub[Symbol.asyncDispose]());

const get = (
  path: string,
  more: Partial<Pick<KubeCall, 'signal' | 'urgent' | 'priority' | 'mayStill'>> = {},
) => connection.call({ method: 'GET', path, signal: stub.clock.deadline(60_000), ...more });
const paths = () => stub.requests.map(({ path }) => path);

describe('throttling', () => {
  test('a call that is answered 429 is asked again after Retry-After and some more, not before', async () => {
    stub.handle = (request) =>
      stub.requests.length === 1
        ? request.answer(429, { kind: 'Status' }, { 'retry-after': '4' })
        : request.answer(200, { kind: 'Done' });
    const call = get('/slow');
    await until('the first answer has come', () => stub.clock.waiting() > 1);

    await stub.clock.advance(3_900);
    expect(stub.requests).toHaveLength(1);
    await stub.clock.advance(2_200);

    expect(await call).toEqual({ kind: 'Done' });
    expect(stub.requests).toHaveLength(2);
  });

  test('who waits for Retry-After takes no place from others', async () => {
    stub.handle = (request) =>
      request.path === '/fine' ? request.answer(200, {}) : request.answer(429, {}, { 'retry-after': '30' });
    const stop = new AbortController();
    const throttled = Array.from({ length: CALLS_IN_FLIGHT }, (_, at) =>
      problemOf(get(`/throttled-${at}`, { signal: stop.signal }), 'deadline'),
    );
    await until('all are throttled', () => stub.requests.length === CALLS_IN_FLIGHT);

    expect(await get('/fine')).toEqual({});

    stop.abort();
    await Promise.all(throttled);
  });

  test('a call that is throttled for longer than its time ends as deadline', async () => {
    stub.handle = (request) => request.answer(429, {}, { 'retry-after': '1' });
    const late = problemOf(get('/never', { signal: stub.clock.deadline(10_000) }), 'deadline');

    await until('it has been asked more than once', () => stub.requests.length > 2, {
      clock: stub.clock,
      tickMs: 100,
    });
    await stub.clock.advance(10_000);

    expect((await late).message).toBe('the call to the API server ran out of time');
  });
});

describe('turns', () => {
  /** Sixteen calls that hang until the test answers them. */
  async function fill() {
    stub.handle = () => undefined;
    const filling = Array.from({ length: CALLS_IN_FLIGHT }, (_, at) => get(`/filling-${at}`));
    await until('all places are taken', () => stub.requests.length === CALLS_IN_FLIGHT);
    return async () => {
      stub.handle = (request) => request.answer(200, {});
      for (const request of stub.requests.slice(0, CALLS_IN_FLIGHT)) request.answer(200, {});
      await Promise.all(filling);
    };
  }

  test('no more than sixteen calls are in flight', async () => {
    const release = await fill();
    const waiting = [get('/17'), get('/18')];
    await new Promise((resolve) => setImmediate(resolve));

    expect(stub.requests).toHaveLength(CALLS_IN_FLIGHT);
    await release();

    await Promise.all(waiting);
    expect(paths().slice(CALLS_IN_FLIGHT).toSorted()).toEqual(['/17', '/18']);
  });

  test('of those who wait the urgent go first and the idle last', async () => {
    await fill();
    const done = [get('/idle', { priority: 'idle' }), get('/ordinary'), get('/urgent', { urgent: true })];
    await new Promise((resolve) => setImmediate(resolve));

    for (const [at, wanted] of ['/urgent', '/ordinary', '/idle'].entries()) {
      stub.requests[at]?.answer(200, {});
      await until(`${wanted} is asked`, () => paths().at(-1) === wanted);
    }

    expect(paths().slice(CALLS_IN_FLIGHT)).toEqual(['/urgent', '/ordinary', '/idle']);
    for (const request of stub.requests.slice(3)) request.answer(200, {});
    await Promise.all(done);
  });

  test('a vital call waits for nobody', async () => {
    const release = await fill();

    const vital = get('/lease', { priority: 'vital' });
    await until('it is asked', () => paths().includes('/lease'));

    stub.requests.at(-1)?.answer(200, { kind: 'Lease' });
    expect(await vital).toEqual({ kind: 'Lease' });
    await release();
  });

  test('watches take no place from calls', async () => {
    stub.handle = (request) => (request.path === '/watch' ? void request.watch() : request.answer(200, {}));
    const stop = new AbortController();
    const following = Array.from({ length: 5 }, async () => {
      for await (const _ of connection.lines({ path: '/watch', signal: stop.signal })) break;
    });
    await until('five watches are open', () => stub.requests.length === 5);

    await Promise.all(Array.from({ length: 40 }, (_, at) => get(`/call-${at}`)));

    stop.abort();
    for (const ended of await Promise.allSettled(following)) expect(ended.status).toBe('rejected');
  });

  test('a call whose time is up while it waits for its turn is never sent', async () => {
    const release = await fill();
    const late = problemOf(get('/late', { signal: stub.clock.deadline(5_000) }), 'deadline');

    await stub.clock.advance(5_000);

    expect((await late).message).toContain('waited for its turn');
    await release();
    expect(paths()).not.toContain('/late');
  });
});

describe('who may not write any more', () => {
  const lost = () => {
    throw new Problem('lease-lost', 'another worker leads');
  };

  test('does not, though his call was waiting for its turn before', async () => {
    stub.handle = () => undefined;
    const filling = Array.from({ length: CALLS_IN_FLIGHT }, (_, at) => get(`/filling-${at}`));
    await until('all places are taken', () => stub.requests.length === CALLS_IN_FLIGHT);
    let mayStill = () => undefined as void;
    const late = problemOf(get('/late', { mayStill: () => mayStill() }), 'lease-lost');
    await new Promise((resolve) => setImmediate(resolve));

    mayStill = lost;
    for (const request of stub.requests.slice(0, CALLS_IN_FLIGHT)) request.answer(200, {});

    await Promise.all([late, ...filling]);
    expect(paths()).not.toContain('/late');
  });

  test('does not, though the API server asked him to come again', async () => {
    stub.handle = (request) => request.answer(429, {}, { 'retry-after': '4' });
    let mayStill = () => undefined as void;
    const late = problemOf(get('/late', { mayStill: () => mayStill() }), 'lease-lost');
    await until('the first answer has come', () => stub.clock.waiting() > 1);

    mayStill = lost;
    await stub.clock.advance(8_000);

    await late;
    expect(paths()).toEqual(['/late']);
  });
});

describe('deadlines and broken connections', () => {
  test('a call that is not answered ends at its deadline, and gives up its connection', async () => {
    stub.handle = () => undefined;
    const late = problemOf(get('/hangs', { signal: stub.clock.deadline(5_000) }), 'deadline');
    await until('it is asked', () => stub.requests.length === 1);

    await stub.clock.advance(5_000);

    await late;
    await until('the API server sees it', () => stub.requests[0]?.isAborted === true);
  });

  test('an answer that stops half-way ends at the deadline too', async () => {
    stub.handle = (request) => request.watch().write('{"half":');
    const late = problemOf(get('/half', { signal: stub.clock.deadline(5_000) }), 'deadline');
    await until('it is asked', () => stub.requests.length === 1);

    await stub.clock.advance(5_000);

    await late;
  });

  test('a connection that is cut is unreachable, and the next call makes a new one', async () => {
    stub.handle = (request) =>
      stub.requests.length === 1 ? request.reset() : request.answer(200, { kind: 'Done' });

    const problem = await problemOf(get('/cut'), 'cluster-unreachable');

    expect(problem.message).toBe('the API server cannot be reached');
    expect(await get('/again')).toEqual({ kind: 'Done' });
  });

  test("a proxy's error page is no answer, and does not break anything", async () => {
    stub.handle = (request) =>
      request.answer(502, '<html>bad gateway</html>', { 'content-type': 'text/html' });

    expect((await problemOf(get('/proxy'), 'cluster-unreachable')).details.upstream).toBe('502');
  });

  test('an API server of another authority is named as such in a sentence', async () => {
    const stranger = await createCertificateAuthority('somebody else');
    connection = stub.connect({ ca: stranger.certificate });

    const problem = await problemOf(get('/'), 'cluster-unreachable');

    expect(problem.message).toMatch(
      /^the API server's certificate is not accepted \([A-Z_]+\): check the authority/,
    );
    expect(stub.requests).toEqual([]);
  });

  test('an address where nothing listens is named as such in a sentence', async () => {
    await stub.close();

    const problem = await problemOf(get('/'), 'cluster-unreachable');

    expect(problem.message).toBe('the API server cannot be reached: nothing listens at its address');
  });
});

describe('what the API server says', () => {
  const MARK = 'c3VwZXItc2VjcmV0LXZhbHVl';
  /** As a real API server words it when an immutable field is changed: with the value. */
  const talkative = {
    message: `Secret "x" is invalid: type: Invalid value: "${MARK}": field is immutable, ValidatingAdmissionPolicy '${MARK}'`,
    details: { name: MARK, causes: [{ reason: MARK, message: `Invalid value: "${MARK}"`, field: 'type' }] },
  };

  test.each([400, 401, 403, 404, 409, 422, 500, 503])(
    'a secret value in the words of a %d shows nowhere in the problem',
    async (status) => {
      stub.handle = (request) => request.refuse(status, MARK, talkative);

      const problem: Problem = await problemOf(
        get('/talkative'),
        'cluster-refused',
        'cluster-missing',
        'cluster-conflict',
        'cluster-unreachable',
      );

      const lines: string[] = [];
      const log = createLog('debug', { write: (line) => lines.push(line) });
      log.error({ error: problem }, 'refused');
      const shown = [
        problem.message,
        problem.stack,
        JSON.stringify(problem),
        JSON.stringify(problem.details),
        JSON.stringify(showError(problem)),
        ...lines,
      ].join('\n');
      expect(shown).not.toContain(MARK);
      expect(shown).not.toContain('super-secret-value');
      expect(problem.details.upstream).toBe(String(status));
    },
  );

  test('a secret value in the words of a watch shows nowhere in the problem', async () => {
    stub.handle = (request) => request.refuse(403, MARK, talkative);
    const follow = async () => {
      for await (const line of connection.lines({ path: '/watch', signal: stub.clock.deadline(60_000) })) {
        expect(line).toBe('never');
      }
    };

    const problem = await problemOf(follow(), 'cluster-refused');

    expect(JSON.stringify([problem.message, problem.details, showError(problem)])).not.toContain(MARK);
  });

  test('the password that a refused Secret carries shows nowhere in the problem', async () => {
    const calls = createKubeCalls({
      connection,
      view: createKubeView(
        { pods: false },
        { connection, clock: stub.clock, log: createLog('silent'), onRestart: () => undefined },
      ),
      namespace: 'keyless-pull',
      ownAudiences: [],
      clock: stub.clock,
      log: createLog('silent'),
    });
    stub.handle = (request) => request.refuse(422, 'Invalid', { message: JSON.stringify(request.body) });
    const need = needOf({ namespace: 'team-a', name: 'builder', uid: 'uid-1' });
    const password = new SecretText('super-secret-value');
    const credential = {
      hosts: [TEST_HOST],
      username: 'team-a/builder',
      password,
      issuedAt: 0,
      expiresAt: 1,
    };
    const manifest = secretManifest(need, 'uid-2', { uid: 'uid-3', credential });

    const problem = await problemOf(
      calls.updateSecret(manifest, { signal: stub.clock.deadline(60_000) }),
      'secret-not-ours',
    );

    const shown = JSON.stringify([problem.message, problem.stack, problem.details, showError(problem)]);
    expect(shown).not.toContain('super-secret-value');
    expect(shown).not.toContain(manifest.data['.dockerconfigjson']);
    expect(problem.message).toBe(`Secret team-a/${need.secretName} exists and is not ours`);
  });

  test('a quota that is used up has a code of its own', async () => {
    const message =
      'secrets "x" is forbidden: exceeded quota: small, requested: secrets=1, used: secrets=1, limited: secrets=1';
    stub.handle = (request) => request.refuse(403, 'Forbidden', { message });

    await problemOf(get('/quota'), 'quota-exceeded');
  });

  test.each([
    [
      'secrets is forbidden: User "system:serviceaccount:keyless-pull:keyless-pull" cannot create resource "secrets" in API group "" in the namespace "team-a"',
      'create secrets in namespace team-a',
    ],
    [
      'serviceaccounts "builder" is forbidden: User "x" cannot create resource "serviceaccounts/token" in API group "" in the namespace "team-a": no, says another authorizer',
      'create serviceaccounts/token in namespace team-a',
    ],
    [
      'pullcredentials.keyless-pull.dev is forbidden: User "x" cannot list resource "pullcredentials" in API group "keyless-pull.dev" at the cluster scope',
      'list pullcredentials in the whole cluster',
    ],
    [
      'leases.coordination.k8s.io is forbidden: User "x" cannot list resource "leases" in API group "coordination.k8s.io" in the namespace "team-a"',
      'list leases in namespace team-a',
    ],
  ])('a right that is missing is named: %s', async (message, right) => {
    stub.handle = (request) => request.refuse(403, 'Forbidden', { message });

    const problem = await problemOf(get('/right'), 'cluster-refused');

    expect(problem.message).toBe(`GET /right: no right to ${right}`);
    expect(problem.details).toEqual({ upstream: '403 Forbidden', missingRight: right });
  });

  test.each([
    'pods "x" is forbidden: violates PodSecurity "restricted:latest"',
    'admission webhook "x" denied the request: secrets is forbidden: User "x" cannot create resource "secrets" in API group "" in the namespace "team-a"',
    `secrets "x" is forbidden: ValidatingAdmissionPolicy 'other' with binding 'other' denied request: secrets is forbidden: User "x" cannot create resource "secrets" in API group ""`,
  ])('what admission says is no right that is missing: %s', async (message) => {
    stub.handle = (request) => request.refuse(403, 'Forbidden', { message });

    const problem = await problemOf(get('/right'), 'cluster-refused');

    expect(problem.details.missingRight).toBeUndefined();
  });
});
