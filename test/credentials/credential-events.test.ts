// What people are told of a credential's life, and what is none of their business.
import { describe, expect, test } from 'vitest';
import { foreignSecret, TEST_HOST } from '../fakes/builders.ts';
import type { RecordStatus } from '../../src/core/pull-credential-record.ts';
import { createTeller } from '../../src/credentials/credential-events.ts';
import type { Attempt } from '../../src/credentials/attempt.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing } from './worker-stage.ts';

const MINUTE_MS = 60_000;

async function openTeller() {
  const stage = openStage();
  const { fake, log, clock } = stage;
  const { need } = stage.planned('builder');
  return {
    ...stage,
    need,
    teller: createTeller({ cluster: fake.client(), log }),
    events: async () => {
      await clock.advance(0);
      return fake.events().map(({ reason, type, note, regarding }) => ({ reason, type, note, regarding }));
    },
  };
}

const issued: Attempt = { kind: 'ready', isNew: true, freshUntil: 0 };
const failedWith = (code: ProblemCode, failures: number): Attempt => ({
  kind: 'failed',
  problem: new Problem(code, 'that is why'),
  firstAt: 0,
  failures,
  freshUntil: 0,
});

function statusWith(reason: RecordStatus['reason'], issuedAt: number): RecordStatus {
  return {
    isReady: reason === 'issued',
    reason,
    message: '',
    changedAt: 0,
    issuedAt,
    expiresAt: 0,
    refreshAt: 0,
    digest: '',
    tokenId: '',
    secretUid: '',
  };
}

/** The counts of failures in a row at which an event is written. */
async function toldAt(code: ProblemCode, upTo: number): Promise<number[]> {
  const { teller, need, events } = await openTeller();
  const counts: number[] = [];
  let before = 0;
  for (let failures = 0; failures <= upTo; failures++) {
    teller.attempted(need, undefined, failedWith(code, failures));
    const { length } = await events();
    if (length > before) counts.push(failures);
    before = length;
  }
  return counts;
}

describe('an event on the account', () => {
  test('tells of the first credential and its Secret, and of no renewal', async () => {
    const { teller, need, events } = await openTeller();

    teller.attempted(need, undefined, issued);
    teller.attempted(need, statusWith('issued', 1), issued);
    teller.attempted(need, statusWith('issued', 1), { ...issued, isNew: false });

    expect(await events()).toEqual([
      {
        reason: 'CredentialIssued',
        type: 'Normal',
        note: `the credential for ${TEST_HOST} is in Secret ${need.secretName}`,
        regarding: { kind: 'ServiceAccount', namespace: NAMESPACE, name: 'builder', uid: need.identity.uid },
      },
    ]);
  });

  test('tells of a refusal the first time, and then each time the failures have doubled', async () => {
    const counts = await toldAt('exchange-refused', 20);

    expect(counts).toEqual([1, 2, 4, 8, 16]);
  });

  test('carries code and sentence of the refusal', async () => {
    const { teller, need, events } = await openTeller();

    teller.attempted(need, undefined, failedWith('exchange-refused', 1));

    expect(await events()).toMatchObject([
      {
        reason: 'CredentialRefused',
        type: 'Warning',
        note: `no credential for ${TEST_HOST} (exchange-refused): that is why`,
      },
    ]);
  });

  test('tells of a registry that cannot be reached from the fourth time on: the first ones may be a hiccup', async () => {
    const counts = await toldAt('exchange-unreachable', 20);

    expect(counts).toEqual([4, 8, 16]);
  });

  test('tells of a Secret that is not ours by a reason of its own, and not while it may be the last life’s', async () => {
    const { teller, need, events } = await openTeller();
    teller.attempted(need, undefined, failedWith('secret-not-ours', 0));
    const undecided = await events();

    teller.attempted(need, undefined, failedWith('secret-not-ours', 1));

    expect(undecided).toEqual([]);
    expect(await events()).toMatchObject([{ reason: 'SecretNotOurs', type: 'Warning' }]);
  });

  test('tells of a recovery', async () => {
    const { teller, need, events } = await openTeller();

    teller.attempted(need, statusWith('exchange-refused', 1), issued);

    expect(await events()).toMatchObject([
      {
        reason: 'CredentialRecovered',
        type: 'Normal',
        note: `the credential for ${TEST_HOST} is good again`,
      },
    ]);
  });

  test('tells of an end, and why it came', async () => {
    const { teller, need, events } = await openTeller();

    teller.expired(need, 'exchange-refused');
    teller.expired(need, 'issued');

    const [refused, unasked] = await events();
    expect(refused).toMatchObject({ reason: 'CredentialExpired', type: 'Warning' });
    expect(refused?.note).toBe(
      `the credential for ${TEST_HOST} has expired (exchange-refused): Secret ${need.secretName} is empty now`,
    );
    expect(unasked?.note).toBe(
      `the credential for ${TEST_HOST} has expired: Secret ${need.secretName} is empty now`,
    );
  });

  const ours = [
    'lease-lost',
    'cluster-unreachable',
    'cluster-throttled',
    'cluster-conflict',
    'deadline',
  ] as const;

  test.each(ours)('does not tell of %s: that is our own trouble', async (code) => {
    const counts = await toldAt(code, 20);

    expect(counts).toEqual([]);
  });
});

describe('the log', () => {
  test('has one line per attempt: info for what was issued, warn for a refusal, debug for our own trouble', async () => {
    const { teller, need, lines } = await openTeller();

    teller.attempted(need, undefined, issued);
    teller.attempted(need, statusWith('issued', 1), issued);
    teller.attempted(need, undefined, failedWith('exchange-refused', 3));
    teller.attempted(need, undefined, failedWith('lease-lost', 1));
    teller.expired(need, 'exchange-refused');

    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ['info', 'credential issued'],
      ['info', 'credential renewed'],
      ['warn', 'credential not issued'],
      ['debug', 'credential not issued'],
      ['error', 'credential expired'],
    ]);
    expect(lines[2]).toMatchObject({
      namespace: NAMESPACE,
      serviceAccount: 'builder',
      rule: need.rule,
      registry: TEST_HOST,
      failures: 3,
      error: { code: 'exchange-refused' },
    });
  });
});

describe('over a credential’s life', () => {
  test('a day of refusals is a handful of events, and the recovery is one', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.registry = refusing('exchange-refused');
    stage.addPod('app');
    await stage.clock.advance(24 * HOUR_MS);
    const attempts = stage.asked.length;
    const refusals = stage.told().filter((reason) => reason === 'CredentialRefused').length;
    stage.registry = lasting(3_600);

    await stage.clock.advance(HOUR_MS);

    expect(attempts).toBeGreaterThan(16);
    expect(refusals).toBe(Math.floor(Math.log2(attempts)) + 1);
    expect(stage.told().filter((reason) => reason === 'CredentialRecovered')).toHaveLength(1);
    expect(stage.told()).not.toContain('CredentialIssued');
  });

  test('a last life’s Secret that goes away in seconds is nobody’s business', async () => {
    const stage = openStage();
    stage.startLoop();
    const { secretName } = stage.planned('builder').need;
    stage.fake.addSecret(foreignSecret(NAMESPACE, secretName));
    stage.addPod('app');
    await stage.clock.advance(8_000);

    stage.fake.deleteSecret(NAMESPACE, secretName);
    await stage.clock.advance(2_000);

    expect(stage.told()).toEqual(['CredentialIssued', 'PodReleased']);
  });

  test('a Secret that is not ours is told of after 10 s, on the account and on the pod that waits for it', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.fake.addSecret(foreignSecret(NAMESPACE, stage.planned('builder').need.secretName));
    stage.addPod('app');

    await stage.clock.advance(13_000);

    expect(stage.told()).toEqual(['SecretNotOurs', 'SecretNotOurs']);
    const kinds = stage.fake.events().map(({ regarding }) => regarding.kind);
    expect(kinds.sort()).toEqual(['Pod', 'ServiceAccount']);
  });

  test('an API server that stumbles for a minute is told of to nobody', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.fake.beforeCall = ({ verb }) => {
      if (verb !== 'emit') throw new Problem('cluster-unreachable', 'down');
    };
    stage.addPod('app', { gated: false });
    await stage.clock.advance(MINUTE_MS);

    stage.fake.beforeCall = undefined;
    await stage.clock.advance(MINUTE_MS);

    expect(stage.told()).toEqual(['CredentialIssued']);
  });
});
