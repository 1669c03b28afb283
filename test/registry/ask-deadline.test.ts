// How long a server is waited for: ten seconds for one request, thirty for all of them.
import { describe, expect, test, vi } from 'vitest';
import type { Mood } from '../fakes/strict-server.ts';
import { openProbe, type Probe } from './probe.ts';

/** Of a request to come: real time, for a machine that does much else at once. */
const PATIENCE_MS = 30_000;

/** Moves the clock past the deadline of each request, once it has come. */
async function outwait(probe: Probe, ended: Promise<unknown>): Promise<void> {
  let isOver = false;
  void ended.then(() => (isOver = true)).catch(() => (isOver = true));
  for (let tried = 1; ; tried++) {
    await vi.waitFor(() => expect(isOver || probe.server.requests.length >= tried).toBe(true), PATIENCE_MS);
    if (isOver) return;
    await probe.world.clock.advance(10_000);
  }
}

describe('a deadline', () => {
  test.for<Mood>(['stalling', 'half-stalling'])(
    'ends each request to a server that is %s after 10 s, and the whole after 30',
    async (mood) => {
      await using probe = await openProbe();
      const { clock } = probe.world;
      const start = clock.monotonic();
      probe.server.mood = mood;

      const ended = probe.problem();
      await outwait(probe, ended);

      const problem = await ended;
      expect(problem.code).toBe('exchange-unreachable');
      expect(problem.message).toContain('the time for the whole exchange was up');
      expect(probe.server.requests).toHaveLength(3);
      // The last advance of ten seconds passes the end.
      expect(clock.monotonic() - start).toBe(30_000 + 375 + 750);
    },
  );

  test('of one request leaves time for the next', async () => {
    await using probe = await openProbe();
    probe.server.nextMoods.push('stalling');

    const ended = probe.exchange();
    await outwait(probe, ended);

    expect((await ended).username).toBe('puller');
    expect(probe.server.requests).toHaveLength(2);
  });

  test.for<Mood>(['stalling', 'half-stalling'])('of one request is told where it was %s', async (mood) => {
    await using probe = await openProbe();
    probe.server.nextMoods.push('dropping', 'dropping', mood);

    const ended = probe.problem();
    await vi.waitFor(() => expect(probe.server.requests).toHaveLength(3), PATIENCE_MS);
    await probe.world.clock.advance(10_000);

    expect((await ended).message).toBe(`${probe.server.host} cannot be reached: no answer in 10 s`);
  });

  test('that passes during a pause ends the exchange with what it waited for', async () => {
    await using probe = await openProbe();
    const { clock } = probe.world;
    probe.answer = async () => {
      await clock.advance(9000);
      return { status: 429, headers: { 'retry-after': '5' } };
    };

    const problem = await probe.problem({ signal: clock.deadline(12_000) });

    expect(problem).toMatchObject({ code: 'exchange-throttled', details: { retryAfterMs: 5000 } });
    expect(probe.server.requests).toHaveLength(1);
  });
});
