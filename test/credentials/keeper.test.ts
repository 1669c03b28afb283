// What the keeper remembers of needs, and how long it leaves a failure alone.
import { describe, expect, test } from 'vitest';
import { foreignSecret, ruleFrom } from '../fakes/builders.ts';
import type { RecordStatus } from '../../src/core/pull-credential-record.ts';
import { createIssuer, type Issuer } from '../../src/credentials/issuer.ts';
import { createKeeper, type Keeper } from '../../src/credentials/keeper.ts';
import type { Attempt } from '../../src/credentials/attempt.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, type Stage } from './worker-stage.ts';

/** A keeper with a real issuer on the fake cluster, but for what of it is replaced. */
function keeperOn(stage: Stage, replaced: Partial<Issuer> = {}): Keeper {
  const { clock, exchange, settings } = stage;
  const cluster = stage.fake.client();
  const { needsPerAccount } = settings;
  const issuer = createIssuer({
    cluster,
    exchange,
    clock,
    isLeading: () => true,
    needsPerAccount: () => needsPerAccount,
  });
  return createKeeper({ view: cluster.view, clock, issuer: { ...issuer, ...replaced } });
}

function openKeeper(replaced: Partial<Issuer> = {}) {
  const stage = openStage();
  return { ...stage, stage, keeper: keeperOn(stage, replaced), planned: stage.planned('builder') };
}

/** Runs the clock until the promise has settled. */
async function settled<T>({ clock }: Stage, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = promise.finally(() => (isOver = true));
  over.catch(() => undefined);
  while (!isOver) await clock.advance(10);
  return over;
}

function failed(attempt: Attempt) {
  if (attempt.kind !== 'failed') throw new Error('the attempt did not fail');
  return attempt;
}

const problem = (code: ProblemCode, message = 'not you') => new Problem(code, message);

describe('one need', () => {
  test('is issued once, however many ask for it at the same time, and all get the one answer', async () => {
    const { stage, keeper, planned, asked } = openKeeper();

    const answers = await settled(
      stage,
      Promise.all(Array.from({ length: 100 }, () => keeper.obtain(planned))),
    );

    expect(asked).toHaveLength(1);
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toMatchObject({ kind: 'ready', isNew: true });
  });

  test('that is fresh is answered from memory', async () => {
    const { stage, keeper, planned, fake, clock } = openKeeper();
    await settled(stage, keeper.obtain(planned));
    const calls = fake.calls.length;

    await clock.advance(30 * 60_000);
    const answer = await settled(stage, keeper.obtain(planned));

    expect(answer.kind).toBe('ready');
    expect(fake.calls).toHaveLength(calls);
    expect(keeper.dueAt(planned.need)).toBe(
      fake.record(NAMESPACE, planned.need.secretName)?.status?.refreshAt,
    );
  });

  test('is issued again when its time to renew has come', async () => {
    const { stage, keeper, planned, clock, asked } = openKeeper();
    await settled(stage, keeper.obtain(planned));

    await clock.advance(keeper.dueAt(planned.need) - clock.now());
    const due = keeper.dueAt(planned.need);
    const answer = await settled(stage, keeper.obtain(planned));

    expect(due).toBe(0);
    expect(answer).toMatchObject({ kind: 'ready', isNew: true });
    expect(asked).toHaveLength(2);
  });

  test('that has a ready record is not issued after a restart: records are the only disk', async () => {
    const { stage, keeper, planned, asked } = openKeeper();
    await settled(stage, keeper.obtain(planned));

    const restarted = keeperOn(stage);
    const standing = restarted.standingOf(planned.need);
    const answer = await settled(stage, restarted.obtain(planned));

    expect(standing.kind).toBe('ready');
    expect(answer).toMatchObject({ kind: 'ready', isNew: false });
    expect(asked).toHaveLength(1);
  });

  test('whose record was deleted is not fresh any more', async () => {
    const { stage, keeper, planned, fake, clock, asked } = openKeeper();
    await settled(stage, keeper.obtain(planned));

    fake.deleteRecord(NAMESPACE, planned.need.secretName);
    await clock.advance(1_000);
    const due = keeper.dueAt(planned.need);
    await settled(stage, keeper.obtain(planned));

    expect(due).toBe(0);
    expect(asked).toHaveLength(2);
  });

  test('that is forgotten while it is under way still answers who waits for it', async () => {
    const { stage, keeper, planned, clock } = openKeeper();
    stage.registry = async (call, input) => {
      await clock.sleep(1_000);
      return lasting(3600)(call, input);
    };
    const waiting = keeper.obtain(planned);
    await clock.advance(500);

    keeper.forget(planned.need);
    const answer = await settled(stage, waiting);

    expect(answer.kind).toBe('ready');
    expect(keeper.begunAt(planned.need)).toBeUndefined();
    expect(keeper.standingOf(planned.need).kind).toBe('ready');
  });

  test('has begun with its first attempt, and with none once it has succeeded', async () => {
    const { stage, keeper, planned, clock } = openKeeper();
    stage.registry = refusing('exchange-unreachable');
    const before = keeper.begunAt(planned.need);
    const first = clock.now();
    await settled(stage, keeper.obtain(planned));
    await clock.advance(5_000);
    stage.registry = refusing('exchange-refused');
    await settled(stage, keeper.obtain(planned));
    const afterFailures = keeper.begunAt(planned.need);
    await clock.advance(600_000);
    stage.registry = lasting(3600);

    await settled(stage, keeper.obtain(planned));

    expect(before).toBeUndefined();
    expect(afterFailures).toBe(first);
    expect(keeper.begunAt(planned.need)).toBeUndefined();
  });
});

describe('a failure', () => {
  /** @returns the waits between attempts, in seconds, each tried as soon as it may be */
  async function waits({ stage, keeper, planned, clock }: ReturnType<typeof openKeeper>, count: number) {
    const seen: number[] = [];
    for (let attempt = 0; attempt < count; attempt++) {
      const { freshUntil } = failed(await settled(stage, keeper.obtain(planned)));
      seen.push(Math.round((freshUntil - clock.now()) / 100) / 10);
      await clock.advance(freshUntil - clock.now());
    }
    return seen;
  }

  test.for([
    ['exchange-throttled', [10, 20, 40, 80, 160, 320, 600, 600, 600]],
    ['exchange-refused', [600, 1200, 2400, 3600, 3600]],
    ['exchange-unreachable', [1, 1, 1, 8, 16, 30, 30, 30]],
  ] as const)('of the code %s is left alone for longer each time', async ([code, waited]) => {
    const open = openKeeper();
    open.clock.chance = 0.999_999;
    open.stage.registry = refusing(code);

    expect(await waits(open, waited.length)).toEqual(waited);
  });

  test('that may be trust on its way is waiting for a quarter of an hour, and then a refusal', async () => {
    const { stage, keeper, planned, clock } = openKeeper();
    clock.chance = 0.999_999;
    stage.registry = refusing('exchange-waiting');
    const codes: string[] = [];
    const started = clock.now();
    while (clock.now() - started < 60 * 60_000) {
      const { problem, freshUntil } = failed(await settled(stage, keeper.obtain(planned)));
      codes.push(`${Math.round((clock.now() - started) / 1000)} ${problem.code}`);
      await clock.advance(freshUntil - clock.now());
    }

    expect(codes).toEqual([
      '0 exchange-waiting',
      '30 exchange-waiting',
      '90 exchange-waiting',
      '210 exchange-waiting',
      '450 exchange-waiting',
      '750 exchange-waiting',
      '1050 exchange-refused',
      '1650 exchange-refused',
      '2850 exchange-refused',
    ]);
  });

  test('that may be trust on its way holds the pod, and is seen in the record', async () => {
    const { stage, keeper, planned, fake } = openKeeper();
    stage.registry = refusing('exchange-waiting');

    await settled(stage, keeper.obtain(planned));

    expect(keeper.standingOf(planned.need)).toMatchObject({ kind: 'pending' });
    expect(fake.record(NAMESPACE, planned.need.secretName)?.status?.reason).toBe('exchange-waiting');
  });

  test('that was a refusal before a restart is none that waits after it', async () => {
    const { stage, planned, keeper } = openKeeper();
    stage.registry = refusing('exchange-refused');
    await settled(stage, keeper.obtain(planned));
    stage.registry = refusing('exchange-waiting');

    const attempt = failed(await settled(stage, keeperOn(stage).obtain(planned)));

    expect(attempt.problem.code).toBe('exchange-refused');
  });

  test('is spread by chance down to half of that', async () => {
    const open = openKeeper();
    open.clock.chance = 0;
    open.stage.registry = refusing('exchange-throttled');

    const seen = await waits(open, 8);

    expect(seen).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
  });

  test('is answered from memory until its time is over: nobody is asked again', async () => {
    const { stage, keeper, planned, clock, asked } = openKeeper();
    stage.registry = refusing('exchange-refused');
    const first = await settled(stage, keeper.obtain(planned));

    await clock.advance(4_000);
    const second = await settled(stage, keeper.obtain(planned));

    expect(second).toBe(first);
    expect(asked).toHaveLength(1);
  });

  test('of a clock that was ahead is left alone no longer when that is put right', async () => {
    const { stage, keeper, planned, clock, asked } = openKeeper();
    stage.registry = refusing('exchange-refused');
    await settled(stage, keeper.obtain(planned));

    clock.turn(-24 * HOUR_MS);
    await clock.advance(300_000);
    await settled(stage, keeper.obtain(planned));
    const early = asked.length;
    await clock.advance(300_000);
    const dueAt = keeper.dueAt(planned.need);
    await settled(stage, keeper.obtain(planned));

    expect(early).toBe(1);
    expect(dueAt).toBe(0);
    expect(asked).toHaveLength(2);
  });

  test('that says how long to wait is obeyed', async () => {
    const { stage, keeper, planned, clock, asked } = openKeeper();
    stage.registry = refusing('exchange-throttled', 'slow down', { retryAfterMs: HOUR_MS });
    await settled(stage, keeper.obtain(planned));

    await clock.advance(HOUR_MS - 1_000);
    await settled(stage, keeper.obtain(planned));
    const before = asked.length;
    await clock.advance(1_000);
    await settled(stage, keeper.obtain(planned));

    expect(before).toBe(1);
    expect(asked).toHaveLength(2);
  });

  test('of another kind begins to count anew', async () => {
    const { stage, keeper, planned, clock } = openKeeper();
    stage.registry = refusing('exchange-refused');
    for (let attempt = 0; attempt < 5; attempt++) {
      const { freshUntil } = failed(await settled(stage, keeper.obtain(planned)));
      await clock.advance(freshUntil - clock.now());
    }

    stage.registry = refusing('exchange-malformed');
    const other = failed(await settled(stage, keeper.obtain(planned)));

    expect(other.failures).toBe(1);
    expect(other.freshUntil - clock.now()).toBeLessThanOrEqual(600_000);
  });

  test('that somebody must mend is written into the record, and one that passes is not', async () => {
    const { stage, keeper, planned, fake, clock } = openKeeper();
    const reason = () => fake.record(NAMESPACE, planned.need.secretName)?.status?.reason;
    fake.beforeCall = ({ verb }) => {
      if (verb === 'mintToken') throw problem('cluster-unreachable');
    };
    await settled(stage, keeper.obtain(planned));
    const passing = reason();
    fake.beforeCall = undefined;
    stage.registry = refusing('exchange-refused');
    await clock.advance(2_000);

    await settled(stage, keeper.obtain(planned));

    expect(passing).toBeUndefined();
    expect(reason()).toBe('exchange-refused');
  });

  test('that cannot be written into the record is a failure all the same', async () => {
    const { stage, keeper, planned, fake } = openKeeper();
    stage.registry = refusing('exchange-refused');
    fake.beforeCall = ({ verb }) => {
      if (verb === 'updateRecordStatus') throw problem('cluster-refused');
    };

    const answer = failed(await settled(stage, keeper.obtain(planned)));

    expect(answer.problem.code).toBe('exchange-refused');
    expect(keeper.standingOf(planned.need).kind).toBe('refused');
  });

  test('that is a bug is not swallowed, neither in issuing nor in reporting', async () => {
    const bug = () => Promise.reject(new TypeError('x is not a function'));
    const issuing = openKeeper({ issue: bug });
    const reporting = openKeeper({ report: bug });
    reporting.stage.registry = refusing('exchange-refused');

    const attempts = [issuing, reporting].map(({ stage, keeper, planned }) =>
      settled(stage, keeper.obtain(planned)),
    );

    for (const attempt of attempts) await expect(attempt).rejects.toThrow(TypeError);
  });

  test('is forgotten when it is to be', async () => {
    const { stage, keeper, planned, asked } = openKeeper();
    stage.registry = refusing('exchange-refused');
    await settled(stage, keeper.obtain(planned));

    keeper.forget(planned.need);
    const due = keeper.dueAt(planned.need);
    await settled(stage, keeper.obtain(planned));

    expect(due).toBe(0);
    expect(asked).toHaveLength(2);
  });

  test('of one need among 50,000 others is forgotten, not kept without bound', async () => {
    const always = problem('cluster-unreachable');
    const { keeper, planned } = openKeeper({ issue: () => Promise.reject(always) });
    const needs = Array.from({ length: 50_001 }, (_, at) => ({
      ...planned,
      need: { ...planned.need, host: `registry-${at}.example` },
    }));

    for (const one of needs) await keeper.obtain(one);

    const [first, second] = needs.map(({ need }) => need);
    if (!first || !second) throw new Error('there are 50,001');
    expect([keeper.begunAt(first), keeper.dueAt(first)]).toEqual([undefined, 0]);
    expect(keeper.begunAt(second)).toBeDefined();
  });
});

describe('a Secret of the needed name that is not ours', () => {
  function openBeside() {
    const open = openKeeper();
    const { fake, planned, keeper, stage, clock } = open;
    const { secretName } = planned.need;
    fake.addSecret(foreignSecret(NAMESPACE, secretName, { mine: 'eA==' }));
    const trySeconds = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        await settled(stage, keeper.obtain(planned));
        await clock.advance(1_000 - (clock.now() % 1_000));
      }
    };
    return { ...open, trySeconds, takeAway: () => fake.deleteSecret(NAMESPACE, secretName) };
  }

  test('may be the last life’s for 10 s, and is tried every second; then it is refused', async () => {
    const { keeper, planned, fake, trySeconds } = openBeside();
    const { need } = planned;

    await trySeconds(9);
    const meanwhile = keeper.standingOf(need);
    const attempts = fake.count('createSecret');
    await trySeconds(3);

    expect(meanwhile).toMatchObject({ kind: 'pending', problem: { code: 'secret-not-ours' } });
    expect(attempts).toBe(9);
    expect(keeper.standingOf(need)).toMatchObject({ kind: 'refused', code: 'secret-not-ours' });
    expect(fake.record(NAMESPACE, need.secretName)?.status).toMatchObject({
      isReady: false,
      reason: 'secret-not-ours',
    });
  });

  test('that goes away within 10 s was the last life’s: the credential is issued a second later', async () => {
    const { keeper, planned, fake, trySeconds, takeAway } = openBeside();
    await trySeconds(5);

    takeAway();
    await trySeconds(1);

    expect(keeper.standingOf(planned.need).kind).toBe('ready');
    expect(fake.record(NAMESPACE, planned.need.secretName)?.status?.reason).toBe('issued');
  });

  test('stays refused while the API server stumbles', async () => {
    const { keeper, planned, fake, trySeconds, clock, stage } = openBeside();
    await trySeconds(12);
    await clock.advance(60_000);
    fake.beforeCall = () => {
      throw problem('cluster-unreachable');
    };

    const attempt = await settled(stage, keeper.obtain(planned));

    expect(failed(attempt).problem.code).toBe('cluster-unreachable');
    expect(keeper.standingOf(planned.need)).toMatchObject({ kind: 'refused', code: 'secret-not-ours' });
  });

  test('stays refused when another worker takes over', async () => {
    const { planned, trySeconds, stage } = openBeside();
    await trySeconds(12);

    const next = keeperOn(stage);
    const before = next.standingOf(planned.need);
    await settled(stage, next.obtain(planned));

    expect(before).toMatchObject({ kind: 'refused', code: 'secret-not-ours' });
    expect(next.standingOf(planned.need)).toMatchObject({ kind: 'refused', code: 'secret-not-ours' });
  });
});

describe('what is known of a need without asking anybody', () => {
  const records = [
    'none',
    'unwritten',
    'ready',
    'other digest',
    'last minute',
    'other life',
    'refused',
    'passing',
  ];
  const memories = ['nothing', 'refused', 'passing', 'unreachable'] as const;
  type Row = readonly [record: string, ...standings: string[]];
  const table: readonly Row[] = [
    //               nothing                    refused               passing                                 unreachable
    ['none', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
    ['unwritten', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
    ['ready', 'ready', 'ready', 'ready', 'ready'],
    ['other digest', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
    ['last minute', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
    ['other life', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
    ['refused', 'exchange-refused', 'token-refused', 'exchange-refused', 'exchange-refused'],
    ['passing', 'pending', 'token-refused', 'pending cluster-conflict', 'pending exchange-unreachable'],
  ];
  const cells = table.flatMap(([record, ...standings]) =>
    standings.map((standing, at) => [record, memories[at] ?? 'nothing', standing] as const),
  );

  test('depends on its record and the last attempt, and every pair of them is in this table', () => {
    expect(table.map(([record]) => record)).toEqual(records);
    expect(cells).toHaveLength(records.length * memories.length);
  });

  test.each(cells)('record %s, memory %s: %s', async (record, memory, wanted) => {
    const codes = {
      refused: 'token-refused',
      passing: 'cluster-conflict',
      unreachable: 'exchange-unreachable',
    };
    const { stage, keeper, planned, fake, clock } = openKeeper({
      issue: () => Promise.reject(problem(codes[memory as keyof typeof codes] as ProblemCode)),
      report: () => Promise.resolve(),
    });
    const { need } = planned;
    if (record !== 'none') {
      const client = fake.client();
      const options = () => ({ signal: clock.deadline(1_000) });
      const identity = {
        ...need.identity,
        uid: record === 'other life' ? 'of the last life' : need.identity.uid,
      };
      const made = await client.createRecord({ ...need, identity }, options());
      const status: RecordStatus = {
        isReady: record !== 'refused' && record !== 'passing',
        reason: 'issued',
        message: 'as it is',
        changedAt: clock.now(),
        issuedAt: clock.now(),
        expiresAt: clock.now() + (record === 'last minute' ? 59_000 : HOUR_MS),
        refreshAt: clock.now() + HOUR_MS,
        digest: record === 'other digest' ? 'another' : need.digest,
        tokenId: '',
        secretUid: '',
      };
      const reasons: Record<string, ProblemCode> = {
        refused: 'exchange-refused',
        passing: 'credential-expired',
      };
      const reason = reasons[record] ?? status.reason;
      if (record !== 'unwritten') await client.updateRecordStatus(made, { ...status, reason }, options());
    }
    if (memory !== 'nothing' && record !== 'ready') await settled(stage, keeper.obtain(planned));

    const standing = keeper.standingOf(need);

    const code = standing.kind === 'pending' ? standing.problem?.code : undefined;
    const shown =
      standing.kind === 'refused' ? standing.code : [standing.kind, code].filter(Boolean).join(' ');
    expect(shown).toBe(wanted);
  });

  test('is read from the records alone where nothing is issued', async () => {
    const { stage, keeper, planned, fake, clock } = openKeeper();
    const webhook = createKeeper({ view: fake.client('webhook').view, clock });
    const before = webhook.standingOf(planned.need);

    await settled(stage, keeper.obtain(planned));
    const after = webhook.standingOf(planned.need);

    expect(before).toEqual({ kind: 'pending' });
    expect(after).toMatchObject({ kind: 'ready', expiresAt: clock.now() - (clock.now() % 1_000) + HOUR_MS });
    await expect(webhook.obtain({ ...planned, need: { ...planned.need, digest: 'x' } })).rejects.toThrow(
      TypeError,
    );
  });

  test('is pending under a rule that has changed since', async () => {
    const { stage, keeper, planned } = openKeeper();
    await settled(stage, keeper.obtain(planned));

    stage.settings.rules = [ruleFrom({ token: { expirationSeconds: 600 } })];
    const standing = keeper.standingOf(stage.planned('builder').need);

    expect(standing.kind).toBe('pending');
  });
});
