// One login for a whole region: who shares it, who does not, and for how long.
import { describe, expect, test } from 'vitest';
import { createHandClock } from '../fakes/hand-clock.ts';
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import { createSharedExchange } from '../../src/credentials/shared-exchange.ts';
import { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import type { PlannedNeed } from '../../src/core/pull-plan.ts';

const HOUR_MS = 3_600_000;
const EU = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const EU_TOO = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';
const US = '111122223333.dkr.ecr.us-east-1.amazonaws.com';

const ecr = ruleFrom({
  name: 'ecr',
  hosts: ['*.dkr.ecr.*.amazonaws.com'],
  exchange: { kind: 'ecr' },
  parameters: { 'role-arn': { from: 'annotation' } },
});

function needAt(host: string, { role = 'pull', uid = 'uid-1', rule = ecr } = {}): PlannedNeed {
  const annotations = { 'keyless-pull.dev/role-arn': `arn:aws:iam::111122223333:role/${role}` };
  return plannedOf({ namespace: 'team-a', name: 'web', uid, annotations }, rule, host);
}

function open(lifeMs = 12 * HOUR_MS) {
  const clock = createHandClock();
  const asked: string[] = [];
  const state: { problem: Problem | undefined; held: Promise<void> | undefined } = {
    problem: undefined,
    held: undefined,
  };
  const shared = createSharedExchange(async (_call, { planned }) => {
    asked.push(planned.need.host);
    await state.held;
    if (state.problem) throw state.problem;
    const now = clock.now();
    const password = new SecretText(`password ${asked.length}`);
    return { hosts: [planned.need.host], username: 'AWS', password, issuedAt: now, expiresAt: now + lifeMs };
  }, clock);
  const obtain = (planned: PlannedNeed) => {
    const call = { clock, signal: new AbortController().signal };
    const token = new SecretText('token');
    return shared(call, { token, issuedAt: clock.now(), expiresAt: clock.now() + HOUR_MS, planned });
  };
  return { clock, asked, state, obtain };
}

describe('an answer that is good for a whole region', () => {
  test('is exchanged once for an account, and each host gets it under its own name', async () => {
    const { asked, obtain } = open();

    const [one, other] = await Promise.all([obtain(needAt(EU)), obtain(needAt(EU_TOO))]);

    expect(asked).toEqual([EU]);
    expect([one.hosts, other.hosts]).toEqual([[EU], [EU_TOO]]);
    expect(one.password).toBe(other.password);
  });

  test('also serves who comes a little later, and nobody after a tenth of its life', async () => {
    const { asked, clock, obtain } = open();
    const first = await obtain(needAt(EU));
    await clock.advance(1.1 * HOUR_MS);
    const second = await obtain(needAt(EU_TOO));
    await clock.advance(0.2 * HOUR_MS);

    await obtain(needAt('777788889999.dkr.ecr.eu-west-1.amazonaws.com'));

    expect(second.expiresAt).toBe(first.expiresAt);
    expect(asked).toHaveLength(2);
  });

  test('is never given twice to the same host: who asks again wants a new one', async () => {
    const { asked, obtain } = open();
    await obtain(needAt(EU));

    await obtain(needAt(EU));

    expect(asked).toHaveLength(2);
  });

  test.for([
    ['another region', needAt(US)],
    ['another role', needAt(EU_TOO, { role: 'other' })],
    ['an account that was made anew', needAt(EU_TOO, { uid: 'uid-2' })],
  ] as const)('is not for %s', async ([, other]) => {
    const { asked, obtain } = open();

    await Promise.all([obtain(needAt(EU)), obtain(other)]);

    expect(asked).toHaveLength(2);
  });

  test('that does not come fails all who wait for it with the same problem, and is asked for anew', async () => {
    const { asked, state, obtain } = open();
    state.problem = new Problem('exchange-refused', 'no');
    const both = await Promise.allSettled([obtain(needAt(EU)), obtain(needAt(EU_TOO))]);
    state.problem = undefined;

    await obtain(needAt(EU));

    expect(both.map((one) => one.status === 'rejected' && one.reason)).toEqual([
      expect.objectContaining({ code: 'exchange-refused' }),
      expect.objectContaining({ code: 'exchange-refused' }),
    ]);
    expect(asked).toHaveLength(2);
  });
});

test('an answer for one host alone is shared with nobody', async () => {
  const { asked, obtain } = open();
  const rule = ruleFrom({ hosts: ['a.example', 'b.example'] });

  await Promise.all([obtain(needAt('a.example', { rule })), obtain(needAt('b.example', { rule }))]);

  expect(asked).toEqual(['a.example', 'b.example']);
});
