// The cluster contract: accounts and namespaces are found, tokens are minted for one need and nothing else.
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, test } from 'vitest';
import type { TokenWish } from '../src/cluster/cluster.ts';
import { secretManifest } from '../src/core/pull-secret.ts';
import { problemOf, type ContractTools } from './cluster-contract.ts';
import { TEST_AUDIENCE, needOf, type AccountWish } from './fakes/builders.ts';

export function describeAccountsAndTokens({
  world,
  cluster,
  options,
  addNamespace,
  addAccount,
}: ContractTools): void {
  /** An account with record and empty Secret, and the wish for its token. */
  async function prepare(wish?: AccountWish): Promise<TokenWish> {
    const need = needOf(await addAccount(wish));
    const record = await cluster().createRecord(need, options());
    const { uid: secretUid } = await cluster().createSecret(secretManifest(need, record.uid), options());
    return { need, audience: TEST_AUDIENCE, expirationSeconds: 3600, secretUid };
  }

  describe('finding', () => {
    test('an account is found with its uid, its annotations and its pull secrets', async () => {
      const account = await addAccount({
        annotations: { 'keyless-pull.dev/role-arn': 'a' },
        imagePullSecrets: ['nexus'],
      });

      const found = await cluster().findAccount(account.namespace, account.name, options());

      expect(found).toEqual(account);
      expect(found).toMatchObject({ pullSecrets: ['nexus'], isDeleting: false });
      expect(found?.annotations['keyless-pull.dev/role-arn']).toBe('a');
    });

    test('an account that does not exist is a miss and no failure', async () => {
      const namespace = await addNamespace();

      expect(await cluster().findAccount(namespace, 'nobody', options())).toBeUndefined();
      expect(await cluster().findAccount('no-such-namespace', 'nobody', options())).toBeUndefined();
    });

    test('a namespace is found with its labels, an unknown one is a miss', async () => {
      const namespace = await addNamespace({ labels: { tier: 'prod' } });

      const found = await cluster().findNamespace(namespace, options());

      expect(found).toMatchObject({ name: namespace, isTerminating: false });
      expect(found?.labels['tier']).toBe('prod');
      expect(await cluster().findNamespace('no-such-namespace', options())).toBeUndefined();
    });

    test('a call whose time is up before it begins ends as deadline', async () => {
      const signal = AbortSignal.abort();

      await problemOf(cluster().findNamespace('default', { signal }), 'deadline');
    });
  });

  describe('tokens', () => {
    test('a token has one audience, its life, and is bound to the account and the Secret', async () => {
      const wish = await prepare();
      const { identity } = wish.need;
      const before = world().clock.now();

      const minted = await cluster().mintToken({ ...wish, expirationSeconds: 600 }, options());

      const claims = decodeJwt(minted.token.reveal());
      expect(claims).toMatchObject({
        iss: expect.stringMatching(/^https:/),
        aud: [TEST_AUDIENCE],
        sub: `system:serviceaccount:${identity.namespace}:${identity.account}`,
        jti: minted.tokenId,
        exp: minted.expiresAt / 1000,
        nbf: claims.iat,
        'kubernetes.io': {
          namespace: identity.namespace,
          serviceaccount: { name: identity.account, uid: identity.uid },
          secret: { name: wish.need.secretName, uid: wish.secretUid },
        },
      });
      expect(Number(claims.exp) - Number(claims.iat)).toBe(600);
      expect(minted.issuedAt).toBeGreaterThanOrEqual(before);
      expect(minted.issuedAt).toBeLessThanOrEqual(world().clock.now());
    });

    test('two tokens of one need have ids of their own', async () => {
      const wish = await prepare();

      const first = await cluster().mintToken(wish, options());
      const second = await cluster().mintToken(wish, options());

      expect(first.tokenId).not.toBe('');
      expect(second.tokenId).not.toBe(first.tokenId);
    });

    test('a token says which key signed it, and the key set has that key', async () => {
      const minted = await cluster().mintToken(await prepare(), options());

      const published = await cluster().findSigningKeys(options());

      expect(minted.keyId).toBe(decodeProtectedHeader(minted.token.reveal()).kid);
      expect(minted.keyId).not.toBe('');
      expect(published).toContain(minted.keyId);
    });

    test('an account that was recreated gets no token for its earlier life', async () => {
      const wish = await prepare();
      const identity = { ...wish.need.identity, uid: '00000000-0000-4000-8000-000000000000' };

      await problemOf(
        cluster().mintToken({ ...wish, need: { ...wish.need, identity } }, options()),
        'cluster-conflict',
      );
    });

    test('an account that does not exist gets no token', async () => {
      const wish = await prepare();
      const identity = { ...wish.need.identity, account: 'nobody' };

      await problemOf(
        cluster().mintToken({ ...wish, need: { ...wish.need, identity } }, options()),
        'cluster-missing',
      );
    });

    test('a token is not bound to a Secret that does not exist', async () => {
      const wish = await prepare();
      await world().deleteSecret(wish.need.identity.namespace, wish.need.secretName);

      await problemOf(cluster().mintToken(wish, options()), 'cluster-missing');
    });

    test('a token is not bound to another life of the Secret', async () => {
      const wish = await prepare();

      await problemOf(
        cluster().mintToken({ ...wish, secretUid: '00000000-0000-4000-8000-000000000000' }, options()),
        'cluster-conflict',
      );
    });

    test('no token is minted for an audience that is not configured', async () => {
      const wish = await prepare();

      const problem = await problemOf(
        cluster().mintToken({ ...wish, audience: 'https://elsewhere.example' }, options()),
        'cluster-refused',
      );

      expect(problem.details.upstream).toContain('policy keyless-pull-worker-token-requests');
    });

    test.each(['', 'https://kubernetes.default.svc'])(
      "no token is minted for the API server's own audience, written as '%s'",
      async (audience) => {
        const wish = await prepare();

        await problemOf(cluster().mintToken({ ...wish, audience }, options()), 'token-refused');
      },
    );

    test('no token is minted for longer than an hour', async () => {
      const wish = await prepare();

      await problemOf(
        cluster().mintToken({ ...wish, expirationSeconds: 3601 }, options()),
        'cluster-refused',
      );
    });

    test('no token is minted for less than ten minutes', async () => {
      const wish = await prepare();

      await problemOf(cluster().mintToken({ ...wish, expirationSeconds: 599 }, options()), 'cluster-refused');
    });

    test('no token is minted in a namespace that has left', async () => {
      const wish = await prepare();
      await world().labelNamespace(wish.need.identity.namespace, {});

      await world().eventually('the fence knows that the namespace has left', () =>
        problemOf(cluster().mintToken(wish, options()), 'namespace-refused').catch(() => undefined),
      );
    });
  });
}
