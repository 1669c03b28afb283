// How a credential comes to be, write by write, and what becomes of it when something dies, stumbles or is in the way.
import { describe, expect, test } from 'vitest';
import { foreignSecret, ruleFrom, TEST_HOST } from '../fakes/builders.ts';
import type { FakeClient, FakeVerb } from '../fakes/fake-cluster.ts';
import { secretManifest } from '../../src/core/pull-secret.ts';
import { MANAGED_LABEL } from '../../src/core/vocabulary.ts';
import { createIssuer } from '../../src/credentials/issuer.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, WRITES, type Stage } from './worker-stage.ts';

interface IssuerChoice {
  readonly cluster?: FakeClient;
  readonly isLeading?: () => boolean;
}

function issuerOn(
  stage: Stage,
  { cluster = stage.fake.client(), isLeading = () => true }: IssuerChoice = {},
) {
  const { clock, exchange, settings } = stage;
  return createIssuer({
    cluster,
    exchange,
    clock,
    isLeading,
    needsPerAccount: () => settings.needsPerAccount,
  });
}

function openIssuer() {
  const stage = openStage();
  const planned = stage.planned('builder');
  const { secretName } = planned.need;
  return {
    ...stage,
    stage,
    planned,
    issuer: issuerOn(stage),
    record: () => stage.fake.record(NAMESPACE, secretName),
    secret: () => stage.fake.secret(NAMESPACE, secretName),
    config: () => stage.fake.dockerConfig(NAMESPACE, secretName),
    login: () => stage.fake.loginClaims(NAMESPACE, secretName, TEST_HOST),
    secretName,
  };
}

/** Runs the clock until the promise has settled, or for so long. */
async function settled<T>({ clock }: Stage, promise: Promise<T>, withinMs = 200_000): Promise<T> {
  let isOver = false;
  const over = promise.finally(() => (isOver = true));
  over.catch(() => undefined);
  for (let passed = 0; !isOver && passed < withinMs; passed += 10) await clock.advance(10);
  return isOver ? over : Promise.reject(new Error('it has not settled'));
}

/** @returns the code of the Problem that the promise ends with */
async function codeOf<T>(stage: Stage, promise: Promise<T>): Promise<ProblemCode | 'none'> {
  return settled(
    stage,
    promise.then(
      () => 'none' as const,
      (error: unknown) => {
        if (error instanceof Problem) return error.code;
        throw error;
      },
    ),
  );
}

const stumble = (code: ProblemCode = 'cluster-unreachable') => new Problem(code, 'the API server stumbled');

describe('a credential', () => {
  test('is issued in five calls: record, empty Secret, token, Secret, status', async () => {
    const { stage, issuer, planned, login, record, secret, fake, clock } = openIssuer();
    const at = clock.now();

    await settled(stage, issuer.issue(planned));

    expect(fake.calls.map(({ verb }) => verb)).toEqual(WRITES);
    const claims = await login();
    expect(claims).toMatchObject({
      sub: 'system:serviceaccount:team-a:builder',
      aud: [planned.rule.audience],
    });
    expect(record()?.status).toMatchObject({
      isReady: true,
      reason: 'issued',
      message: `credential for ${TEST_HOST} is good until 2026-11-21T13:00:00.000Z`,
      changedAt: at,
      issuedAt: at,
      expiresAt: at + HOUR_MS,
      digest: planned.need.digest,
      tokenId: claims?.jti,
      tokenKeyId: fake.tokens.keyId,
      secretUid: secret()?.metadata.uid,
    });
  });

  test('under a name that another account has already is not made, and the sentence says whose it is', async () => {
    const { stage, issuer, planned } = openIssuer();
    await settled(stage, issuer.issue(planned));
    stage.fake.addAccount(NAMESPACE, 'other');
    await stage.clock.advance(100);
    const { need, ...rest } = stage.planned('other');
    const sameName = { ...rest, need: { ...need, secretName: planned.need.secretName } };

    const failing = settled(stage, issuer.issue(sameName));

    await expect(failing).rejects.toMatchObject({
      code: 'secret-not-ours',
      message: `Secret ${NAMESPACE}/${planned.need.secretName} is that of ServiceAccount builder: give other another name`,
    });
  });

  test('is asked for once more with a token made anew when the first one is called stale', async () => {
    const { stage, issuer, planned } = openIssuer();
    const tokens: string[] = [];
    const answers = [refusing('exchange-stale'), lasting(3_600)];
    stage.registry = (call, input) => {
      tokens.push(input.token.reveal());
      return (answers.shift() ?? lasting(3_600))(call, input);
    };

    const record = await settled(stage, issuer.issue(planned));

    expect(record.status?.isReady).toBe(true);
    expect(new Set(tokens).size).toBe(2);
  });

  test('is given up when the second token is called stale too', async () => {
    const { stage, issuer, planned } = openIssuer();
    stage.registry = refusing('exchange-stale');

    expect(await codeOf(stage, issuer.issue(planned))).toBe('exchange-stale');
    expect(stage.asked).toHaveLength(2);
  });

  test('is renewed in three calls, one PUT and one status write among them, in the same Secret', async () => {
    const { stage, issuer, planned, record, secret, login, clock } = openIssuer();
    const issuedAt = clock.now();
    await settled(stage, issuer.issue(planned));
    const before = { uid: secret()?.metadata.uid, tokenId: record()?.status?.tokenId };
    stage.written();
    await clock.advance(40 * 60_000);

    await settled(stage, issuer.issue(planned));

    expect(stage.written()).toEqual(['mintToken', 'updateSecret', 'updateRecordStatus']);
    expect(secret()?.metadata.uid).toBe(before.uid);
    expect(record()?.status?.tokenId).not.toBe(before.tokenId);
    expect((await login())?.jti).toBe(record()?.status?.tokenId);
    expect(record()?.status?.changedAt).toBe(issuedAt);
  });

  test.each([
    ['of an hour between 0.6 and 0.7 of it', 3_600, 0.6, 0.7],
    ['under a quarter of an hour at half of it', 800, 0.45, 0.5],
  ])('that lives %s is due then', async (_title, seconds, least, most) => {
    for (const chance of [0, 0.5, 0.999]) {
      const { stage, issuer, planned, record, clock } = openIssuer();
      clock.chance = chance;
      stage.registry = lasting(seconds);
      await settled(stage, issuer.issue(planned));

      const { refreshAt = 0, issuedAt = 0 } = record()?.status ?? {};

      const share = (refreshAt - issuedAt) / (seconds * 1000);
      expect(share).toBeGreaterThanOrEqual(least - 0.002);
      expect(share).toBeLessThanOrEqual(most);
    }
  });

  test.each([
    ['already expired', -1],
    ['in its last minute', 60],
  ])('that is %s on arrival is a permanent problem, and is not written', async (_title, seconds) => {
    const { stage, issuer, planned, config } = openIssuer();
    stage.registry = lasting(seconds);

    const code = await codeOf(stage, issuer.issue(planned));

    expect(code).toBe('credential-already-expired');
    expect(config()).toEqual({ auths: {} });
    expect(stage.written()).not.toContain('updateRecordStatus');
  });
});

describe('death', () => {
  const deaths = WRITES.flatMap((verb) => [[verb, 'before'] as const, [verb, 'after'] as const]);

  test.each(deaths)(
    'of the worker at %s, %s it is done, is repaired by the next one in the same Secret',
    async (verb, when) => {
      const { stage, planned, fake, secret, record, login, clock } = openIssuer();
      fake.beforeCall = (call) => (call.client === 'one' && call.verb === verb ? `die-${when}` : undefined);
      void issuerOn(stage, { cluster: fake.client('one') }).issue(planned);
      await clock.advance(60_000);
      const before = secret()?.metadata.uid;

      await settled(stage, issuerOn(stage, { cluster: fake.client('two') }).issue(planned));

      expect(fake.secrets()).toHaveLength(1);
      if (before) expect(secret()?.metadata.uid).toBe(before);
      expect(record()?.status).toMatchObject({ isReady: true, secretUid: secret()?.metadata.uid });
      expect((await login())?.jti).toBe(record()?.status?.tokenId);
    },
  );

  const renewals = (['mintToken', 'updateSecret', 'updateRecordStatus'] as const).flatMap((verb) => [
    [verb, 'before'] as const,
    [verb, 'after'] as const,
  ]);

  test.each(renewals)(
    'in a renewal at %s, %s it is done, leaves a good login, and is repaired in three calls',
    async (verb, when) => {
      const { stage, planned, fake, secret, record, login, clock } = openIssuer();
      await settled(stage, issuerOn(stage, { cluster: fake.client('one') }).issue(planned));
      const { uid } = secret()?.metadata ?? {};
      await clock.advance(40 * 60_000);
      fake.beforeCall = (call) => (call.client === 'one' && call.verb === verb ? `die-${when}` : undefined);
      void issuerOn(stage, { cluster: fake.client('one') }).issue(planned);
      await clock.advance(60_000);
      const meanwhile = await login();
      stage.written();

      await settled(stage, issuerOn(stage, { cluster: fake.client('two') }).issue(planned));

      expect(meanwhile).toBeDefined();
      expect(stage.written()).toEqual(['mintToken', 'updateSecret', 'updateRecordStatus']);
      expect(secret()?.metadata.uid).toBe(uid);
      expect((await login())?.jti).toBe(record()?.status?.tokenId);
    },
  );
});

describe('a Secret', () => {
  test('that was deleted by hand is made again at the next renewal, with one exchange', async () => {
    const { stage, issuer, planned, fake, secret, record, login, asked, secretName } = openIssuer();
    await settled(stage, issuer.issue(planned));
    const before = secret()?.metadata.uid;
    fake.deleteSecret(NAMESPACE, secretName);

    await settled(stage, issuer.issue(planned));

    expect(asked).toHaveLength(2);
    expect(secret()?.metadata.uid).not.toBe(before);
    expect(record()?.status?.secretUid).toBe(secret()?.metadata.uid);
    expect(await login()).toBeDefined();
  });

  test('that was deleted while its content was being exchanged is made again', async () => {
    const { stage, issuer, planned, fake, secret, record, login, secretName } = openIssuer();
    await settled(stage, issuer.issue(planned));
    stage.registry = (call, input) => {
      stage.registry = lasting(3600);
      fake.deleteSecret(NAMESPACE, secretName);
      return stage.registry(call, input);
    };

    await settled(stage, issuer.issue(planned));

    expect(record()?.status?.secretUid).toBe(secret()?.metadata.uid);
    expect((await login())?.jti).toBe(record()?.status?.tokenId);
  });

  test('of our name that is not ours is left as it is, byte for byte', async () => {
    const { stage, issuer, planned, fake, secret, secretName } = openIssuer();
    fake.addSecret(foreignSecret(NAMESPACE, secretName, { mine: 'eA==' }));
    const before = JSON.stringify(secret());

    const codes = [await codeOf(stage, issuer.issue(planned)), await codeOf(stage, issuer.issue(planned))];

    expect(codes).toEqual(['secret-not-ours', 'secret-not-ours']);
    expect(JSON.stringify(secret())).toBe(before);
    expect(stage.asked).toEqual([]);
  });

  test('that somebody put in the place of ours is left as it is, and the record is ready no more', async () => {
    const { stage, issuer, planned, fake, secret, record, secretName } = openIssuer();
    await settled(stage, issuer.issue(planned));
    fake.deleteSecret(NAMESPACE, secretName);
    fake.addSecret(foreignSecret(NAMESPACE, secretName, { mine: 'eA==' }));
    const before = JSON.stringify(secret());

    const code = await codeOf(stage, issuer.issue(planned));
    await settled(stage, issuer.report(planned.need, new Problem('secret-not-ours', 'it is not ours')));

    expect(code).toBe('secret-not-ours');
    expect(JSON.stringify(secret())).toBe(before);
    expect(record()?.status).toMatchObject({
      isReady: false,
      reason: 'secret-not-ours',
      expiresAt: 0,
      secretUid: '',
    });
  });

  test('of ours that lost its owner is adopted when its name is needed', async () => {
    const { stage, issuer, planned, fake, secret, record, login } = openIssuer();
    const orphan = secretManifest(planned.need, 'nobody');
    const { uid } = fake.addSecret({
      ...orphan,
      metadata: { ...orphan.metadata, ownerReferences: [] },
    }).metadata;

    await settled(stage, issuer.issue(planned));

    expect(secret()?.metadata.uid).toBe(uid);
    expect(secret()?.metadata.ownerReferences).toMatchObject([
      { kind: 'PullCredential', uid: record()?.uid },
    ]);
    expect(await login()).toBeDefined();
  });

  test('carries our label and type, so that nobody else’s tools take it for theirs', async () => {
    const { stage, issuer, planned, secret } = openIssuer();

    await settled(stage, issuer.issue(planned));

    expect(secret()).toMatchObject({
      type: 'kubernetes.io/dockerconfigjson',
      metadata: { labels: { [MANAGED_LABEL]: 'true', 'velero.io/exclude-from-backup': 'true' } },
    });
  });
});

describe('a record', () => {
  test('of the account’s last life is waited for, and nothing is written beside it', async () => {
    const { stage, issuer, planned, fake, record } = openIssuer();
    await settled(stage, issuer.issue(planned));
    fake.client().holdWatch();
    fake.recreateAccount(NAMESPACE, 'builder');
    const { uid } = fake.client('other').view.account(NAMESPACE, 'builder') ?? { uid: '' };
    const next = { ...planned, need: { ...planned.need, identity: { ...planned.need.identity, uid } } };
    stage.written();

    const early = await codeOf(stage, issuer.issue(next));
    const written = stage.written();
    await stage.clock.advance(1_000);
    fake.client().releaseWatch();
    await settled(stage, issuer.issue(next));

    expect(early).toBe('cluster-conflict');
    expect(written).toEqual([]);
    expect(record()).toMatchObject({ accountUid: uid, status: { isReady: true } });
  });

  test('that changed meanwhile is read again from the watch, and what was exchanged is written', async () => {
    const { stage, issuer, planned, fake, record, asked, secretName } = openIssuer();
    await settled(stage, issuer.issue(planned));
    fake.client().holdWatch();
    fake.orphanRecord(NAMESPACE, secretName);

    const renewal = issuer.issue(planned);
    await stage.clock.advance(5_000);
    const conflicts = fake.count('updateRecordStatus') - 1;
    fake.client().releaseWatch();
    await settled(stage, renewal);

    expect(conflicts).toBeGreaterThan(1);
    expect(asked).toHaveLength(2);
    expect(record()?.status?.reason).toBe('issued');
  });

  test('that was deleted while its credential was exchanged is not written', async () => {
    const { stage, issuer, planned, fake, record, secretName } = openIssuer();
    await settled(stage, issuer.issue(planned));
    stage.registry = (call, input) => {
      fake.deleteRecord(NAMESPACE, secretName);
      return lasting(3600)(call, input);
    };

    const code = await codeOf(stage, issuer.issue(planned));

    expect(code).toBe('cluster-missing');
    expect(record()).toBeUndefined();
  });
});

test('a status is not written into the record of another life', async () => {
  const { stage, issuer, planned, fake, record, secretName, clock } = openIssuer();
  await settled(stage, issuer.issue(planned));
  stage.registry = async (call, input) => {
    fake.deleteRecord(NAMESPACE, secretName);
    const identity = { ...planned.need.identity, uid: 'of the next life' };
    await fake.client('next').createRecord({ ...planned.need, identity }, { signal: clock.deadline(1_000) });
    return lasting(3600)(call, input);
  };

  const code = await codeOf(stage, issuer.issue(planned));

  expect(code).toBe('cluster-missing');
  expect(record()).toMatchObject({ accountUid: 'of the next life' });
  expect(record()?.status).toBeUndefined();
});

describe('what was exchanged is written', () => {
  const stumbles: [string, FakeVerb, ProblemCode][] = [
    ['Secret though the API server cannot be reached', 'updateSecret', 'cluster-unreachable'],
    ['Secret though the API server asks to wait', 'updateSecret', 'cluster-throttled'],
    ['status though the API server cannot be reached', 'updateRecordStatus', 'cluster-unreachable'],
    ['status though the API server is slow', 'updateRecordStatus', 'deadline'],
  ];

  test.each(stumbles)('into the %s for 20 s: one exchange', async (_title, verb, code) => {
    const { stage, issuer, planned, fake, clock, login, record, asked } = openIssuer();
    const until = clock.now() + 20_000;
    fake.beforeCall = (call) => {
      if (call.verb === verb && clock.now() < until) throw stumble(code);
    };

    await settled(stage, issuer.issue(planned));

    expect(asked).toHaveLength(1);
    expect(record()?.status?.isReady).toBe(true);
    expect(await login()).toBeDefined();
  });

  test('also when an answer got lost at either write', async () => {
    const { stage, issuer, planned, fake, login, record, asked } = openIssuer();
    const lost = new Set<FakeVerb>();
    fake.beforeCall = ({ verb }) => {
      if (!['updateSecret', 'updateRecordStatus'].includes(verb) || lost.has(verb)) return undefined;
      lost.add(verb);
      return 'lose-answer';
    };

    await settled(stage, issuer.issue(planned));

    expect(lost.size).toBe(2);
    expect(asked).toHaveLength(1);
    expect((await login())?.jti).toBe(record()?.status?.tokenId);
  });

  test('but given up after a minute, so that a need is not held for ever', async () => {
    const { stage, issuer, planned, fake, clock } = openIssuer();
    const began = clock.now();
    fake.beforeCall = ({ verb }) => {
      if (verb === 'updateSecret') throw stumble();
    };

    const code = await codeOf(stage, issuer.issue(planned));

    expect(code).toBe('cluster-unreachable');
    expect(clock.now() - began).toBeLessThanOrEqual(61_000);
  });

  test('but given up after a minute also when the clock was turned back', async () => {
    const { stage, issuer, planned, fake, clock } = openIssuer();
    const began = clock.monotonic();
    fake.beforeCall = ({ verb }) => {
      if (verb === 'updateSecret') throw stumble();
    };
    const giveUp = codeOf(stage, issuer.issue(planned));
    await clock.advance(1_000);

    clock.turn(-24 * HOUR_MS);

    expect(await giveUp).toBe('cluster-unreachable');
    expect(clock.monotonic() - began).toBeLessThanOrEqual(61_000);
  });

  test('but not by who leads no more', async () => {
    const { stage, planned, fake, config, clock } = openIssuer();
    let isLeading = true;
    const issuer = issuerOn(stage, { isLeading: () => isLeading });
    fake.beforeCall = ({ verb }) => {
      if (verb === 'updateSecret') throw stumble();
    };
    const issue = codeOf(stage, issuer.issue(planned));
    await clock.advance(5_000);

    isLeading = false;
    fake.beforeCall = undefined;

    expect(await issue).toBe('lease-lost');
    expect(config()).toEqual({ auths: {} });
  });
});

describe('who does not lead', () => {
  test.each([0, 1, 2, 3, 4])('any more after %i writes writes nothing more', async (writes) => {
    const { stage, planned, fake } = openIssuer();
    let asked = 0;
    const issuer = issuerOn(stage, { isLeading: () => asked++ < writes });

    const code = await codeOf(stage, issuer.issue(planned));

    expect(code).toBe('lease-lost');
    expect(fake.calls.map(({ verb }) => verb)).toEqual(WRITES.slice(0, writes));
  });

  test('reports and empties nothing', async () => {
    const { stage, planned, issuer, record, config, clock } = openIssuer();
    await settled(stage, issuer.issue(planned));
    await clock.advance(2 * HOUR_MS);
    stage.written();
    const idle = issuerOn(stage, { isLeading: () => false });
    const found = record();
    if (!found) throw new Error('there is no record');

    const codes = [
      await codeOf(stage, idle.report(planned.need, stumble('exchange-refused'))),
      await codeOf(stage, idle.empty(found, planned.need)),
    ];

    expect(codes).toEqual(['lease-lost', 'lease-lost']);
    expect(stage.written()).toEqual([]);
    expect(config()?.auths).toHaveProperty(TEST_HOST);
  });
});

describe('one account', () => {
  function openWide() {
    const hosts = Array.from({ length: 20 }, (_, at) => `registry-${at}.team.example`);
    const stage = openStage({ rules: [ruleFrom({ hosts })] });
    return {
      ...stage,
      stage,
      issuer: issuerOn(stage),
      needs: hosts.map((host) => stage.planned('builder', host)),
    };
  }

  test('gets 16 credentials, and the 17th is too many', async () => {
    const { stage, issuer, needs, fake } = openWide();
    const codes: string[] = [];

    for (const need of needs.slice(0, 17)) codes.push(await codeOf(stage, issuer.issue(need)));

    expect(codes.slice(0, 16)).toEqual(Array.from({ length: 16 }, () => 'none'));
    expect(codes[16]).toBe('too-many-needs');
    expect(fake.records()).toHaveLength(16);
  });

  test('gets no more when it asks for all at once', async () => {
    const { stage, issuer, needs, fake } = openWide();

    const codes = await settled(stage, Promise.all(needs.map((need) => codeOf(stage, issuer.issue(need)))));

    expect(codes.filter((code) => code === 'too-many-needs')).toHaveLength(4);
    expect(fake.records()).toHaveLength(16);
  });

  test('is not charged for what its last life had, nor for what failed to be made', async () => {
    const { stage, issuer, needs, fake } = openWide();
    fake.beforeCall = ({ verb }) => {
      if (verb === 'createRecord') throw stumble('cluster-refused');
    };
    for (const need of needs) await codeOf(stage, issuer.issue(need));
    fake.beforeCall = undefined;

    const codes = [];
    for (const need of needs.slice(0, 16)) codes.push(await codeOf(stage, issuer.issue(need)));

    expect(new Set(codes)).toEqual(new Set(['none']));
  });
});

describe('a report', () => {
  test('of a failing renewal keeps what is still good ready, and its reason says what stands in the way', async () => {
    const { stage, issuer, planned, record } = openIssuer();
    await settled(stage, issuer.issue(planned));
    const before = record()?.status;

    await settled(
      stage,
      issuer.report(planned.need, new Problem('exchange-refused', 'the registry said no')),
    );

    expect(record()?.status).toEqual({
      ...before,
      reason: 'exchange-refused',
      message: 'the registry said no',
    });
    expect(record()?.status?.isReady).toBe(true);
  });

  test('is ready no more once the last credential has ended', async () => {
    const { stage, issuer, planned, record, clock } = openIssuer();
    await settled(stage, issuer.issue(planned));
    await clock.advance(HOUR_MS);

    await settled(
      stage,
      issuer.report(planned.need, new Problem('exchange-refused', 'the registry said no')),
    );

    expect(record()?.status).toMatchObject({ isReady: false, reason: 'exchange-refused' });
  });

  test('that says nothing new is not written', async () => {
    const { stage, issuer, planned } = openIssuer();
    await settled(stage, issuer.issue(planned));
    stage.written();
    const problem = () => new Problem('exchange-refused', 'the registry said no');

    for (let time = 0; time < 5; time++) await settled(stage, issuer.report(planned.need, problem()));
    const written = stage.written();
    await settled(
      stage,
      issuer.report(planned.need, new Problem('exchange-refused', 'the registry says why')),
    );

    expect(written).toEqual(['updateRecordStatus']);
    expect(stage.written()).toEqual(['updateRecordStatus']);
  });

  test('of a need without a record is not written', async () => {
    const { stage, issuer, planned, fake } = openIssuer();

    await settled(stage, issuer.report(planned.need, new Problem('too-many-needs', 'no more')));

    expect(fake.calls).toEqual([]);
  });
});

describe('what has expired', () => {
  async function openExpired() {
    const open = openIssuer();
    await settled(open.stage, open.issuer.issue(open.planned));
    await open.clock.advance(HOUR_MS);
    const record = open.record();
    if (!record) throw new Error('there is no record');
    const uid = open.secret()?.metadata.uid;
    const empty = () => codeOf(open.stage, open.issuer.empty(record, open.planned.need));
    return { ...open, uid, empty };
  }

  test('is emptied in its Secret, so that pulls that need no login work again, and the record says so', async () => {
    const { empty, config, record, secret, uid, clock } = await openExpired();

    await empty();

    expect(config()).toEqual({ auths: {} });
    expect(secret()?.metadata.uid).toBe(uid);
    const status = record()?.status;
    expect(status).toMatchObject({
      isReady: false,
      reason: 'credential-expired',
      expiresAt: 0,
      refreshAt: 0,
      secretUid: uid,
    });
    expect(clock.now() - (status?.changedAt ?? 0)).toBeLessThan(1_100);
  });

  test('in a Secret that is gone needs no emptying', async () => {
    const { empty, record, fake, secretName } = await openExpired();
    fake.deleteSecret(NAMESPACE, secretName);

    const code = await empty();

    expect(code).toBe('none');
    expect(record()?.status).toMatchObject({ isReady: false, expiresAt: 0 });
  });

  test('in a Secret that is another’s by now is left to it', async () => {
    const { empty, record, fake, secret, secretName } = await openExpired();
    fake.deleteSecret(NAMESPACE, secretName);
    fake.addSecret(foreignSecret(NAMESPACE, secretName, { mine: 'eA==' }));
    const before = JSON.stringify(secret());

    const code = await empty();

    expect(code).toBe('none');
    expect(JSON.stringify(secret())).toBe(before);
    expect(record()?.status).toMatchObject({ isReady: false, expiresAt: 0 });
  });
});

test('no token or password is in what the calls, the records and the problems say', async () => {
  const { stage, issuer, planned, fake, config, lines } = openIssuer();

  await settled(stage, issuer.issue(planned));

  const password = config()?.auths[TEST_HOST]?.password ?? 'none';
  expect(password.length).toBeGreaterThan(100);
  expect(JSON.stringify([fake.calls, fake.records(), fake.events(), lines])).not.toContain(password);
});
