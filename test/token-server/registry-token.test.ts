// What a registry is shown, checked with nothing but node:crypto.
import { X509Certificate, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { SecretText } from '../../src/secret-text.ts';
import type { RegistryScope } from '../../src/token-server/registry-scope.ts';
import { createRegistryTokenSigner } from '../../src/token-server/registry-token.ts';
import { keySetOf, libtrustKeyId, readSigningKey } from '../../src/token-server/signing-key.ts';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const SERVICE = 'registry.team.example';
const access: RegistryScope[] = [{ type: 'repository', name: 'team-a/app', actions: ['pull'] }];

async function setUp({ header = 'x5c' }: { header?: 'x5c' | 'kid' } = {}) {
  const clock = createHandClock(Date.UTC(2026, 10, 21, 7) + 123);
  const authority = await createTestAuthority();
  const leaf = await authority.issue('token signing');
  const chain = leaf.certificatePem + '\n' + authority.certificatePem;
  const key = readSigningKey(new SecretText(leaf.keyPem), chain);
  const registry = { issuer: 'keyless-pull', service: SERVICE, tokenSeconds: 300 };
  const sign = createRegistryTokenSigner({ ...registry, header, keys: { current: () => key }, clock });
  return { clock, authority, leaf, key, sign };
}

function partsOf(token: SecretText): {
  head: Record<string, unknown>;
  body: Record<string, unknown>;
  signed: Buffer;
  signature: Buffer;
} {
  const [head = '', body = '', signature = ''] = token.reveal().split('.');
  const read = (part: string) =>
    JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return {
    head: read(head),
    body: read(body),
    signed: Buffer.from(`${head}.${body}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

describe('a registry token', () => {
  test('has the claims that distribution 2.8 and 3.x both read: aud a string, whole numbers, access plain', async () => {
    const { sign, clock } = await setUp();

    const { token, issuedAt, lifetimeSeconds } = await sign({
      subject: 'team-a/builder',
      access,
      loginExpiresAt: clock.now() + 3_600_000,
    });

    const now = Math.floor(clock.now() / 1000);
    expect(partsOf(token).body).toEqual({
      iss: 'keyless-pull',
      sub: 'team-a/builder',
      aud: 'registry.team.example',
      iat: now,
      nbf: now,
      exp: now + 300,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      access: [{ type: 'repository', name: 'team-a/app', actions: ['pull'] }],
    });
    expect({ issuedAt, lifetimeSeconds }).toEqual({ issuedAt: now * 1000, lifetimeSeconds: 300 });
  });

  test('is verified with nothing but its own x5c header and the root, as a registry does it', async () => {
    const { sign, clock, authority } = await setUp();

    const { token } = await sign({ subject: 'a/b', access, loginExpiresAt: clock.now() });

    const { head, signed, signature } = partsOf(token);
    const [leaf, issuer] = (head['x5c'] as string[]).map(
      (text) => new X509Certificate(Buffer.from(text, 'base64')),
    );
    const root = new X509Certificate(authority.certificatePem);
    if (!leaf || !issuer) throw new Error('x5c must carry the chain');
    expect(leaf.verify(root.publicKey) && leaf.checkIssued(root)).toBe(true);
    expect(issuer.raw).toEqual(root.raw);
    // Raw r||s of 64 bytes, not DER.
    expect(signature).toHaveLength(64);
    expect(verify('sha256', signed, { key: leaf.publicKey, dsaEncoding: 'ieee-p1363' }, signature)).toBe(
      true,
    );
    expect(
      verify(
        'sha256',
        Buffer.concat([signed, Buffer.from('x')]),
        { key: leaf.publicKey, dsaEncoding: 'ieee-p1363' },
        signature,
      ),
    ).toBe(false);
  });

  test('names its key as libtrust does, and its algorithm as ES256', async () => {
    const { sign, clock, leaf } = await setUp();

    const { token } = await sign({ subject: 'a/b', access, loginExpiresAt: clock.now() });

    const keyId = libtrustKeyId(new X509Certificate(leaf.certificatePem).publicKey);
    expect(partsOf(token).head).toMatchObject({ alg: 'ES256', typ: 'JWT', kid: keyId });
  });

  test('without access is a login check and nothing more', async () => {
    const { sign, clock } = await setUp();

    const { token } = await sign({ subject: 'a/b', access: [], loginExpiresAt: clock.now() });

    expect(partsOf(token).body['access']).toEqual([]);
  });

  test.for([
    [3600, 300],
    [300, 300],
    [200, 200],
    [60, 60],
    [10, 60],
    [-20, 60],
  ] as const)('of a login that ends in %d s lives %d s', async ([remaining, lifetime]) => {
    const { sign, clock } = await setUp();

    const signed = await sign({
      subject: 'a/b',
      access,
      loginExpiresAt: clock.now() - 123 + remaining * 1000,
    });

    expect(signed.lifetimeSeconds).toBe(lifetime);
  });

  test('for a registry that has a jwks file and no certificates names its key by the id alone', async () => {
    const { sign, key, clock } = await setUp({ header: 'kid' });

    const { token } = await sign({ subject: 'a/b', access, loginExpiresAt: clock.now() });

    const { head } = partsOf(token);
    expect(head).toEqual({ alg: 'ES256', typ: 'JWT', kid: key.keyId });
    const keySet = createLocalJWKSet(keySetOf([key]) as JSONWebKeySet);
    await expect(
      jwtVerify(token.reveal(), keySet, { currentDate: new Date(clock.now()), audience: SERVICE }),
    ).resolves.toMatchObject({ payload: { sub: 'a/b' } });
  });
});

describe('a key id', () => {
  test("is libtrust's fingerprint: the vector that the registry itself gave", () => {
    const key = createPublicKey({
      format: 'jwk',
      key: {
        kty: 'EC',
        crv: 'P-256',
        x: 'm7zUpx3b-zmVE5cymSs64POG9QcyEpJaYCD82-549_Q',
        y: 'dU3biz8sZ_8GPB-odm8Wxz3lNDr1xcAQQPQaOcr1fmc',
      },
    });

    expect(libtrustKeyId(key)).toBe('PYYO:TEWU:V7JH:26JV:AQTZ:LJC3:SXVJ:XGHA:34F2:2LAQ:ZRMK:Z7Q6');
  });
});

test('the key set for registries holds what is public, under the ids that tokens name', async () => {
  const { key } = await setUp();

  expect(keySetOf([key])).toEqual({
    keys: [
      {
        kty: 'EC',
        crv: 'P-256',
        x: expect.any(String) as unknown,
        y: expect.any(String) as unknown,
        kid: key.keyId,
        alg: 'ES256',
        use: 'sig',
      },
    ],
  });
});

describe('a signing key is refused', () => {
  const refusal = (keyPem: string, certificatePem: string) => () =>
    readSigningKey(new SecretText(keyPem), certificatePem);

  test('when the first certificate is not its own', async () => {
    const authority = await createTestAuthority();
    const [one, other] = [await authority.issue('one'), await authority.issue('other')];

    expect(refusal(one.keyPem, other.certificatePem)).toThrow("the first certificate is not the key's own");
    expect(refusal(one.keyPem, authority.certificatePem + '\n' + one.certificatePem)).toThrow('not the key');
  });

  test('when the chain is broken', async () => {
    const { leaf } = await setUp();
    const stranger = await createTestAuthority('stranger');

    expect(refusal(leaf.keyPem, leaf.certificatePem + '\n' + stranger.certificatePem)).toThrow(
      'issued by the one after it',
    );
  });

  test('when it is not ECDSA P-256, or no key at all', async () => {
    const { leaf } = await setUp();
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

    expect(
      refusal(rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), leaf.certificatePem),
    ).toThrow('P-256');
    expect(refusal('no key', leaf.certificatePem)).toThrow('holds no PEM private key');
    expect(refusal(leaf.keyPem, 'no certificate')).toThrow('holds no PEM certificate');
  });
});
