// The webhook over HTTP: exact JSON both ways.
import supertest from 'supertest';
import { describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { Problem } from '../../src/problem.ts';
import { createAdmissionWorld, podOf, reviewOf, REVIEW_UID } from '../fakes/admission-routes.ts';

const OWN = secretNameFor('builder', 'team-registry', '', 'registry.team.example:5000');
const PRIVATE = 'registry.team.example:5000/web/app:1.2.3';

function post(world: { handler: Parameters<typeof supertest>[0] }, path: string, body: unknown) {
  return supertest(world.handler)
    .post(path)
    .set('content-type', 'application/json')
    .send(JSON.stringify(body));
}

describe('POST /mutate', () => {
  test('answers a review in its own version, with its own uid and a patch in base64', async () => {
    const world = createAdmissionWorld();

    const answer = await post(world, '/mutate?timeout=5s', reviewOf(podOf(PRIVATE)));

    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.headers['x-powered-by']).toBeUndefined();
    expect(answer.headers['etag']).toBeUndefined();
    expect(answer.body).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: {
        uid: REVIEW_UID,
        allowed: true,
        patchType: 'JSONPatch',
        patch: expect.any(String),
        auditAnnotations: { plan: `team-registry=${OWN}`, gate: 'held' },
      },
    });
    expect(JSON.parse(Buffer.from(answer.body.response.patch, 'base64').toString())).toEqual([
      { op: 'add', path: '/spec/imagePullSecrets', value: [{ name: OWN }] },
      { op: 'add', path: '/metadata/labels', value: { 'keyless-pull.dev/managed': 'true' } },
      {
        op: 'add',
        path: '/metadata/annotations',
        value: { 'keyless-pull.dev/credentials': `team-registry=${OWN}` },
      },
      { op: 'add', path: '/spec/schedulingGates', value: [{ name: 'keyless-pull.dev/credentials' }] },
    ]);
    expect(world.answers).toEqual(['mutate patch gated']);
  });

  test('a pod that needs nothing is allowed, with no patch at all', async () => {
    const answer = await post(
      createAdmissionWorld(),
      '/mutate',
      reviewOf(podOf(PRIVATE), { operation: 'DELETE', object: null }),
    );

    expect(answer.body).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: REVIEW_UID, allowed: true },
    });
  });

  test('a review of something else than a pod is allowed', async () => {
    const world = createAdmissionWorld();

    await post(
      world,
      '/mutate',
      reviewOf({}, { kind: { group: 'apps', version: 'v1', kind: 'Deployment' } }),
    );
    await post(
      world,
      '/mutate',
      reviewOf({}, { kind: { group: 'example.com', version: 'v1', kind: 'Pod' } }),
    );

    expect(world.answers).toEqual(['mutate allow not-a-pod', 'mutate allow not-a-pod']);
  });

  test('keys that are called __proto__ are keys like any other', async () => {
    const body = JSON.stringify(reviewOf(podOf(PRIVATE, { marker: 1 }))).replace(
      '"marker":1',
      '"__proto__":{"nodeName":"node-a","isMirror":true},"constructor":{"prototype":{"polluted":true}}',
    );
    const world = createAdmissionWorld();

    const answer = await supertest(world.handler).post('/mutate').send(body);

    expect(answer.body.response.allowed).toBe(true);
    expect(world.answers).toEqual(['mutate patch gated']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(({} as Record<string, unknown>)['nodeName']).toBeUndefined();
  });

  test('nothing that could deceive a terminal gets into a warning', async () => {
    const image = 'evil.example/app\u202e';
    const answer = await post(createAdmissionWorld(), '/mutate', reviewOf(podOf(image)));

    expect(JSON.stringify(answer.body.response.warnings)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('one line of log tells of a pod that was given something, and debug of the rest', async () => {
    const world = createAdmissionWorld();

    await post(world, '/mutate', reviewOf(podOf(PRIVATE), { dryRun: true }));
    await post(world, '/mutate', reviewOf(podOf('nginx')));

    expect(world.lines).toMatchObject([
      {
        level: 'info',
        message: 'pod given its references',
        uid: REVIEW_UID,
        namespace: 'team-a',
        pod: 'web',
        serviceAccount: 'builder',
        registries: ['registry.team.example:5000'],
        path: 'mutate',
        reason: 'gated',
        dryRun: true,
      },
      { level: 'debug', message: 'pod left alone', reason: 'no-needs' },
    ]);
  });
});

describe('POST /validate', () => {
  const pod = podOf(PRIVATE, { imagePullSecrets: [{ name: 'nexus' }, { name: OWN }] });

  test('enforce denies with 403 and a message that says what to do', async () => {
    const answer = await post(createAdmissionWorld(), '/validate/enforce', reviewOf(pod));

    expect(answer.status).toBe(200);
    expect(answer.body.response).toEqual({
      uid: REVIEW_UID,
      allowed: false,
      status: {
        status: 'Failure',
        code: 403,
        reason: 'Forbidden',
        message:
          '"nexus" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line; ' +
          'keyless-pull gives this pod its own credential for registry.team.example:5000 ' +
          '(keyless-pull render -f <manifest> --config <config> shows what team-a/web gets)',
      },
      auditAnnotations: { 'static-pull-secrets': 'nexus (explicit)' },
    });
  });

  test('warn admits with warnings that fit on a screen, audit with none', async () => {
    const world = createAdmissionWorld();

    const warn = await post(world, '/validate/warn', reviewOf(pod));
    const audit = await post(world, '/validate/audit', reviewOf(pod));

    expect(warn.body.response.allowed).toBe(true);
    expect(warn.body.response.warnings).toHaveLength(2);
    for (const warning of warn.body.response.warnings) expect(warning.length).toBeLessThanOrEqual(120);
    expect(audit.body.response).toEqual({
      uid: REVIEW_UID,
      allowed: true,
      auditAnnotations: { 'static-pull-secrets': 'nexus (explicit)' },
    });
  });

  test('a hundred thousand pull secrets are judged in one go, and the answer stays short', async () => {
    const imagePullSecrets = Array.from({ length: 100_000 }, (_, at) => ({ name: `s${at}` }));

    const answer = await post(
      createAdmissionWorld(),
      '/validate/enforce',
      reviewOf(podOf(PRIVATE, { imagePullSecrets })),
    );

    expect(answer.body.response.allowed).toBe(false);
    expect(answer.body.response.status.message).toContain('and 99990 more');
    expect(answer.body.response.status.message.length).toBeLessThan(2_000);
  });
});

describe('what is not a review', () => {
  test.each([
    ['an empty body', '', 'the body is empty'],
    ['no JSON', 'hello', 'the body is no JSON'],
    ['truncated JSON', JSON.stringify(reviewOf(podOf(PRIVATE))).slice(0, -20), 'the body is no JSON'],
    ['a list', '[]', 'the body is no AdmissionReview'],
    ['null', 'null', 'the body is no AdmissionReview'],
    ['a pod', JSON.stringify(podOf(PRIVATE)), 'the body is no AdmissionReview'],
    [
      'an older version',
      JSON.stringify({ ...reviewOf({}), apiVersion: 'admission.k8s.io/v1beta1' }),
      'only admission.k8s.io/v1 is spoken here',
    ],
    [
      'a review without a request',
      '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
      'no request.uid',
    ],
    ['a review with a number as uid', JSON.stringify(reviewOf({}, { uid: 7 })), 'no request.uid'],
    [
      'a review with an endless uid',
      JSON.stringify(reviewOf({}, { uid: 'x'.repeat(1000) })),
      'no request.uid',
    ],
    ['10,000 levels', '['.repeat(10_000) + ']'.repeat(10_000), 'the body nests deeper than 200 levels'],
    [
      '201 levels in a review',
      JSON.stringify(reviewOf(null)).replace('null', nested(199)),
      'nests deeper than 200',
    ],
  ])('%s is answered with 400 and why', async (_name, body, message) => {
    const world = createAdmissionWorld();

    const answer = await supertest(world.handler)
      .post('/mutate')
      .set('content-type', 'application/json')
      .send(body);

    expect(answer.status).toBe(400);
    expect(answer.body).toEqual({ code: 'review-malformed', message: expect.stringContaining(message) });
    expect(world.answers).toEqual(['mutate refused review-malformed']);
  });

  test('198 levels in a review, and brackets in texts, are taken', async () => {
    const text = JSON.stringify(reviewOf(podOf(PRIVATE))).replace('"web"', `"${'[{\\"'.repeat(300)}"`);
    const deep = text.replace('"oldObject":null', `"oldObject":${nested(198)}`);

    const answer = await supertest(createAdmissionWorld().handler).post('/mutate').send(deep);

    expect(answer.status).toBe(200);
  });

  test('another method, path or a compressed body is refused in the same words', async () => {
    const { handler } = createAdmissionWorld();

    const get = await supertest(handler).get('/mutate');
    const elsewhere = await supertest(handler).post('/validate/off').send('{}');
    const packed = await supertest(handler).post('/mutate').set('content-encoding', 'gzip').send('{}');

    expect([get.status, get.headers['allow'], get.body.code]).toEqual([405, 'POST', 'review-malformed']);
    expect([elsewhere.status, elsewhere.body.code]).toEqual([404, 'review-malformed']);
    expect([packed.status, packed.body.code]).toEqual([415, 'review-malformed']);
  });
});

describe('a verdict for every review with a uid', () => {
  const failing = (error: Error) => () => ({
    account: () => Promise.reject(error),
    namespace: () => Promise.reject(error),
  });
  const unseen = podOf(PRIVATE, { serviceAccountName: 'unseen', imagePullSecrets: [{ name: 'nexus' }] });

  test('an account that cannot be known yet: the references are added all the same', async () => {
    const world = createAdmissionWorld({ lookupFor: failing(new Problem('not-ready', 'no')) });

    const answer = await post(world, '/mutate', reviewOf(unseen));

    expect(answer.body.response.patch).toBeDefined();
    expect(world.answers).toEqual(['mutate patch gated']);
  });

  test('before the watches have listed, the API server is asked to come again, elsewhere', async () => {
    const world = createAdmissionWorld({ lookupFor: failing(new Problem('not-ready', 'no account yet')) });
    world.view.seen.unsynced.push('serviceaccounts');

    const answer = await post(world, '/mutate', reviewOf(unseen));

    expect([answer.status, answer.headers['retry-after'], answer.headers['connection']]).toEqual([
      503,
      '1',
      'close',
    ]);
    expect(answer.body).toEqual({ code: 'not-ready', message: 'no account yet' });
    expect(world.answers).toEqual(['mutate refused not-ready']);
  });

  test('a policy that cannot be applied is asked for again in enforce, and holds nobody up in warn and audit', async () => {
    const world = createAdmissionWorld({ lookupFor: failing(new Problem('not-ready', 'no')) });

    const enforce = await post(world, '/validate/enforce', reviewOf(unseen));
    const warn = await post(world, '/validate/warn', reviewOf(unseen));
    const audit = await post(world, '/validate/audit', reviewOf(unseen));

    expect(enforce.status).toBe(503);
    expect([warn.body.response.allowed, audit.body.response.allowed]).toEqual([true, true]);
    expect(warn.body.response.auditAnnotations).toEqual({ 'not-checked': 'not-ready' });
  });

  test('a fault of our own is a denial where it matters, and a line in the log with its stack', async () => {
    const world = createAdmissionWorld({ lookupFor: failing(new TypeError('secret words of a bug')) });

    const mutate = await post(world, '/mutate', reviewOf(unseen));
    const warn = await post(world, '/validate/warn', reviewOf(unseen));

    expect(mutate.status).toBe(200);
    expect(mutate.body.response).toMatchObject({
      uid: REVIEW_UID,
      allowed: false,
      status: { code: 500, reason: 'InternalError' },
    });
    expect(warn.body.response).toMatchObject({ uid: REVIEW_UID, allowed: true });
    expect(world.lines[0]).toMatchObject({ level: 'error', message: 'review failed', uid: REVIEW_UID });
    expect(JSON.stringify([mutate.body, world.lines])).not.toContain('secret words');
  });

  test('while draining there is no verdict, but the advice to ask another replica', async () => {
    const world = createAdmissionWorld();
    world.isDraining = true;

    const answer = await post(world, '/mutate', reviewOf(podOf(PRIVATE)));

    expect([answer.status, answer.headers['retry-after'], answer.headers['connection']]).toEqual([
      503,
      '1',
      'close',
    ]);
    expect(answer.body.code).toBe('not-ready');
  });
});

test('with more to do than it can bear it answers as while draining, and says why', async () => {
  const world = createAdmissionWorld();
  world.overload = 'this replica has too many connections';

  const answer = await post(world, '/validate/enforce', reviewOf(podOf(PRIVATE)));
  world.overload = undefined;
  const afterwards = await post(world, '/mutate', reviewOf(podOf(PRIVATE)));

  expect([answer.status, answer.headers['retry-after'], answer.headers['connection']]).toEqual([
    503,
    '1',
    'close',
  ]);
  expect(answer.body).toMatchObject({ code: 'not-ready', message: 'this replica has too many connections' });
  expect(world.answers[0]).toBe('validate/enforce refused not-ready');
  expect(afterwards.status).toBe(200);
});

test('the time for a review is what the API server says, less a margin, and never more than a second', async () => {
  const asked: number[] = [];
  const clock = {
    ...createAdmissionWorldClock(),
    deadline: (ms: number) => (asked.push(Math.round(ms)), AbortSignal.abort()),
  };
  const lookup = {
    account: (_namespace: string, _name: string, signal: AbortSignal) =>
      signal.aborted ? Promise.reject(new Problem('deadline', 'too late')) : Promise.resolve(undefined),
    namespace: () => Promise.resolve(undefined),
  };
  const world = createAdmissionWorld({ clock, lookupFor: () => lookup });
  const pod = podOf(PRIVATE, { serviceAccountName: 'unseen' });

  for (const query of ['?timeout=5s', '?timeout=1s', '?timeout=0s', '', '?timeout=nonsense']) {
    await post(world, `/mutate${query}`, reviewOf(pod));
  }

  expect(asked).toEqual([1_000, 750, 0, 1_000, 1_000]);
});

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

function createAdmissionWorldClock() {
  return {
    now: () => Date.parse('2026-11-21T12:00:00Z'),
    monotonic: () => 0,
    sleep: () => Promise.resolve(),
    afterTurn: (task: () => void) => void setImmediate(task),
    random: () => 0.5,
  };
}
