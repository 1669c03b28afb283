// Who may ask a token service, and when: buckets, clocks that jump, and breakers that open, probe and close.
import { describe, expect, test } from 'vitest';
import { createHandClock } from '../fakes/hand-clock.ts';
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import type { Attempt } from '../../src/credentials/attempt.ts';
import { createEndpointLimits, endpointOf } from '../../src/credentials/endpoint-limits.ts';
import type { PlannedNeed } from '../../src/core/pull-plan.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';

const HOST = 'one.team.example';
const realm = ruleFrom({
  name: 'realm',
  hosts: [HOST, 'two.team.example'],
  exchange: { kind: 'token-realm' },
});
const ACR = {
  'client-id': { from: 'rule', value: '11111111-2222-3333-4444-555555555555' },
  'tenant-id': { from: 'rule', value: '11111111-2222-3333-4444-555555555555' },
};
const passThrough = ruleFrom({ hosts: [HOST] });

function needAt(host = HOST, rule = realm, name = 'builder'): PlannedNeed {
  return plannedOf({ namespace: 'team-a', name, uid: `uid-${name}` }, rule, host);
}

function failedBy(code: ProblemCode, retryAfterMs?: number): Attempt {
  const problem = new Problem(code, 'no', retryAfterMs === undefined ? {} : { details: { retryAfterMs } });
  return { kind: 'failed', problem, firstAt: 0, failures: 1, freshUntil: 0 };
}

const ISSUED: Attempt = { kind: 'ready', isNew: true, freshUntil: 0 };
const UNREACHABLE = failedBy('exchange-unreachable');

function open(ratePerEndpoint = 10, burst = 50) {
  const clock = createHandClock();
  const rate = { ratePerEndpoint, burst };
  const limits = createEndpointLimits({ clock, rate: () => rate });
  /** Begins and ends at once. @returns whether it might begin */
  const tryOnce = (planned: PlannedNeed, attempt: Attempt = ISSUED) => {
    const begun = limits.begin(planned);
    if (begun) limits.ended(planned, attempt);
    return begun;
  };
  const countOf = (planned: PlannedNeed, most = 1_000) => {
    let count = 0;
    while (count < most && tryOnce(planned)) count++;
    return count;
  };
  const openBreaker = (planned: PlannedNeed) => {
    for (let failure = 0; failure < 5; failure++) tryOnce(planned, UNREACHABLE);
  };
  return { clock, rate, limits, tryOnce, countOf, openBreaker };
}

describe('a bucket', () => {
  test('gives its burst at once, and then its rate', async () => {
    const { clock, countOf } = open();

    const atOnce = countOf(needAt());
    await clock.advance(1_000);
    const second = countOf(needAt());
    await clock.advance(50);

    expect([atOnce, second, countOf(needAt())]).toEqual([50, 10, 0]);
  });

  test('gives no more than its rate however often it is asked, and no less', async () => {
    const { clock, countOf } = open(3, 1);
    let given = countOf(needAt());

    for (let step = 0; step < 300; step++) {
      await clock.advance(100);
      given += countOf(needAt());
    }

    // A token that comes between two looks is taken at the next: every 400 ms instead of every 333.
    expect(given).toBeLessThanOrEqual(1 + 90);
    expect(given).toBeGreaterThanOrEqual(75);
  });

  test('gives nothing for a turned wall clock, and its burst after the longest pause', async () => {
    const { clock, countOf } = open();
    countOf(needAt());

    clock.turn(8 * 3_600_000);
    const turned = countOf(needAt());
    clock.turn(-20 * 3_600_000);
    const turnedBack = countOf(needAt());
    await clock.advance(8 * 3_600_000);

    expect([turned, turnedBack, countOf(needAt())]).toEqual([0, 0, 50]);
  });

  test('is of one endpoint: others are not slower, and where nobody is asked there is none', () => {
    const { countOf } = open(10, 5);

    expect(countOf(needAt())).toBe(5);
    expect(countOf(needAt('two.team.example'))).toBe(5);
    expect(countOf(needAt(HOST, passThrough))).toBe(1_000);
  });

  test('follows the config at once', () => {
    const { rate, countOf } = open(10, 50);
    rate.burst = 7;

    expect(countOf(needAt())).toBe(7);
  });

  test('says when to look again: soon where a token is missing, never where nobody was turned away', () => {
    const { limits, countOf } = open(10, 5);
    countOf(needAt(), 5);
    const before = limits.waitMs();
    countOf(needAt());

    expect(before).toBe(Infinity);
    expect(limits.waitMs()).toBe(250);
    expect(limits.waitMs()).toBe(Infinity);
  });

  test('lets twelve be under way at most, so that a service that hangs leaves places to others', () => {
    const { limits } = open();
    const needs = Array.from({ length: 20 }, (_, at) => needAt(HOST, realm, `account-${at}`));

    const begun = needs.filter((planned) => limits.begin(planned));
    for (const planned of begun) limits.ended(planned, ISSUED);

    expect(begun).toHaveLength(12);
    expect(limits.begin(needAt())).toBe(true);
  });
});

describe('an endpoint', () => {
  const ecr = ruleFrom({ name: 'ecr', hosts: ['*.dkr.ecr.*.amazonaws.com'], exchange: { kind: 'ecr' } });
  const atGateway = ruleFrom({
    name: 'gateway',
    hosts: ['*.team.example'],
    exchange: { kind: 'token-realm', endpoint: 'https://gateway.team.example' },
  });
  const at = (rule: typeof ecr, host: string) =>
    endpointOf({ ...needAt(), need: { ...needAt().need, host }, rule });

  test('is a region of a cloud, whichever account the registry is of', () => {
    const one = at(ecr, '111122223333.dkr.ecr.eu-west-1.amazonaws.com');
    const other = at(ecr, '444455556666.dkr.ecr.eu-west-1.amazonaws.com');
    const elsewhere = at(ecr, '111122223333.dkr.ecr.us-east-1.amazonaws.com');

    expect(one).toBe(other);
    expect(one).not.toBe(elsewhere);
  });

  test('is where the rule says it is, whichever host the images name', () => {
    expect(at(atGateway, 'a.team.example')).toBe(at(atGateway, 'b.team.example'));
    expect(at(atGateway, 'a.team.example')).not.toBe(at(realm, 'a.team.example'));
  });

  test('is the registry itself where that is handed the token', () => {
    expect(at(realm, 'a.team.example')).not.toBe(at(realm, 'b.team.example'));
  });
});

describe('a breaker', () => {
  test('opens after five failures in a row and lets one probe through, after a second, then 2, 4 and up to 30', async () => {
    const { clock, limits, openBreaker } = open();
    clock.chance = 0.999;
    openBreaker(needAt());
    const waits: number[] = [];
    const besides: boolean[] = [];

    for (let nth = 0; nth < 8; nth++) {
      const from = clock.monotonic();
      const probe = needAt();
      while (!limits.begin(probe)) await clock.advance(100);
      waits.push(Math.round((clock.monotonic() - from) / 1000));
      besides.push(limits.begin(needAt(HOST, realm, 'another')));
      limits.ended(probe, UNREACHABLE);
    }

    expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    expect(besides).not.toContain(true);
  });

  test('opens for throttling too, and waits as long as it was told, but no longer than five minutes', async () => {
    const { clock, limits, tryOnce } = open();
    const throttledFor = (seconds: number) => failedBy('exchange-throttled', seconds * 1000);
    for (let failure = 0; failure < 5; failure++) tryOnce(needAt(), throttledFor(90));
    await clock.advance(89_000);
    const early = limits.begin(needAt());
    await clock.advance(1_000);
    const inTime = tryOnce(needAt(), throttledFor(86_400));
    await clock.advance(299_000);
    const secondEarly = limits.begin(needAt());
    await clock.advance(1_000);

    expect([early, inTime, secondEarly, limits.begin(needAt())]).toEqual([false, true, false, true]);
  });

  test.for(['exchange-refused', 'exchange-malformed', 'exchange-waiting'] as const)(
    'stays closed where every fifth answer is %s: the service lives',
    (code) => {
      const { tryOnce, limits } = open(1_000, 1_000);

      for (let nth = 0; nth < 40; nth++) tryOnce(needAt(), nth % 5 === 4 ? failedBy(code) : UNREACHABLE);

      expect(limits.isDown(needAt())).toBe(false);
    },
  );

  test.for(['cluster-unreachable', 'lease-lost', 'deadline', 'token-refused'] as const)(
    'neither opens nor closes for %s: nobody outside was asked',
    async (code) => {
      const { clock, tryOnce, limits, openBreaker } = open();
      for (let nth = 0; nth < 10; nth++) tryOnce(needAt(), failedBy(code));
      const before = limits.isDown(needAt());
      openBreaker(needAt());
      await clock.advance(1_000);
      const probed = tryOnce(needAt(), failedBy(code));
      const after = [limits.isDown(needAt()), limits.begin(needAt())];
      await clock.advance(1_000);

      expect([before, probed]).toEqual([false, true]);
      expect(after).toEqual([true, false]);
      expect(limits.begin(needAt())).toBe(true);
    },
  );

  test('closes with the first answer, and no more than the bucket goes out then', async () => {
    const { clock, countOf, limits, tryOnce, openBreaker } = open(10, 50);
    openBreaker(needAt());
    await clock.advance(10 * 60_000);

    const probed = tryOnce(needAt(), ISSUED);

    expect([probed, limits.isDown(needAt())]).toEqual([true, false]);
    expect(countOf(needAt())).toBe(49);
  });

  test('is not opened further by those who were under way when it opened, and closed by one that gets an answer', () => {
    const { limits } = open();
    const late = Array.from({ length: 10 }, (_, nth) => needAt(HOST, realm, `late-${nth}`));
    for (const planned of late) limits.begin(planned);
    for (const planned of late.slice(0, 9)) limits.ended(planned, UNREACHABLE);
    limits.begin(needAt());
    const wait = limits.waitMs();
    for (const planned of late.slice(9)) limits.ended(planned, ISSUED);

    expect(wait).toBe(750);
    expect(limits.isDown(needAt())).toBe(false);
  });

  test('is of one host: who invents hosts that do not exist closes nobody else the way', () => {
    const cloud = ruleFrom({
      name: 'acr',
      hosts: ['*.azurecr.io'],
      exchange: { kind: 'acr' },
      parameters: ACR,
    });
    const { limits, openBreaker } = open();
    const invented = needAt('no-such-registry.azurecr.io', cloud);
    const real = needAt('team.azurecr.io', cloud);

    openBreaker(invented);

    expect(endpointOf(invented)).toBe(endpointOf(real));
    expect([limits.isDown(invented), limits.isDown(real)]).toEqual([true, false]);
    expect(limits.begin(real)).toBe(true);
  });

  test('of a need whose work ended in a bug lets the next probe through', async () => {
    const { clock, limits, openBreaker } = open();
    openBreaker(needAt());
    await clock.advance(1_000);
    const probe = needAt();
    limits.begin(probe);
    limits.ended(probe);
    await clock.advance(1_000);

    expect(limits.begin(needAt())).toBe(true);
  });

  test('remembers ten thousand hosts and not every one that somebody invents', () => {
    const many = ruleFrom({ name: 'many', hosts: ['*.many.example'], exchange: { kind: 'token-realm' } });
    const { limits, openBreaker } = open();
    openBreaker(needAt('first.many.example', many));

    for (let nth = 0; nth < 10_001; nth++) {
      const planned = needAt(`host-${nth}.many.example`, many);
      if (limits.begin(planned)) limits.ended(planned, UNREACHABLE);
    }

    expect(limits.isDown(needAt('first.many.example', many))).toBe(false);
  });
});
