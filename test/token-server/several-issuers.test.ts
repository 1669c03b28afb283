// Two clusters behind one token server: what is true of one says nothing of the other.
import { describe, expect, test } from 'vitest';
import { SecretText } from '../../src/secret-text.ts';
import { COOL_DOWN_MS } from '../../src/token-server/issuer-keys.ts';
import type { TrustedIssuer } from '../../src/token-server/trusted-issuer.ts';
import { createTokenVerifier } from '../../src/token-server/verify-token.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import { problemOf, setUpTrust } from './set-up.ts';

async function setUp() {
  await using opened = new AsyncDisposableStack();
  const one = opened.use(await setUpTrust());
  const { clock, folder } = one;
  const other = opened.use(await createFakeIssuer({ clock, audience: 'https://registry.other.example' }));
  const second: TrustedIssuer = {
    issuer: other.url,
    audience: other.audience,
    check: 'keys',
    keysHosts: [],
    certificateAuthorityFile: folder.write('other-ca.pem', other.certificateAuthorityPem),
  };
  const verifier = createTokenVerifier({ issuers: [one.trusted, second], clock });
  const owned = opened.move();
  return {
    clock,
    one: one.issuer,
    other,
    verifier,
    verify: async (token: Promise<string>) =>
      await verifier.verify(new SecretText(await token), new AbortController().signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe('with two issuers', () => {
  test('each token is verified by its own issuer, for its own audience', async () => {
    await using world = await setUp();
    const { one, other } = world;

    expect(await world.verify(one.token())).toMatchObject({ issuer: one.url, namespace: 'team-a' });
    expect(await world.verify(other.token())).toMatchObject({ issuer: other.url, namespace: 'team-a' });
    const crossed = await problemOf(world.verify(one.token({ claims: { aud: [other.audience] } })));
    expect(crossed.message).toMatch(/its audience must be https:\/\/registry\.team\.example$/);
  });

  test('no issuer can sign in the name of the other', async () => {
    await using world = await setUp();
    const { one, other } = world;

    const forged = other.token({ claims: { iss: one.url, aud: [one.audience] } });

    expect((await problemOf(world.verify(forged))).message).toBe(
      'the token was signed with a key that its issuer does not publish',
    );
  });

  test('an outage of one does not touch the tokens of the other', async () => {
    await using world = await setUp();
    world.one.mood = 'stalling';
    const waiting = problemOf(world.verify(world.one.token()));

    await expect(world.verify(world.other.token())).resolves.toBeDefined();
    await world.clock.advance(5000);
    expect(await waiting).toMatchObject({ code: 'exchange-unreachable' });
  });

  test('invented key ids at one leave the other free to fetch its new key', async () => {
    await using world = await setUp();
    await world.verifier.prepare();
    await world.clock.advance(COOL_DOWN_MS);
    await problemOf(world.verify(world.one.token({ header: { kid: 'invented' } })));

    await world.other.rotate();

    await expect(world.verify(world.other.token())).resolves.toBeDefined();
  });

  test('what is wrong with one at the start is said under its name', async () => {
    await using world = await setUp();
    world.other.mood = 'failing';

    const failures = await world.verifier.prepare();

    expect(failures).toMatchObject([{ issuer: world.other.url, error: { code: 'exchange-unreachable' } }]);
    await expect(world.verify(world.one.token())).resolves.toBeDefined();
  });

  test('a token is known as ours by its issuer, before anything of it is proven', async () => {
    await using world = await setUp();
    const issuerOf = (token: string) => world.verifier.issuerOf(new SecretText(token));

    expect(issuerOf(await world.other.token({ claims: { exp: 0 } }))).toBe(world.other.url);
    expect(
      issuerOf(await world.other.token({ claims: { iss: 'https://elsewhere.example' } })),
    ).toBeUndefined();
    expect(issuerOf('hunter2')).toBeUndefined();
  });
});
