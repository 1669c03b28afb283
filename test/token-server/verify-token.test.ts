// Every way in which a token can be wrong, each made for real.
import { inspect } from 'node:util';
import { exportSPKI, generateKeyPair, importJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { START, problemOf, setUpTrust } from './set-up.ts';

const HOUR_MS = 3_600_000;

describe('a good token', () => {
  test.for(['RS256', 'ES256'] as const)(
    'signed with %s by the trusted issuer says whose it is',
    async (algorithm) => {
      await using trust = await setUpTrust({ algorithm });

      const verified = await trust.verify(trust.issuer.token());

      expect(verified).toMatchObject({
        issuer: trust.issuer.url,
        namespace: 'team-a',
        serviceAccount: 'builder',
        uid: '0a1b2c3d-0000-4000-8000-000000000001',
        expiresAt: trust.clock.now() + HOUR_MS,
      });
      expect(verified.claims.aud).toEqual([trust.issuer.audience]);
    },
  );

  test('may name further audiences, and may have its one audience as a string', async () => {
    await using trust = await setUpTrust();

    const several = trust.verify(trust.issuer.token({ claims: { aud: ['other', trust.issuer.audience] } }));
    const single = trust.verify(trust.issuer.token({ claims: { aud: trust.issuer.audience } }));

    await expect(several).resolves.toMatchObject({ namespace: 'team-a' });
    await expect(single).resolves.toMatchObject({ namespace: 'team-a' });
  });

  test('without the nested claim is known by its subject alone, and has no uid', async () => {
    await using trust = await setUpTrust();

    const verified = await trust.verify(trust.issuer.token({ claims: { 'kubernetes.io': undefined } }));

    expect(verified).toMatchObject({ namespace: 'team-a', serviceAccount: 'builder' });
    expect(verified).not.toHaveProperty('uid');
  });

  test('is accepted when the clocks differ by half a minute, in both directions', async () => {
    await using trust = await setUpTrust();
    const now = trust.clock.now() / 1000;

    const early = trust.verify(trust.issuer.token({ claims: { nbf: now + 30 } }));
    const late = trust.verify(trust.issuer.token({ claims: { exp: now - 29 } }));

    await expect(early).resolves.toBeDefined();
    await expect(late).resolves.toBeDefined();
  });
});

const nested = (namespace: unknown, name: unknown) => ({
  'kubernetes.io': { namespace, serviceaccount: { name, uid: 'u' } },
});
const NO_ACCOUNT = "the token's subject is no Kubernetes ServiceAccount";
const TWO_ACCOUNTS = "the token's subject and its kubernetes.io claim name different accounts";
const OTHER_AUDIENCE =
  'the token is meant for somebody else: its audience must be https://registry.team.example';
const NOW = START / 1000;

describe('refused, and the sentence says why:', () => {
  test.for<[string, Record<string, unknown>, string]>([
    ['a token of another issuer', { iss: 'https://other.example' }, "the token's issuer is not trusted here"],
    ['a token without an issuer', { iss: undefined }, "the token's issuer is not trusted here"],
    ['an issuer in an array', { iss: ['https://other.example'] }, "the token's issuer is not trusted here"],
    ['a token for another audience', { aud: ['https://kubernetes.default.svc'] }, OTHER_AUDIENCE],
    [
      'an audience that only begins like ours',
      { aud: ['https://registry.team.example.evil'] },
      OTHER_AUDIENCE,
    ],
    ['a token without an audience', { aud: undefined }, 'the token has no claim aud'],
    ['an empty list of audiences', { aud: [] }, OTHER_AUDIENCE],
    ['an expired token', { exp: NOW - 31 }, 'the token has expired'],
    ['a token that never expires', { exp: undefined }, 'the token has no claim exp'],
    ['an expiry that is text', { exp: String(NOW + 3600) }, "the token's claim exp is wrong"],
    ['an expiry with a fraction', { exp: NOW + 3600.5 }, "the token's expiry is no whole number"],
    ['an expiry beyond all numbers', { exp: 1e300 }, "the token's expiry is no whole number"],
    ['a token that is not valid yet', { nbf: NOW + 31 }, 'the token is not valid yet'],
    ['a token without a subject', { sub: undefined }, 'the token has no claim sub'],
    ['a subject in an array', { sub: ['system:serviceaccount:team-a:builder'] }, NO_ACCOUNT],
    ['a node as subject', { sub: 'system:node:worker-1' }, NO_ACCOUNT],
    ['a person as subject', { sub: 'alice@team.example' }, NO_ACCOUNT],
    ['a subject with a part too many', { sub: 'system:serviceaccount:team-a:builder:x' }, NO_ACCOUNT],
    ['a subject with a part too few', { sub: 'system:serviceaccount:team-a' }, NO_ACCOUNT],
    ['a subject without a namespace', { sub: 'system:serviceaccount::builder' }, NO_ACCOUNT],
    ['a subject in upper case', { sub: 'system:serviceaccount:Team-A:builder' }, NO_ACCOUNT],
    ['a subject with a path in it', { sub: 'system:serviceaccount:team-a/../team-b:builder' }, NO_ACCOUNT],
    ['a subject with a line end', { sub: 'system:serviceaccount:team-a:builder\n' }, NO_ACCOUNT],
    ['a namespace longer than a DNS label', { sub: `system:serviceaccount:${'a'.repeat(64)}:b` }, NO_ACCOUNT],
    ['an account longer than a DNS name', { sub: `system:serviceaccount:a:${'b'.repeat(254)}` }, NO_ACCOUNT],
    ['a nested claim of another namespace', nested('team-b', 'builder'), TWO_ACCOUNTS],
    ['a nested claim of another account', nested('team-a', 'deployer'), TWO_ACCOUNTS],
    [
      'a nested claim of odd types',
      nested(['team-a'], 'builder'),
      "the token's kubernetes.io claim is malformed",
    ],
    ['a nested claim that is text', { 'kubernetes.io': 'x' }, "the token's kubernetes.io claim is malformed"],
  ])('%s', async ([, claims, sentence]) => {
    await using trust = await setUpTrust();

    const problem = await problemOf(trust.verify(trust.issuer.token({ claims })));

    expect(problem.code).toBe('login-refused');
    expect(problem.message).toBe(sentence);
  });

  test('a signature that was tampered with', async () => {
    await using trust = await setUpTrust();
    const [header, , signature] = (await trust.issuer.token()).split('.');
    const [, claims] = (
      await trust.issuer.token({ claims: { sub: 'system:serviceaccount:team-b:root' } })
    ).split('.');

    const problem = await problemOf(trust.verify(`${header}.${claims}.${signature}`));

    expect(problem).toMatchObject({ code: 'login-refused', message: "the token's signature is wrong" });
  });

  test("a foreign key that calls itself by the issuer's key id", async () => {
    await using trust = await setUpTrust();
    const { privateKey } = await generateKeyPair('ES256');

    const problem = await problemOf(trust.verify(trust.issuer.token({ signWith: privateKey })));

    expect(problem).toMatchObject({ code: 'login-refused', message: "the token's signature is wrong" });
  });

  test('a key that the token brings along in its header', async () => {
    await using trust = await setUpTrust();
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await crypto.subtle.exportKey('jwk', publicKey);

    const problem = await problemOf(
      trust.verify(trust.issuer.token({ signWith: privateKey, header: { jwk, kid: 'mine' } })),
    );

    expect(problem.message).toBe('the token was signed with a key that its issuer does not publish');
  });

  test('the algorithm none, with and without a signature', async () => {
    await using trust = await setUpTrust();
    const [, claims, signature] = (await trust.issuer.token()).split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'none', kid: trust.issuer.keyId })).toString(
      'base64url',
    );

    for (const token of [`${header}.${claims}.`, `${header}.${claims}.${signature}`]) {
      const problem = await problemOf(trust.verify(token));
      expect(problem).toMatchObject({ message: "the token's signature algorithm is not accepted" });
    }
    expect(trust.issuer.requests).toEqual([]);
  });

  test("HMAC with the issuer's public key as the password", async () => {
    await using trust = await setUpTrust();
    const publicKey = await importJWK(trust.issuer.publicJwk, 'ES256', { extractable: true });
    if (publicKey instanceof Uint8Array) throw new TypeError('a public key was expected');
    const signWith = new TextEncoder().encode(await exportSPKI(publicKey));

    const problem = await problemOf(trust.verify(trust.issuer.token({ signWith, header: { alg: 'HS256' } })));

    expect(problem).toMatchObject({ message: "the token's signature algorithm is not accepted" });
  });

  test('a token that does not say which key signed it', async () => {
    await using trust = await setUpTrust();

    const problem = await problemOf(trust.verify(trust.issuer.token({ header: { kid: undefined } })));

    expect(problem).toMatchObject({ message: 'the token does not say which key signed it' });
  });

  test('a token with an extension that must be understood and is not', async () => {
    await using trust = await setUpTrust();
    const [, claims, signature] = (await trust.issuer.token()).split('.');
    const text = JSON.stringify({ alg: 'ES256', kid: trust.issuer.keyId, crit: ['x'], x: 1 });

    const problem = await problemOf(
      trust.verify(`${Buffer.from(text).toString('base64url')}.${claims}.${signature}`),
    );

    expect(problem).toMatchObject({ code: 'login-refused', message: 'the token cannot be verified' });
  });

  test.for([
    ['an ordinary password', 'hunter2'],
    ['nothing', ''],
    ['dots and no JSON', 'a.b.c'],
    ['JSON that is no object', `${btoa('1')}.${btoa('2')}.x`.replaceAll('=', '')],
    ['a token and a line end', 'a.b.c\n'],
  ] as const)('%s', async ([, password]) => {
    await using trust = await setUpTrust();

    const problem = await problemOf(trust.verify(password));

    expect(problem).toMatchObject({
      code: 'login-refused',
      message: 'the password is not a ServiceAccount token',
    });
  });

  test('what is longer than a ServiceAccount token can be, before anything of it is read', async () => {
    await using trust = await setUpTrust();

    const problem = await problemOf(
      trust.verify(trust.issuer.token({ claims: { padding: 'x'.repeat(20_000) } })),
    );

    expect(problem.message).toBe('the password is longer than a ServiceAccount token can be');
    expect(trust.issuer.requests).toEqual([]);
  });
});

test('no refusal carries any part of the token, not even in its cause', async () => {
  await using trust = await setUpTrust();
  const token = await trust.issuer.token({ claims: { aud: 'other', marked: 'MARKED' } });

  const problem = await problemOf(trust.verify(token));

  expect(problem.cause).toBeUndefined();
  expect(inspect(problem, { depth: 9 })).not.toMatch(/MARKED|eyJ/);
});
