// One step of an exchange on bad days: what is tried again, how soon, and who else is left to wait.
import { describe, expect, test } from 'vitest';
import type { ProblemCode } from '../../src/problem.ts';
import type { Mood } from '../fakes/strict-server.ts';
import { openProbe, type Probe } from './probe.ts';
import { HOUR_MS } from './set-up.ts';

describe('trying again', () => {
  test.for<[Mood, ProblemCode, string]>([
    ['dropping', 'exchange-unreachable', 'cannot be reached: ECONNRESET'],
    ['truncating', 'exchange-unreachable', 'cannot be reached: '],
    ['failing', 'exchange-unreachable', 'is failing (503)'],
    ['bad-gateway', 'exchange-unreachable', 'is failing (502)'],
    ['throttling', 'exchange-throttled', 'asks us to wait (429)'],
  ])('a server that is %s is asked three times', async ([mood, code, message]) => {
    await using probe = await openProbe();
    probe.server.mood = mood;

    const problem = await probe.problem();

    expect(problem.code).toBe(code);
    expect(problem.message).toContain(`${probe.server.host} ${message}`);
    expect(probe.server.requests).toHaveLength(3);
  });

  test.for<[Mood, ProblemCode, string]>([
    ['html', 'exchange-malformed', 'answered with a web page (is a proxy in between?)'],
    ['endless', 'exchange-malformed', 'answered with more than it should be'],
    ['redirecting', 'exchange-refused', 'refuses this account (302)'],
  ])('a server that is %s is asked once', async ([mood, code, message]) => {
    await using probe = await openProbe();
    probe.server.mood = mood;

    const problem = await probe.problem();

    expect(problem).toMatchObject({ code, message: `${probe.server.host} ${message}` });
    expect(probe.server.requests).toHaveLength(1);
  });

  test.for([400, 401, 403, 404, 409, 422, 501, 600, 999])(
    'a plain %d is a no, and is asked once',
    async (status) => {
      await using probe = await openProbe();
      probe.answer = () => ({ status, body: { error: 'access_denied' } });

      const problem = await probe.problem();

      expect(problem).toMatchObject({
        code: 'exchange-refused',
        message: `${probe.server.host} refuses this account (${status} access_denied)`,
        details: { upstream: `${status} access_denied` },
      });
      expect(probe.server.requests).toHaveLength(1);
    },
  );

  // 507 is a full disk; 520 to 530 are Cloudflare's words for an origin that is down, and 529 is others' for too much to do.
  test.for([408, 425, 500, 502, 503, 504, 507, 509, 520, 522, 524, 529, 530])(
    'a plain %d may pass, and is asked again',
    async (status) => {
      await using probe = await openProbe();
      probe.answer = () =>
        probe.server.requests.length < 3 ? { status } : { status: 201, body: { seconds: [60] } };

      await probe.exchange();

      expect(probe.server.requests).toHaveLength(3);
    },
  );

  test('waits twice as long each time, and a random part less', async () => {
    await using probe = await openProbe();
    const { clock } = probe.world;
    probe.server.mood = 'failing';

    for (const chance of [0, 0.999]) {
      clock.chance = chance;
      await probe.problem();
    }

    expect(clock.pauses.map(Math.round)).toEqual([250, 500, 500, 1000]);
  });

  test('succeeds as soon as the server does', async () => {
    await using probe = await openProbe();
    probe.server.nextMoods.push('dropping', 'bad-gateway');

    expect((await probe.exchange()).username).toBe('puller');
    expect(probe.server.requests).toHaveLength(3);
  });
});

test('an answer may begin with a byte order mark, and have space around it', async () => {
  await using probe = await openProbe();
  probe.answer = () => ({ body: `\uFEFF\r\n{ "seconds": [ 3600 ] }\r\n` });

  expect((await probe.exchange()).username).toBe('puller');
  expect(probe.server.requests).toHaveLength(1);
});

describe('Retry-After', () => {
  const at = (ms: number, { world }: Probe) => new Date(world.clock.now() + ms).toUTCString();

  test('of seconds is waited for', async () => {
    await using probe = await openProbe();
    probe.server.retryAfter = '3';
    probe.server.nextMoods.push('throttling', 'throttling');

    await probe.exchange();

    expect(probe.world.clock.pauses).toEqual([3000, 3000]);
  });

  test('as an HTTP date is waited for', async () => {
    await using probe = await openProbe();
    probe.server.retryAfter = at(4000, probe);
    probe.server.nextMoods.push('throttling');

    await probe.exchange();

    expect(probe.world.clock.pauses).toEqual([4000]);
  });

  test('as an HTTP date is by the clock of who sent it, however wrong that is', async () => {
    await using probe = await openProbe();
    probe.server.dateSkewMs = HOUR_MS;
    probe.server.retryAfter = at(HOUR_MS + 4000, probe);
    probe.server.nextMoods.push('throttling');

    await probe.exchange();

    expect(probe.world.clock.pauses).toEqual([4000]);
  });

  test.for<[string, string | ((probe: Probe) => string), number]>([
    ['a minute', '60', 60_000],
    ['a date in ten minutes', (probe) => at(600_000, probe), 600_000],
    ['a day', '86400', HOUR_MS],
    ['400 digits', '9'.repeat(400), HOUR_MS],
    ['the year 9999', 'Fri, 31 Dec 9999 23:59:59 GMT', HOUR_MS],
  ])('of %s is for whoever asks next, an hour at most: nothing waits that long', async ([, value, ms]) => {
    await using probe = await openProbe();
    probe.server.mood = 'throttling';
    probe.server.retryAfter = typeof value === 'string' ? value : value(probe);

    const problem = await probe.problem();

    expect(problem).toMatchObject({ code: 'exchange-throttled', details: { retryAfterMs: ms } });
    expect(probe.world.clock.pauses).toEqual([]);
    expect(probe.server.requests).toHaveLength(1);
  });

  test.for(['-5', '3.5', '0x10', '1e3', 'soon', 'Sometime', '', '2126-01-01T00:00:00Z'])(
    'of "%s" is no time, and the own pauses count',
    async (value) => {
      await using probe = await openProbe();
      probe.server.mood = 'throttling';
      probe.server.retryAfter = value;

      const problem = await probe.problem();

      expect(problem.details).toEqual({ upstream: '429' });
      expect(probe.world.clock.pauses).toEqual([375, 750]);
    },
  );

  test.for(['0', 'Thu, 01 Jan 1970 00:00:00 GMT'])('of "%s" shortens no pause', async (value) => {
    await using probe = await openProbe();
    probe.server.mood = 'throttling';
    probe.server.retryAfter = value;

    expect((await probe.problem()).details.retryAfterMs).toBe(0);
    expect(probe.world.clock.pauses).toEqual([375, 750]);
  });
});
