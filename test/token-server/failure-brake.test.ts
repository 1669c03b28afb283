// What a failed login costs its source, and what it does not cost others.
import { describe, expect, test } from 'vitest';
import { createFailureBrake } from '../../src/token-server/failure-brake.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const forever = new AbortController().signal;

/** A brake, and how long each failure was held, in milliseconds. */
function setUp() {
  const clock = createHandClock();
  const waits: number[] = [];
  const brake = createFailureBrake({
    ...clock,
    sleep: async (ms) => {
      waits.push(ms);
    },
  });
  const fail = async (address: string, times = 1) => {
    for (let time = 0; time < times; time++) await brake.hold(address, forever);
    return waits.splice(0);
  };
  return { clock, fail };
}

describe('failed logins of one source', () => {
  test('are free five times, then cost more and more, up to four seconds', async () => {
    const { fail } = setUp();

    expect(await fail('192.0.2.1', 5)).toEqual([]);
    expect(await fail('192.0.2.1', 7)).toEqual([250, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  test('do not slow another source', async () => {
    const { fail } = setUp();
    await fail('192.0.2.1', 20);

    expect(await fail('192.0.2.2')).toEqual([]);
  });

  test('are forgotten after a minute without one', async () => {
    const { fail, clock } = setUp();
    await fail('192.0.2.1', 20);

    await clock.advance(59_000);
    expect(await fail('192.0.2.1')).toEqual([4000]);
    await clock.advance(60_001);
    expect(await fail('192.0.2.1')).toEqual([]);
  });

  test.for([
    ['one IPv4 address, however it is written', '192.0.2.1', '::ffff:192.0.2.1', true],
    ['one IPv6 /64', '2001:db8:1:2::1', '2001:db8:1:2:aaaa:bbbb:cccc:dddd', true],
    ['not the next /64', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['a short address for what it stands for', '2001:db8::1', '2001:db8:0:0:1:2:3:4', true],
    ['not every address that begins with a gap', '::1', '::2:0:0:0:1', false],
    ['one link-local address without its zone', 'fe80::1%eth0', 'fe80::2', true],
  ] as const)('a source is %s', async ([, one, other, same]) => {
    const { fail } = setUp();
    await fail(one, 5);

    expect(await fail(other)).toEqual(same ? [250] : []);
  });
});

test('sources beyond the bound push out the ones not heard of for longest', async () => {
  const { fail } = setUp();
  await fail('192.0.2.1', 5);

  for (let at = 0; at < 4096; at++) await fail(`10.0.${at >> 8}.${at & 255}`);

  expect(await fail('192.0.2.1')).toEqual([]);
  expect(await fail('10.0.15.255', 5)).toEqual([250]);
});

test('when very many are held back, the next ones are turned away at once', async () => {
  const clock = createHandClock();
  const brake = createFailureBrake(clock);
  for (let time = 0; time < 5; time++) await brake.hold('192.0.2.1', forever);
  const held = Array.from({ length: 256 }, () => brake.hold('192.0.2.1', forever));

  expect(await brake.hold('192.0.2.1', forever)).toBe(false);
  await clock.advance(4000);

  expect(new Set(await Promise.all(held))).toEqual(new Set([true]));
});

test('who hangs up is not held any longer', async () => {
  const brake = createFailureBrake(createHandClock());
  for (let time = 0; time < 5; time++) await brake.hold('192.0.2.1', forever);
  const caller = new AbortController();

  const held = brake.hold('192.0.2.1', caller.signal);
  caller.abort();

  await expect(held).rejects.toThrow();
});
