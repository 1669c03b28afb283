// Registries that take the ServiceAccount token itself: nothing is exchanged, and nothing is sent.
import { expect, test } from 'vitest';
import { createRecorder } from './recorder.ts';
import { exchangeAt, HOUR_MS, MINUTE_MS, openWorld, type ExchangeWish } from './set-up.ts';

/** Nobody is there to be asked. */
const NOBODY = { url: 'https://127.0.0.1:1', host: '127.0.0.1:1', certificateAuthorityPem: '' };
const { http, requests } = createRecorder(() => ({ status: 500 }));
const NOTHING = { endpoint: undefined, certificateAuthorityFile: undefined };
const WISH: ExchangeWish = {
  kind: 'pass-through',
  host: 'registry.team.example:5000',
  exchange: NOTHING,
  http,
};

test('the token is the password, under the name of the account, without any request', async () => {
  await using world = await openWorld();
  const startedAt = world.clock.now();

  const credential = await exchangeAt(world, NOBODY, WISH);

  expect(credential).toMatchObject({
    hosts: ['registry.team.example:5000'],
    username: 'team-a/builder',
    issuedAt: startedAt,
    expiresAt: startedAt + HOUR_MS,
  });
  expect(credential.password.reveal()).toBe(world.secrets[0]);
  expect(requests).toEqual([]);
});

test('the rule may name the user', async () => {
  await using world = await openWorld();

  const credential = await exchangeAt(world, NOBODY, { ...WISH, exchange: { ...NOTHING, username: 'jwt' } });

  expect(credential.username).toBe('jwt');
});

test('a shorter token is a shorter login', async () => {
  await using world = await openWorld();

  const credential = await exchangeAt(world, NOBODY, {
    ...WISH,
    rule: { token: { expirationSeconds: 600 } },
  });

  expect(credential.expiresAt).toBe(world.clock.now() + 10 * MINUTE_MS);
});
