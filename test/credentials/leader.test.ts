// The Lease under virtual time: who leads, until when, and what webhooks see of it.
import { describe, expect, test } from 'vitest';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createFakeCluster } from '../fakes/fake-cluster.ts';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { LEASE_NAME } from '../../src/core/vocabulary.ts';
import { createLeader, whileLeading } from '../../src/credentials/leader.ts';
import { createSignOfLife } from '../../src/credentials/sign-of-life.ts';
import { createLog } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';

const log = createLog('silent');

function openCluster() {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  const signal = () => ({ signal: clock.deadline(10_000) });
  const lease = () => fake.client('onlooker').findLease(LEASE_NAME, signal());

  function campaign(name: string, cluster: Cluster = fake.client(name)) {
    const changes: boolean[] = [];
    const ending = new AbortController();
    const leader = createLeader({
      cluster,
      clock,
      log,
      identity: name,
      onChange: (leading) => changes.push(leading),
    });
    const running = leader.run(ending.signal);
    return {
      isLeading: leader.isLeading,
      changes,
      client: fake.client(name),
      running,
      stop: () => ending.abort(),
    };
  }

  /** Writes the Lease as somebody else would, by its present version. */
  async function seize(holder: string, durationSeconds = 6) {
    const found = await lease();
    if (!found) throw new Error('there is no Lease to seize');
    await fake
      .client('thief')
      .updateLease({ ...found, holder, durationSeconds, renewedAt: clock.now() }, signal());
  }

  /** Moves the clock in small steps until it is so. @returns how long that took, or undefined if it never was */
  async function waitFor(look: () => boolean, withinMs: number, stepMs = 10): Promise<number | undefined> {
    for (let passed = 0; passed <= withinMs; passed += stepMs) {
      if (look()) return passed;
      await clock.advance(stepMs);
    }
    return undefined;
  }

  const lastRenewal = () => fake.calls.findLast(({ verb }) => /^(create|update)Lease$/.test(verb))?.at ?? 0;
  return { clock, fake, lease, campaign, seize, waitFor, lastRenewal };
}

describe('of several workers', () => {
  test('one leads, and goes on leading', async () => {
    const { clock, campaign } = openCluster();
    const workers = ['one', 'two', 'three'].map((name) => campaign(name));
    await clock.advance(1_000);
    const first = workers.map(({ isLeading }) => isLeading());

    const later: boolean[][] = [];
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(60_000);
      later.push(workers.map(({ isLeading }) => isLeading()));
    }

    expect(first.filter(Boolean)).toHaveLength(1);
    for (const seen of later) expect(seen).toEqual(first);
  });

  test.each([0, 500, 1_000, 1_999])(
    'the next one leads 6 to 7 s after the last renewal of one that dies %i ms behind it, and never two at once',
    async (lived) => {
      const { clock, campaign, waitFor, lastRenewal } = openCluster();
      const one = campaign('one');
      await clock.advance(100);
      const two = campaign('two');
      await clock.advance(9_950);
      const before = lastRenewal();
      await waitFor(() => lastRenewal() > before, 3_000);
      const renewedAt = lastRenewal();
      await clock.advance(lived);
      one.client.kill();

      let both = 0;
      await waitFor(() => {
        if (one.isLeading() && two.isLeading()) both++;
        return two.isLeading();
      }, 10_000);

      const silence = clock.now() - renewedAt;
      expect(silence).toBeGreaterThanOrEqual(6_000);
      expect(silence).toBeLessThanOrEqual(7_000);
      expect(both).toBe(0);
    },
  );

  test.each([0, 130, 240, 260, 370, 1_999])(
    'the next one does not look past the end: it leads 6.3 s after the last renewal, however its looks fall (%i ms)',
    async (offset) => {
      const { clock, campaign, waitFor, lastRenewal } = openCluster();
      const one = campaign('one');
      await clock.advance(100 + offset);
      const two = campaign('two');
      await clock.advance(10_000);
      const before = lastRenewal();
      await waitFor(() => lastRenewal() > before, 3_000);
      const renewedAt = lastRenewal();
      one.client.kill();

      await waitFor(() => two.isLeading(), 10_000);

      expect(clock.now() - renewedAt).toBeGreaterThanOrEqual(6_000);
      expect(clock.now() - renewedAt).toBeLessThanOrEqual(6_300);
    },
  );

  test('a released Lease is taken within a second', async () => {
    const { clock, campaign, waitFor, lease } = openCluster();
    const one = campaign('one');
    await clock.advance(100);
    const two = campaign('two');
    await clock.advance(10_000);

    one.stop();
    const took = await waitFor(() => two.isLeading(), 5_000);

    expect(took).toBeLessThanOrEqual(1_000);
    expect(one.isLeading()).toBe(false);
    expect(await lease()).toMatchObject({ holder: 'two', transitions: 1 });
    await one.running;
  });

  test('who waits and is told to end leaves the Lease as it is', async () => {
    const { clock, campaign, lease } = openCluster();
    const one = campaign('one');
    await clock.advance(100);
    const two = campaign('two');
    await clock.advance(3_000);

    two.stop();
    await clock.advance(100);
    await two.running;

    expect(one.isLeading()).toBe(true);
    expect(await lease()).toMatchObject({ holder: 'one', transitions: 0 });
  });

  test('who is told to end in the midst of a renewal releases the Lease all the same', async () => {
    const { clock, fake, campaign, lease } = openCluster();
    const client = fake.client('one');
    const slow: Cluster = {
      ...client,
      async updateLease(wanted, options) {
        const answer = await client.updateLease(wanted, options);
        await clock.sleep(500, options.signal).catch(() => {
          throw new Problem('deadline', 'the answer came too late');
        });
        return answer;
      },
    };
    const one = campaign('one', slow);
    await clock.advance(2_100);

    one.stop();
    await clock.advance(2_000);
    await one.running;

    expect(await lease()).toMatchObject({ holder: '' });
  });

  test('a Lease that says it is held for longer is waited for longer', async () => {
    const { clock, campaign, seize, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(100);
    one.client.kill();
    await seize('another program', 60);

    const two = campaign('two');
    const took = await waitFor(() => two.isLeading(), 90_000, 100);

    expect(took).toBeGreaterThanOrEqual(60_000);
    expect(took).toBeLessThanOrEqual(61_000);
  });
});

describe('a worker leads no more', () => {
  test('a second before others may start', async () => {
    const { clock, campaign, waitFor, lastRenewal } = openCluster();
    const one = campaign('one');
    await clock.advance(100);
    const two = campaign('two');
    await clock.advance(10_000);
    one.client.partition();
    const renewedAt = lastRenewal();

    await waitFor(() => !one.isLeading(), 10_000);
    const ledFor = clock.now() - renewedAt;
    await waitFor(() => two.isLeading(), 10_000);
    const silence = clock.now() - renewedAt;

    expect(ledFor).toBeLessThanOrEqual(5_000);
    expect(ledFor).toBeGreaterThan(4_900);
    expect(silence).toBeGreaterThanOrEqual(6_000);
  });

  test('when only the wall clock jumped, as it does behind a suspended machine, until it has renewed the Lease', async () => {
    const { clock, campaign } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);

    clock.turn(8 * 3_600_000);
    const onWaking = one.isLeading();
    await clock.advance(2_000);

    expect(onWaking).toBe(false);
    expect(one.isLeading()).toBe(true);
  });

  test('when another took the Lease while it was suspended', async () => {
    const { clock, campaign, seize } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);
    clock.turn(60_000);
    await seize('two');

    await clock.advance(2_100);

    expect(one.isLeading()).toBe(false);
    expect(one.changes).toEqual([true, false]);
  });

  test('when it has lost the compare-and-swap, and does not write over the other', async () => {
    const { clock, campaign, seize, lease } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);

    await seize('two');
    await clock.advance(2_100);

    expect(one.isLeading()).toBe(false);
    expect(await lease()).toMatchObject({ holder: 'two' });
  });

  test('and leads again when the other has been silent for 6 s', async () => {
    const { clock, campaign, seize, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);
    await seize('two');
    await waitFor(() => !one.isLeading(), 3_000);

    const took = await waitFor(() => one.isLeading(), 10_000);

    expect(took).toBeGreaterThanOrEqual(6_000);
    expect(took).toBeLessThanOrEqual(7_000);
    expect(one.changes).toEqual([true, false, true]);
  });
});

describe('a worker goes on leading', () => {
  test('when the answer to a renewal got lost: the Lease is recognised as its own at once', async () => {
    const { clock, fake, campaign, lease, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);
    let lost = 0;
    fake.beforeCall = ({ verb }) => (verb === 'updateLease' && lost++ === 0 ? 'lose-answer' : undefined);

    const stopped = await waitFor(() => !one.isLeading(), 10_000);

    expect(lost).toBeGreaterThan(1);
    expect(stopped).toBeUndefined();
    expect(one.changes).toEqual([true]);
    expect(await lease()).toMatchObject({ holder: 'one', transitions: 0 });
  });

  test('after its Lease had run out under it for a moment, and tells of both', async () => {
    const { clock, fake, campaign, waitFor } = openCluster();
    const client = fake.client('one');
    let lateMs = 0;
    const one = campaign('one', {
      ...client,
      async updateLease(wanted, options) {
        // Its own deadline is not what this is about: an answer that came after it was read before the timer fired.
        await clock.sleep(lateMs);
        return client.updateLease(wanted, { ...options, signal: clock.deadline(10_000) });
      },
    });
    await clock.advance(10_100);
    lateMs = 4_000;

    await waitFor(() => !one.isLeading(), 10_000);
    lateMs = 0;
    await waitFor(() => one.isLeading(), 10_000);
    await clock.advance(100);

    expect(one.changes).toEqual([true, false, true]);
  });

  test('where every call takes a second: each has a deadline of its own', async () => {
    const { clock, fake, campaign, seize, waitFor } = openCluster();
    const client = fake.client('one');
    const late = (signal: AbortSignal) =>
      clock.sleep(1_000, signal).catch(() => {
        throw new Problem('deadline', 'the answer came too late');
      });
    const slow: Cluster = {
      ...client,
      async findLease(name, options) {
        await late(options.signal);
        return client.findLease(name, options);
      },
      async updateLease(wanted, options) {
        await late(options.signal);
        return client.updateLease(wanted, options);
      },
    };
    campaign('another').stop();
    await clock.advance(100);
    await seize('');
    const one = campaign('one', slow);

    const took = await waitFor(() => one.isLeading(), 10_000);
    const stopped = await waitFor(() => !one.isLeading(), 60_000);

    expect(took).toBeLessThanOrEqual(2_100);
    expect(stopped).toBeUndefined();
  });

  test('when the answer to the first taking got lost', async () => {
    const { clock, fake, campaign, lease } = openCluster();
    let lost = 0;
    fake.beforeCall = ({ verb }) => (verb === 'createLease' && lost++ === 0 ? 'lose-answer' : undefined);

    const one = campaign('one');
    await clock.advance(500);

    expect(one.isLeading()).toBe(true);
    expect(await lease()).toMatchObject({ holder: 'one', transitions: 0 });
  });

  test('while the API server is away for less than 3 s', async () => {
    const { clock, campaign, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);

    one.client.partition();
    const stoppedMeanwhile = await waitFor(() => !one.isLeading(), 2_900);
    one.client.heal();
    const stoppedAfter = await waitFor(() => !one.isLeading(), 5_000);

    expect(stoppedMeanwhile).toBeUndefined();
    expect(stoppedAfter).toBeUndefined();
  });

  test('after the API server was away for a minute and nobody else took the Lease', async () => {
    const { clock, campaign, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);
    one.client.partition();
    await clock.advance(60_000);
    const whileAway = one.isLeading();

    one.client.heal();
    const took = await waitFor(() => one.isLeading(), 5_000);

    expect(whileAway).toBe(false);
    expect(took).toBeLessThanOrEqual(500);
    expect(one.changes).toEqual([true, false, true]);
  });

  test('when somebody deleted the Lease', async () => {
    const { clock, fake, campaign, lease, waitFor } = openCluster();
    const one = campaign('one');
    await clock.advance(10_100);

    fake.store.remove('lease', fake.namespace, LEASE_NAME);
    const stopped = await waitFor(() => !one.isLeading(), 5_000);

    expect(stopped).toBeUndefined();
    expect(await lease()).toMatchObject({ holder: 'one' });
  });
});

test('of two that both believe they may lead, only the owner of the resource version does', async () => {
  const { clock, fake, campaign } = openCluster();
  const one = campaign('one');
  await clock.advance(100);
  const client = fake.client('mistaken');
  let seen: ReturnType<Cluster['findLease']> | undefined;
  const mistaken = campaign('mistaken', {
    ...client,
    // It sees the Lease as it once was, for ever.
    findLease: (...args) => (seen ??= client.findLease(...args)),
  });

  let wrong = 0;
  for (let second = 0; second < 120; second++) {
    await clock.advance(1_000);
    if (mistaken.isLeading() || !one.isLeading()) wrong++;
  }

  expect(wrong).toBe(0);
  expect(fake.count('updateLease', 'mistaken')).toBeGreaterThan(10);
  expect(mistaken.changes).toEqual([]);
});

test('who has lost the Lease begins no write, and goes on with none that has not been sent', async () => {
  const { clock, campaign, waitFor } = openCluster();
  const one = campaign('one');
  await waitFor(one.isLeading, 5_000);
  const options = whileLeading(one.isLeading, clock, 30_000);
  options.mayStill?.();

  one.client.partition();
  await waitFor(() => !one.isLeading(), 10_000);

  const lost = expect.objectContaining({ code: 'lease-lost' });
  expect(() => options.mayStill?.()).toThrow(lost);
  expect(() => whileLeading(one.isLeading, clock, 30_000)).toThrow(lost);
  one.client.heal();
  one.stop();
  await clock.advance(10_000);
  await one.running;
});

describe('the sign of life', () => {
  function watchLife(cluster: ReturnType<typeof openCluster>) {
    const { clock, fake } = cluster;
    const client = fake.client('webhook', { pods: false });
    const life = createSignOfLife({ cluster: client, clock, log });
    const ending = new AbortController();
    void life.run(ending.signal);
    return { isAlive: life.isWorkerAlive, mayOpenGates: life.mayOpenGates, client };
  }

  test('is there while a worker renews its Lease, and asking for it calls nobody', async () => {
    const cluster = openCluster();
    cluster.campaign('one');
    const { isAlive } = watchLife(cluster);
    await cluster.clock.advance(60_000);
    const calls = cluster.fake.calls.length;

    const answers = Array.from({ length: 1_000 }, () => isAlive());

    expect(new Set(answers)).toEqual(new Set([true]));
    expect(cluster.fake.calls).toHaveLength(calls);
  });

  test('ends 10 s after the last renewal was seen, whatever the clocks say', async () => {
    const cluster = openCluster();
    const one = cluster.campaign('one');
    await cluster.clock.advance(500);
    const { isAlive } = watchLife(cluster);
    await cluster.clock.advance(20_000);
    one.client.kill();
    const diedAt = cluster.clock.now();

    await cluster.waitFor(() => !isAlive(), 20_000);

    const silence = cluster.clock.now() - diedAt;
    expect(silence).toBeGreaterThan(8_000);
    expect(silence).toBeLessThanOrEqual(12_000);
  });

  test.each([
    ['9 s ago', -9_000, true],
    ['11 s ago', -11_000, false],
    ['a minute ahead of our clock', 60_000, false],
  ])('at the first look is what the Lease itself says: renewed %s', async (_when, offset, isThere) => {
    const cluster = openCluster();
    const { clock, fake } = cluster;
    const lease = {
      name: LEASE_NAME,
      holder: 'one',
      durationSeconds: 6,
      renewedAt: clock.now() + offset,
      transitions: 0,
      resourceVersion: '',
    };
    await fake.client('one').createLease(lease, { signal: clock.deadline(1_000) });

    const { isAlive } = watchLife(cluster);
    await clock.advance(100);

    expect(isAlive()).toBe(isThere);
  });

  test('comes back with the first renewal that is seen, also of a worker whose clock is an hour off', async () => {
    const cluster = openCluster();
    const { clock, fake, seize } = cluster;
    cluster.campaign('one').client.kill();
    await clock.advance(60_000);
    const { isAlive } = watchLife(cluster);
    const skewed = fake.client('skewed');
    const wish = {
      name: LEASE_NAME,
      holder: 'skewed',
      durationSeconds: 6,
      transitions: 1,
      resourceVersion: '',
    };
    await skewed.createLease(
      { ...wish, renewedAt: clock.now() - 3_600_000 },
      { signal: clock.deadline(1_000) },
    );
    await clock.advance(2_000);
    const atFirst = isAlive();

    await seize('skewed');
    await clock.advance(2_000);

    expect(atFirst).toBe(false);
    expect(isAlive()).toBe(true);
  });

  test('is not there without a Lease, nor with one whose time cannot be read', async () => {
    const cluster = openCluster();
    const { clock, fake } = cluster;
    const { isAlive } = watchLife(cluster);
    await clock.advance(2_000);
    const without = isAlive();

    const unreadable = {
      name: LEASE_NAME,
      holder: 'one',
      durationSeconds: 6,
      renewedAt: 0,
      transitions: 0,
      resourceVersion: '',
    };
    await fake.client('one').createLease(unreadable, { signal: clock.deadline(1_000) });
    await clock.advance(2_000);

    expect(without).toBe(false);
    expect(isAlive()).toBe(false);
  });

  test('ends at once when the Lease is deleted', async () => {
    const cluster = openCluster();
    const one = cluster.campaign('one');
    const { isAlive } = watchLife(cluster);
    await cluster.clock.advance(10_000);
    one.client.kill();

    cluster.fake.store.remove('lease', cluster.fake.namespace, LEASE_NAME);
    await cluster.clock.advance(2_000);

    expect(isAlive()).toBe(false);
  });

  test('lasts 10 s when the API server cannot be asked, and is there again with the first renewal seen', async () => {
    const cluster = openCluster();
    cluster.campaign('one');
    const { isAlive, client } = watchLife(cluster);
    await cluster.clock.advance(20_000);

    client.partition();
    const lasted = await cluster.waitFor(() => !isAlive(), 20_000);
    client.heal();
    const back = await cluster.waitFor(() => isAlive(), 20_000);

    expect(lasted).toBeGreaterThan(7_900);
    expect(lasted).toBeLessThanOrEqual(10_010);
    expect(back).toBeLessThanOrEqual(2_000);
  });

  test('says where that worker may open gates: everywhere, or in the namespaces that its Lease names', async () => {
    const cluster = openCluster();
    const { clock, fake } = cluster;
    let gatesIn: readonly string[] | undefined;
    const ending = new AbortController();
    const leader = createLeader({
      cluster: fake.client('one'),
      clock,
      log,
      identity: 'one',
      gatesIn: () => gatesIn,
    });
    void leader.run(ending.signal);
    const { mayOpenGates } = watchLife(cluster);
    await clock.advance(4_000);
    const everywhere = mayOpenGates('team-a');

    gatesIn = ['team-b'];
    await clock.advance(4_000);
    const named = [mayOpenGates('team-a'), mayOpenGates('team-b')];
    gatesIn = [];
    await clock.advance(4_000);

    expect(everywhere).toBe(true);
    expect(named).toEqual([false, true]);
    expect(mayOpenGates('team-b')).toBe(false);
    expect((await cluster.lease())?.gatesIn).toEqual([]);
  });
});
