// How long each failure is left alone, and when it is final: the table that the keeper and the worker live by.
import { describe, expect, test } from 'vitest';
import {
  failureAfter,
  isFinal,
  isTold,
  mayPass,
  type Attempt,
  type Failure,
} from '../../src/credentials/attempt.ts';
import { Problem, problemCodes, type ProblemCode } from '../../src/problem.ts';

const NOON = Date.parse('2026-11-21T12:00:00Z');
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const codes = Object.keys(problemCodes) as ProblemCode[];

interface Wish {
  readonly before?: Attempt | undefined;
  readonly now?: number;
  readonly chance?: number;
  readonly recorded?: string;
  readonly retryAfterMs?: number;
}

function fail(code: ProblemCode, wish: Wish = {}): Failure {
  const { before, now = NOON, chance = 0.999_999, recorded, retryAfterMs } = wish;
  const problem = new Problem(code, 'it failed', {
    details: retryAfterMs === undefined ? {} : { retryAfterMs },
  });
  return failureAfter(problem, { before, now, chance, recorded });
}

/** The waits of so many failures in a row, each at the end of the wait before; in whole seconds. */
function waitsOf(code: ProblemCode, count: number, chance = 0.999_999): number[] {
  const waits: number[] = [];
  let before: Attempt | undefined;
  let now = NOON;
  for (let at = 0; at < count; at++) {
    before = fail(code, { before, now, chance });
    waits.push(Math.round((before.freshUntil - now) / SECOND));
    now = before.freshUntil;
  }
  return waits;
}

describe('a failure is left alone', () => {
  test.for<[ProblemCode, number[]]>([
    ['exchange-unreachable', [1, 1, 1, 8, 16, 30, 30]],
    ['deadline', [1, 1, 1, 8, 16, 30, 30]],
    ['exchange-throttled', [10, 20, 40, 80, 160, 320, 600, 600]],
    ['exchange-stale', [10, 20, 40, 80, 160, 320, 600, 600]],
    ['token-refused', [10, 20, 40, 80, 160, 320, 600, 600]],
    ['quota-exceeded', [10, 20, 40, 80, 160, 320, 600, 600]],
    ['exchange-refused', [600, 1200, 2400, 3600, 3600]],
    ['exchange-malformed', [600, 1200, 2400, 3600, 3600]],
    ['credential-already-expired', [600, 1200, 2400, 3600, 3600]],
    ['rule-unknown', [600, 1200, 2400, 3600, 3600]],
    // The first quarter of an hour waits for new trust to be known everywhere, the rest is a refusal.
    ['exchange-waiting', [30, 60, 120, 240, 300, 300, 600, 1200, 2400, 3600]],
  ])('as %s: %j seconds', ([code, waits]) => {
    expect(waitsOf(code, waits.length)).toEqual(waits);
  });

  test('for half of that at least, so that many do not come back at once', () => {
    expect(waitsOf('exchange-throttled', 4, 0)).toEqual([5, 10, 20, 40]);
    expect(waitsOf('exchange-refused', 4, 0)).toEqual([300, 600, 1200, 1800]);
    expect(waitsOf('exchange-unreachable', 6, 0)).toEqual([1, 1, 1, 4, 8, 15]);
  });

  test.for(codes)('%s: never less than a second, never more than an hour', (code) => {
    for (const wait of [...waitsOf(code, 30, 0), ...waitsOf(code, 30)]) {
      expect(wait).toBeGreaterThanOrEqual(1);
      expect(wait).toBeLessThanOrEqual(3600);
    }
  });

  test('as long as the other side asks for, where that is longer', () => {
    expect(fail('exchange-throttled', { retryAfterMs: 2 * HOUR }).freshUntil).toBe(NOON + 2 * HOUR);
    expect(fail('exchange-unreachable', { retryAfterMs: 90 * SECOND }).freshUntil).toBe(NOON + 90 * SECOND);
    expect(fail('exchange-refused', { retryAfterMs: SECOND }).freshUntil).toBeGreaterThan(NOON + MINUTE);
  });
});

describe('failures in a row', () => {
  test('are counted by their code: another one starts anew', () => {
    const first = fail('exchange-unreachable');
    const second = fail('exchange-unreachable', { before: first, now: NOON + SECOND });
    const other = fail('exchange-throttled', { before: second, now: NOON + 2 * SECOND });

    expect(second).toMatchObject({ failures: 2, firstAt: NOON });
    expect(other).toMatchObject({ failures: 1, firstAt: NOON + 2 * SECOND });
  });

  test('end with a success', () => {
    const before: Attempt = { kind: 'ready', isNew: true, freshUntil: NOON };

    expect(fail('exchange-refused', { before })).toMatchObject({ failures: 1, firstAt: NOON });
  });

  test('keep the last problem, with what it said', () => {
    const { problem } = fail('exchange-throttled', { retryAfterMs: 5 });

    expect(problem).toMatchObject({ code: 'exchange-throttled', details: { retryAfterMs: 5 } });
  });
});

describe('trust that is not known yet', () => {
  test('is waited for a quarter of an hour, and is a refusal then', () => {
    const first = fail('exchange-waiting');
    const codeAt = (now: number) => fail('exchange-waiting', { before: first, now }).problem.code;

    expect(first.problem.code).toBe('exchange-waiting');
    expect(codeAt(NOON + 15 * MINUTE - 1)).toBe('exchange-waiting');
    expect(codeAt(NOON + 15 * MINUTE)).toBe('exchange-refused');
  });

  test('that never comes stays one story: the refusal began with the waiting', () => {
    const first = fail('exchange-waiting');
    const refused = fail('exchange-waiting', { before: first, now: NOON + 15 * MINUTE });
    const again = fail('exchange-waiting', { before: refused, now: NOON + 30 * MINUTE });

    expect(refused).toMatchObject({ failures: 1, firstAt: NOON });
    expect(again).toMatchObject({ failures: 2, firstAt: NOON });
    expect(again.problem).toMatchObject({ code: 'exchange-refused', message: 'it failed' });
  });

  test('that was final before a restart is final after it', () => {
    expect(fail('exchange-waiting', { recorded: 'exchange-refused' }).problem.code).toBe('exchange-refused');
    expect(fail('exchange-waiting', { recorded: 'exchange-waiting' }).problem.code).toBe('exchange-waiting');
  });

  test('is waited for anew after anything else went wrong in between', () => {
    const before = fail('exchange-unreachable', { before: fail('exchange-waiting'), now: NOON + HOUR });

    expect(fail('exchange-waiting', { before, now: NOON + HOUR }).problem.code).toBe('exchange-waiting');
  });
});

describe('a Secret of our name that is not ours', () => {
  test('is looked at again at once for ten seconds: it may be the last life of the account', () => {
    const first = fail('secret-not-ours');
    const later = fail('secret-not-ours', { before: first, now: NOON + 9 * SECOND });
    const final = fail('secret-not-ours', { before: later, now: NOON + 10 * SECOND });

    expect(first).toMatchObject({ failures: 0, freshUntil: NOON + SECOND });
    expect(later).toMatchObject({ failures: 0, firstAt: NOON, freshUntil: NOON + 10 * SECOND });
    expect(final).toMatchObject({ failures: 1, firstAt: NOON });
    expect(Math.round((final.freshUntil - NOON) / SECOND)).toBe(20);
    expect(isFinal(first, NOON + 9 * SECOND)).toBe(false);
    expect(isFinal(final, NOON + 10 * SECOND)).toBe(true);
  });
});

describe('what is final, and what is told', () => {
  const passing: ProblemCode[] = codes.filter((code) =>
    ['soon', 'waiting'].includes(problemCodes[code].retry),
  );

  test.for(codes)('%s may pass by itself, or is final at once', (code) => {
    const failure = fail(code);

    expect(mayPass(code)).toBe(passing.includes(code));
    expect(isFinal(failure, NOON + MINUTE)).toBe(!passing.includes(code));
  });

  test('all that is final is told', () => {
    for (const code of codes) {
      const failure = fail(code);
      if (isFinal(failure, NOON + MINUTE)) expect(isTold(failure, NOON + MINUTE), code).toBe(true);
    }
  });

  test('of what may pass, a registry that is down and trust on its way are told', () => {
    const told = passing.filter((code) => isTold(fail(code), NOON + MINUTE));

    expect(told).toEqual(['exchange-waiting', 'exchange-unreachable']);
  });

  test('a code that this version does not know, as in a record of another one, does not pass by itself', () => {
    expect(mayPass('invented-later' as ProblemCode)).toBe(false);
  });
});

describe('a right that is missing', () => {
  const lack = (before: Attempt | undefined, now: number) => {
    const details = { upstream: '403 Forbidden', missingRight: 'create pullcredentials in namespace team-a' };
    const refused = new Problem('cluster-refused', 'POST /x: no right to it', { details });
    return failureAfter(refused, { before, now, chance: 0.999_999, recorded: undefined });
  };

  test('is looked for again within a minute, however long it has been missing', () => {
    const waits: number[] = [];
    let now = NOON;
    let before: Failure | undefined;
    for (let at = 0; at < 20; at++) {
      before = lack(before, now);
      waits.push(Math.round((before.freshUntil - now) / SECOND));
      now = before.freshUntil;
    }

    expect(waits.slice(0, 5)).toEqual([10, 20, 40, 45, 45]);
    expect(Math.max(...waits)).toBe(45);
  });

  test('is told with the manifest that gives it, and no pod waits for it', () => {
    const failure = lack(undefined, NOON);

    expect(failure.problem).toMatchObject({
      code: 'cluster-refused',
      message:
        'the worker has no right to create pullcredentials in namespace team-a: ' +
        'webhook-config/per-namespace/namespace gives it in one namespace, webhook-config/rbac.yaml in all of them',
    });
    expect(isFinal(failure, NOON)).toBe(true);
  });
});
