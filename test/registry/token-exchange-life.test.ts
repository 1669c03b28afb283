// OAuth token exchange: how long a login lives, wherever that is said.
import { describe, expect, test } from 'vitest';
import { exchangeAt, HOUR_MS, MINUTE_MS, problemAt } from './set-up.ts';
import { openService } from './token-exchange-stage.ts';
import { YEAR_2126 } from './wrong-tokens.ts';

describe('the end of a login', () => {
  test.for([
    ['is what the answer says', {}, { token: 'opaque', hasExpiresIn: true }, 60],
    ['may be said in quotes', {}, { token: 'opaque', extra: { expires_in: '300' } }, 5],
    ['is what the token says, where the answer does not', {}, { hasExpiresIn: false }, 60],
    ['is the earlier one, where both say it', {}, { extra: { expires_in: 300 } }, 5],
    ['is the earlier one, also where that is the token', {}, { extra: { expires_in: 86_400 } }, 60],
    ['is the configured one, where nobody says it', { 'lifetime-seconds': '900' }, { expiry: 'missing' }, 15],
    [
      'is the configured one of an opaque token, too',
      { 'lifetime-seconds': '900' },
      { token: 'opaque', hasExpiresIn: false },
      15,
    ],
    ['is not the configured one where the answer says it', { 'lifetime-seconds': '900' }, {}, 60],
    [
      'is not the configured one where the token says it',
      { 'lifetime-seconds': '900' },
      { hasExpiresIn: false },
      60,
    ],
    ['is never further than a day away', {}, { expiry: YEAR_2126 }, 24 * 60],
  ] as const)('%s', async ([, parameters, change, minutes]) => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    Object.assign(service, change);

    const { expiresAt } = await exchangeAt(world, service, wish(parameters));

    expect(expiresAt).toBe(world.clock.now() + minutes * MINUTE_MS);
  });

  test.for([
    ['missing', {}, 'exchange-malformed'],
    [1_700_000_000_000, { hasExpiresIn: false }, 'credential-already-expired'],
    ['usual', { extra: { expires_in: 0 } }, 'exchange-malformed'],
    ['usual', { extra: { expires_in: -5 } }, 'exchange-malformed'],
    ['usual', { extra: { expires_in: 'soon' } }, 'exchange-malformed'],
    ['usual', { extra: { expires_in: null } }, 'exchange-malformed'],
    ['usual', { extra: { access_token: '' } }, 'exchange-malformed'],
    ['usual', { extra: { access_token: 'a\r\nb' } }, 'exchange-malformed'],
  ] as const)('that is %s with %j ends as %s', async ([expiry, change, code]) => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    Object.assign(service, { expiry, ...change });

    expect((await problemAt(world, service, wish())).code).toBe(code);
  });

  test('counts from when the request began', async () => {
    await using stage = await openService();
    const { world, service, wish } = stage;
    service.token = 'opaque';
    const startedAt = world.clock.now();
    const http: typeof world.http = async (request) => {
      const answer = await world.http(request);
      world.clock.turn(5000);
      return answer;
    };

    expect((await exchangeAt(world, service, wish({}, { http }))).expiresAt).toBe(startedAt + HOUR_MS);
  });
});
