// The API server as the judge: what it is asked, what of its answers is believed, and for how long.
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { generateKeyPair } from 'jose';
import { showError } from '../../src/log.ts';
import { SecretText } from '../../src/secret-text.ts';
import { CALL_DEADLINE_MS } from '../../src/token-server/json-call.ts';
import { BAD_MS, GOOD_MS } from '../../src/token-server/review-check.ts';
import type { TrustedIssuer } from '../../src/token-server/trusted-issuer.ts';
import { createTokenVerifier } from '../../src/token-server/verify-token.ts';
import type { Mood } from '../fakes/strict-server.ts';
import { problemAtStart, problemOf, setUpTrust, until } from './set-up.ts';
import { createTokenReviewDouble } from './token-review-double.ts';

const GONE = 'the cluster does not accept the token: it ended, or what it was bound to is gone';

async function setUp() {
  await using opened = new AsyncDisposableStack();
  const trust = opened.use(await setUpTrust());
  const { issuer, clock, folder } = trust;
  const double = opened.use(await createTokenReviewDouble({ issuer, clock }));
  const trusted: TrustedIssuer = {
    issuer: issuer.url,
    audience: issuer.audience,
    check: 'tokenReview',
    keysHosts: [],
    tokenReview: {
      server: double.server.url,
      certificateAuthorityFile: folder.write('api-ca.pem', double.server.certificateAuthorityPem),
      bearerFile: folder.write('reviewer-token', 'reviewer\n'),
    },
  };
  const verifier = createTokenVerifier({ issuers: [trusted], clock });
  const owned = opened.move();
  return {
    issuer,
    clock,
    folder,
    double,
    verifier,
    verify: async (token: string | Promise<string>, signal = new AbortController().signal) =>
      await verifier.verify(new SecretText(await token), signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe('a token that its API server confirms', () => {
  test('says whose it is and when it ends', async () => {
    await using world = await setUp();

    const verified = await world.verify(world.issuer.token());

    expect(verified).toMatchObject({
      issuer: world.issuer.url,
      namespace: 'team-a',
      serviceAccount: 'builder',
      uid: '0a1b2c3d-0000-4000-8000-000000000001',
      expiresAt: world.clock.now() + 3_600_000,
    });
    expect(world.issuer.requests).toEqual([]);
  });

  test('is asked about once by a hundred logins at once, and then once in five seconds', async () => {
    await using world = await setUp();
    const token = await world.issuer.token();

    await Promise.all(Array.from({ length: 100 }, () => world.verify(token)));
    await world.clock.advance(GOOD_MS);
    await world.verify(token);
    const within = world.double.reviews();
    await world.clock.advance(1);
    await world.verify(token);

    expect([within, world.double.reviews()]).toEqual([1, 2]);
  });

  test('is refused within seconds of the deletion of what it was bound to', async () => {
    await using world = await setUp();
    const token = await world.issuer.token();
    await world.verify(token);

    world.double.deleted.add(token);
    await world.clock.advance(GOOD_MS + 1);

    expect(await problemOf(world.verify(token))).toMatchObject({ code: 'login-refused', message: GONE });
  });

  test('is good again soon after it was unknown: a refusal is remembered for two seconds only', async () => {
    await using world = await setUp();
    const token = await world.issuer.token();
    world.double.deleted.add(token);
    await problemOf(world.verify(token));
    world.double.deleted.clear();

    const remembered = await problemOf(world.verify(token));
    await world.clock.advance(BAD_MS + 1);

    expect(remembered.message).toBe(GONE);
    await expect(world.verify(token)).resolves.toMatchObject({ namespace: 'team-a' });
    expect(world.double.reviews()).toBe(2);
  });

  test('is not good beyond its own end, also while its answer is remembered', async () => {
    await using world = await setUp();
    const token = await world.issuer.token({ claims: { exp: world.clock.now() / 1000 + 2 } });
    await world.verify(token);

    await world.clock.advance(2000);
    world.clock.turn(31_000);

    expect(await problemOf(world.verify(token))).toMatchObject({ message: 'the token has expired' });
  });
});

describe('of the answer is not believed', () => {
  test.for<[string, Record<string, unknown>, string]>([
    [
      'a yes without audiences',
      { audiences: undefined },
      'the cluster does not confirm the audience of the token',
    ],
    [
      'a yes for another audience',
      { audiences: ['x'] },
      'the cluster does not confirm the audience of the token',
    ],
    [
      'a yes for another account',
      { user: { username: 'system:serviceaccount:team-b:builder', uid: '1' } },
      'the cluster knows the token as somebody else',
    ],
    [
      'a yes for a recreated account of the same name',
      { user: { username: 'system:serviceaccount:team-a:builder', uid: '1' } },
      'the cluster knows the token as somebody else',
    ],
    ['a yes for nobody', { user: undefined }, 'the cluster knows the token as somebody else'],
    ['a user without a yes', { authenticated: undefined }, GONE],
  ])('%s', async ([, status, sentence]) => {
    await using world = await setUp();
    world.double.status = status;

    const problem = await problemOf(world.verify(world.issuer.token()));

    expect(problem).toMatchObject({ code: 'login-refused', message: sentence });
  });
});

describe('an API server that cannot be asked', () => {
  test.for<[Mood, string]>([
    ['dropping', 'exchange-unreachable'],
    ['failing', 'exchange-unreachable'],
    ['bad-gateway', 'exchange-unreachable'],
    ['throttling', 'exchange-unreachable'],
    ['truncating', 'exchange-unreachable'],
    ['redirecting', 'exchange-malformed'],
    ['html', 'exchange-malformed'],
    ['endless', 'exchange-malformed'],
  ])('because it is %s lets nobody in, and means "try again"', async ([mood, code]) => {
    await using world = await setUp();
    const token = await world.issuer.token();
    await world.verify(token);
    await world.clock.advance(GOOD_MS + 1);
    world.double.server.mood = mood;

    const problem = await problemOf(world.verify(token));

    expect(problem.code).toBe('exchange-unreachable');
    expect(showError(problem).cause).toMatchObject({ code });
    world.double.server.mood = 'well';
    await expect(world.verify(token)).resolves.toBeDefined();
  });

  test('because it never answers is given up after five seconds', async () => {
    await using world = await setUp();
    const token = await world.issuer.token();
    await world.verify(token);
    await world.clock.advance(GOOD_MS + 1);
    world.double.server.mood = 'stalling';

    const refused = problemOf(world.verify(token));
    await until(() => world.double.reviews() === 2);
    await world.clock.advance(CALL_DEADLINE_MS);

    expect(await refused).toMatchObject({ code: 'exchange-unreachable' });
    expect(showError(await refused).cause?.message).toMatch(/cannot be reached: no answer in 5 s$/);
  });

  test('because our own bearer is refused says what to do, and takes a new one from the file', async () => {
    await using world = await setUp();
    world.double.bearer = 'rotated';

    const [failure] = await world.verifier.prepare();
    const problem = await problemOf(world.verify(world.issuer.token()));
    world.folder.write('reviewer-token', 'rotated');

    expect(failure).toMatchObject({ issuer: world.issuer.url, error: { code: 'exchange-refused' } });
    expect(showError(problem).cause?.message).toMatch(
      /answered 401: bearerFile must hold a valid token of an account that may create tokenreviews$/,
    );
    await expect(world.verify(world.issuer.token())).resolves.toBeDefined();
  });

  test('is no reason for others who wait to give up when one of them does', async () => {
    await using world = await setUp();
    const token = await world.issuer.token();
    await world.verify(world.issuer.token());
    world.double.server.mood = 'stalling';
    const caller = new AbortController();

    const impatient = problemOf(world.verify(token, caller.signal));
    const patient = problemOf(world.verify(token));
    await until(() => world.double.reviews() === 2);
    caller.abort();

    expect(await impatient).toMatchObject({ code: 'deadline' });
    await world.clock.advance(CALL_DEADLINE_MS);
    expect(await patient).toMatchObject({ code: 'exchange-unreachable' });
    expect(world.double.reviews()).toBe(2);
  });
});

test('a review that fails after its only caller has gone is nobody’s trouble', async () => {
  await using world = await setUp();
  await world.verify(world.issuer.token());
  world.double.server.mood = 'stalling';

  const problem = await problemOf(
    world.verify(world.issuer.token({ claims: { jti: 'b' } }), AbortSignal.abort()),
  );
  await until(() => world.double.reviews() === 2);
  // An unhandled rejection would fail the run.
  await world.clock.advance(CALL_DEADLINE_MS);
  await new Promise((resolve) => setImmediate(resolve));

  expect(problem).toMatchObject({ code: 'deadline' });
});

test('an issuer without tokenReview is the cluster of the pod itself, asked as the pod', async () => {
  await using world = await setUp();
  const trusted: TrustedIssuer = {
    issuer: world.issuer.url,
    audience: world.issuer.audience,
    check: 'tokenReview',
    keysHosts: [],
  };

  const problem = await problemAtStart(createTokenVerifier({ issuers: [trusted], clock: world.clock }));

  expect(problem.code).toBe('file-unreadable');
  expect(problem.message).toContain('/var/run/secrets/kubernetes.io/serviceaccount/ca.crt');
});

test('an API server whose CA file is empty is not shown our token on the word of another authority', async () => {
  await using world = await setUp();
  world.folder.write('api-ca.pem', '');
  const system = getCACertificates('default');
  setDefaultCACertificates([...system, world.double.server.certificateAuthorityPem]);
  try {
    const problem = await problemAtStart(world.verifier);

    expect(problem).toMatchObject({ code: 'file-unreadable' });
    expect(problem.message).toMatch(/api-ca\.pem holds no certificate$/);
    expect(world.double.server.requests).toEqual([]);
  } finally {
    setDefaultCACertificates(system);
  }
});

describe('garbage', () => {
  test.for<[string, Record<string, unknown>]>([
    ['for another audience', { aud: ['elsewhere'] }],
    ['without an audience', { aud: undefined }],
    ['that has expired', { exp: 1_700_000_000 }],
    ['that never expires', { exp: undefined }],
    ['of tomorrow', { nbf: 4_000_000_000 }],
    ['with a time that is no number', { nbf: 'soon' }],
    ['of a person', { sub: 'alice' }],
    ['of two accounts', { sub: 'system:serviceaccount:team-b:builder' }],
  ])('%s is never asked about', async ([, claims]) => {
    await using world = await setUp();

    const problem = await problemOf(world.verify(world.issuer.token({ claims })));

    expect(problem.code).toBe('login-refused');
    expect(world.double.server.requests).toEqual([]);
  });

  test('under a name of a real key is refused by its signature, however much of it there is', async () => {
    await using world = await setUp();
    const { privateKey: signWith } = await generateKeyPair('ES256');

    for (let time = 0; time < 60; time++) {
      const problem = await problemOf(world.verify(world.issuer.token({ signWith })));
      expect(problem).toMatchObject({ code: 'login-refused', message: "the token's signature is wrong" });
    }

    expect(world.double.reviews()).toBe(0);
  });

  test('under invented key names is asked about forty times at once at most, and delays no good token', async () => {
    await using world = await setUp();
    const flood = Array.from({ length: 100 }, (_, at) =>
      world.issuer.token({ header: { kid: `invented-${at}` } }),
    );

    const problems = await Promise.all(flood.map((token) => problemOf(world.verify(token))));
    const asked = world.double.reviews();

    expect(asked).toBe(40);
    const waiting = problems.filter(({ code }) => code === 'not-ready');
    expect(waiting).toHaveLength(60);
    expect(waiting[0]?.details.retryAfterMs).toBe(1000);
    await expect(world.verify(world.issuer.token())).resolves.toBeDefined();
  });

  test('of which the keys tell nothing is asked about twenty times a second', async () => {
    await using world = await setUp();
    world.double.keysAreOpen = false;
    const verify = async () => await world.verify(world.issuer.token()).catch(() => undefined);

    await Promise.all(Array.from({ length: 100 }, verify));
    await world.clock.advance(1000);
    await Promise.all(Array.from({ length: 100 }, verify));

    expect(world.double.reviews()).toBe(60);
  });
});

test('no problem carries any part of the token or of our bearer', async () => {
  await using world = await setUp();
  world.folder.write('reviewer-token', 'MARKED-BEARER');
  const token = await world.issuer.token({ claims: { marked: 'MARKED' } });
  const problems = [await problemOf(world.verify(token))];
  world.double.bearer = 'MARKED-BEARER';
  world.double.deleted.add(token);
  problems.push(await problemOf(world.verify(token)));

  for (const problem of problems) {
    expect(JSON.stringify(showError(problem))).not.toMatch(/MARKED|eyJ/);
    expect(inspect(problem, { depth: 9 })).not.toMatch(/MARKED|eyJ/);
  }
});
