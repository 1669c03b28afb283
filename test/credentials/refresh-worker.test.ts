// The worker's loop in virtual hours: what is renewed when, in which order, what is left alone and what is emptied.
import { describe, expect, test } from 'vitest';
import { ruleFrom, TEST_AUDIENCE, TEST_HOST } from '../fakes/builders.ts';
import { INJECT_LABEL } from '../../src/core/vocabulary.ts';
import { Problem } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, type Stage } from './worker-stage.ts';

const MINUTE_MS = 60_000;
const RENEWAL = ['mintToken', 'updateSecret', 'updateRecordStatus'];

/** Issues the first credential of `builder` through a pod that then runs. */
async function openRunning(wish: Parameters<typeof openStage>[0] = {}) {
  const stage = openStage(wish);
  const loop = stage.startLoop();
  stage.addPod('app');
  await stage.clock.advance(1_000);
  stage.runPod('app');
  const { need } = stage.planned('builder');
  const { secretName } = need;
  const { fake } = stage;
  return {
    ...stage,
    stage,
    loop,
    need,
    secretName,
    record: () => fake.record(NAMESPACE, secretName),
    secretUid: () => fake.secret(NAMESPACE, secretName)?.metadata.uid,
    hosts: () => Object.keys(fake.dockerConfig(NAMESPACE, secretName)?.auths ?? {}),
    /** Exchanges since the last time. */
    exchanges: () => stage.asked.splice(0).length,
  };
}

/** The accounts for which something was done, in the order in which it was begun. */
function begun({ fake }: Stage): string[] {
  return [...new Set(fake.calls.flatMap(({ details }) => details.account ?? []))];
}

/** One credential each, for accounts that are made for it; without pods, as if those had come and gone. */
async function issueFor(stage: Stage, accounts: readonly string[]): Promise<void> {
  for (const account of accounts) {
    stage.fake.addAccount(NAMESPACE, account);
    stage.addPod(account, { serviceAccount: account });
  }
  await stage.clock.advance(1_500);
  for (const account of accounts) stage.fake.deletePod(NAMESPACE, account);
}

describe('a credential is renewed', () => {
  test.each([
    ['an hour', 5, 3_600, 0.6, 0.7],
    ['12 hours', 1, 43_200, 0.6, 0.7],
    ['10 minutes', 5, 600, 0.45, 0.5],
  ])(
    'in the course of %s of life at its time, with one PUT, one status write and no event',
    async (_title, renewals, seconds, least, most) => {
      const stage = openStage();
      stage.registry = lasting(seconds);
      stage.startLoop();
      stage.addPod('app');
      await stage.clock.advance(1_000);
      stage.runPod('app');
      const uid = stage.fake.secrets()[0]?.metadata.uid;
      const told = stage.told();
      stage.written();

      for (let renewal = 0; renewal < renewals; renewal++) {
        stage.clock.chance = renewal / renewals;
        const before = stage.asked.length;
        while (stage.asked.length === before) await stage.clock.advance(10_000);
      }

      const shares = stage.asked
        .slice(1)
        .map(({ at }, renewal) => (at - (stage.asked[renewal]?.at ?? 0)) / seconds / 1000);
      expect(shares).toHaveLength(renewals);
      for (const share of shares) {
        expect(share).toBeGreaterThanOrEqual(least - 0.01);
        expect(share).toBeLessThanOrEqual(most + 0.01);
      }
      expect(stage.written()).toEqual(Array.from({ length: renewals }, () => RENEWAL).flat());
      expect(stage.fake.secrets()[0]?.metadata.uid).toBe(uid);
      expect(stage.told()).toEqual(told);
    },
  );

  test('in place when its rule has changed: same Secret, one exchange', async () => {
    const { stage, clock, exchanges, record, secretUid } = await openRunning();
    const uid = secretUid();
    const digest = record()?.status?.digest;
    exchanges();

    stage.settings.rules = [ruleFrom({ token: { expirationSeconds: 1_200 } })];
    await clock.advance(5 * MINUTE_MS);

    expect(exchanges()).toBe(1);
    expect(secretUid()).toBe(uid);
    expect(record()?.status?.digest).not.toBe(digest);
  });

  test('at once when it was made by a clock that was ahead: its end is as wrong as that', async () => {
    const stage = openStage();
    stage.clock.turn(24 * HOUR_MS);
    stage.startLoop();
    stage.addPod('app');
    await stage.clock.advance(1_000);
    stage.runPod('app');

    stage.clock.turn(-24 * HOUR_MS);
    await stage.clock.advance(5_000);
    const [status] = stage.fake.records().map((record) => record.status);
    await stage.clock.advance(MINUTE_MS);

    expect(stage.asked).toHaveLength(2);
    expect(status?.issuedAt).toBeLessThanOrEqual(stage.clock.now());
  });

  test('under a name that its account writes down when the account becomes another principal', async () => {
    const host = '999999999999.dkr.ecr.eu-central-1.amazonaws.com';
    const rule = ruleFrom({
      hosts: [host],
      exchange: { kind: 'ecr' },
      parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
      secretName: 'annotation',
    });
    const stage = openStage({ rules: [rule] });
    const become = (role: string) =>
      stage.fake.annotateAccount(NAMESPACE, 'builder', {
        'imagepullsecrets.preferred.jp/registry': host,
        'imagepullsecrets.preferred.jp/secret-name': 'registry-login',
        'imagepullsecrets.preferred.jp/aws-role-arn': `arn:aws:iam::999999999999:role/${role}`,
      });
    become('shop');
    stage.startLoop().startCare();
    const image = `${host}/app:1`;
    stage.addPod('app', { images: [image], imagePullSecrets: ['registry-login'] });
    await stage.clock.advance(MINUTE_MS);
    const [before] = stage.fake.records();

    become('shop-web');
    stage.addPod('next', { images: [image], imagePullSecrets: ['registry-login'] });
    await stage.clock.advance(20_000);

    expect(before?.status?.isReady).toBe(true);
    expect(stage.fake.records()).toMatchObject([
      { principal: 'arn:aws:iam::999999999999:role/shop-web', status: { isReady: true } },
    ]);
    expect(stage.fake.gatedPods()).toEqual([]);
    expect(stage.told()).not.toContain('PodReleasedLate');
  });

  test('not because a worker took over: records say what is due', async () => {
    const stage = openStage();
    const one = stage.startLoop('one');
    const accounts = Array.from({ length: 20 }, (_, at) => `account-${at}`);
    await issueFor(stage, accounts);
    await one.stop();
    one.cluster.kill();
    stage.written();

    stage.startLoop('two');
    await stage.clock.advance(30 * MINUTE_MS);
    const early = stage.written();
    await stage.clock.advance(10 * MINUTE_MS);

    expect(early).toEqual([]);
    expect(stage.written()).toHaveLength(20 * RENEWAL.length);
  });

  test('once after a machine was suspended for 8 hours, and none is emptied or told to have expired', async () => {
    const stage = openStage();
    stage.startLoop();
    const accounts = Array.from({ length: 20 }, (_, at) => `account-${at}`);
    await issueFor(stage, accounts);
    const told = stage.told();
    stage.written();

    stage.clock.turn(8 * HOUR_MS);
    await stage.clock.advance(20 * MINUTE_MS);

    expect(stage.asked).toHaveLength(40);
    expect(stage.written().toSorted()).toEqual(accounts.flatMap(() => RENEWAL).toSorted());
    expect(stage.told()).toEqual(told);
  });

  test('also when its rule has moved to the nodes: pods that name the Secret go on pulling with it', async () => {
    const { stage, clock, exchanges, record, secretUid, hosts, told } = await openRunning();
    const uid = secretUid();
    exchanges();

    stage.settings.rules = [ruleFrom({ delivery: ['kubelet'] })];
    await clock.advance(12 * HOUR_MS);

    expect(exchanges()).toBeGreaterThan(10);
    expect(record()?.status).toMatchObject({ isReady: true, reason: 'issued' });
    expect([secretUid(), hosts()]).toEqual([uid, [TEST_HOST]]);
    expect(told()).not.toContain('CredentialExpired');
  });

  test('also while its namespace is being drained', async () => {
    const { fake, clock, exchanges } = await openRunning();
    fake.labelNamespace(NAMESPACE, { [INJECT_LABEL]: 'draining' });
    exchanges();

    await clock.advance(45 * MINUTE_MS);

    expect(exchanges()).toBe(1);
  });

  test('though each attempt but the last before its end fails', async () => {
    const { stage, clock, record, hosts, told } = await openRunning();
    const { expiresAt = 0 } = record()?.status ?? {};
    stage.registry = refusing('exchange-unreachable');
    await clock.advance(expiresAt - clock.now() - 3 * MINUTE_MS);
    const meanwhile = { ready: record()?.status?.isReady, hosts: hosts() };
    stage.registry = lasting(3_600);

    await clock.advance(MINUTE_MS);

    expect(meanwhile).toEqual({ ready: true, hosts: [TEST_HOST] });
    expect(record()?.status).toMatchObject({ isReady: true, reason: 'issued' });
    expect(record()?.status?.expiresAt).toBeGreaterThan(expiresAt);
    expect(told()).not.toContain('CredentialExpired');
  });
});

describe('order', () => {
  test('waiting pods come first, then the nearest expiry, and at most 16 are under way', async () => {
    const stage = openStage();
    const loop = stage.startLoop();
    const names = Array.from({ length: 20 }, (_, at) => `old-${String(at).padStart(2, '0')}`);
    for (const [at, name] of names.entries()) {
      stage.registry = lasting(3_600 - 60 * at);
      await issueFor(stage, [name]);
    }
    loop.setLeading(false);
    // Long enough that many have expired meanwhile.
    await stage.clock.advance(52 * MINUTE_MS);
    const waiting = ['new-0', 'new-1', 'new-2'];
    for (const name of waiting) {
      stage.fake.addAccount(NAMESPACE, name);
      stage.addPod(name, { serviceAccount: name });
    }
    let underWay = 0;
    let most = 0;
    stage.registry = async (call, input) => {
      most = Math.max(most, ++underWay);
      await stage.clock.sleep(2_000);
      underWay--;
      return lasting(3_600)(call, input);
    };
    stage.fake.calls.length = 0;

    loop.setLeading(true);
    await stage.clock.advance(MINUTE_MS);

    expect(begun(stage)).toEqual([...waiting, ...names.toReversed()]);
    expect(most).toBe(16);
  });

  test('a pod that needs nobody outside waits for none that hangs, also in a namespace where many do', async () => {
    const far = ['one', 'two'].map((name) =>
      ruleFrom({
        name,
        hosts: [`${name}.team.example`],
        exchange: { kind: 'token-exchange', endpoint: `https://tokens-${name}.team.example/token` },
      }),
    );
    const stage = openStage({ rules: [ruleFrom(), ...far] });
    stage.registry = (call, input) =>
      input.planned.rule.name === 'team-registry'
        ? lasting(3_600)(call, input)
        : new Promise(() => undefined);
    stage.startLoop();
    for (let at = 0; at < 20; at++) {
      stage.fake.addAccount(NAMESPACE, `far-${at}`);
      const images = ['one.team.example/app:1', 'two.team.example/app:1'];
      stage.addPod(`far-${at}`, { serviceAccount: `far-${at}`, images });
    }
    await stage.clock.advance(10_000);
    const hanging = stage.asked.length;

    stage.addPod('app');
    await stage.clock.advance(2_000);

    expect(hanging).toBeGreaterThanOrEqual(16);
    expect(stage.fake.gatedPods()).not.toContain(`${NAMESPACE}/app`);
  });

  test('a pod that comes while renewals are queued is served before them', async () => {
    const stage = openStage();
    const loop = stage.startLoop();
    await issueFor(
      stage,
      Array.from({ length: 40 }, (_, at) => `old-${at}`),
    );
    loop.setLeading(false);
    await stage.clock.advance(45 * MINUTE_MS);
    stage.registry = async (call, input) => {
      await stage.clock.sleep(2_000);
      return lasting(3_600)(call, input);
    };
    stage.fake.calls.length = 0;
    loop.setLeading(true);
    await stage.clock.advance(1_500);

    stage.addPod('app');
    await stage.clock.advance(MINUTE_MS);

    expect(begun(stage).indexOf('builder')).toBe(16);
  });
});

describe('nothing is issued', () => {
  test('before all watches have listed', async () => {
    const stage = openStage();
    stage.addPod('app');
    const late = stage.fake.client('worker', { synced: false });
    stage.startLoop('worker');
    await stage.clock.advance(10_000);
    const before = stage.written();

    late.sync();
    await stage.clock.advance(2_000);

    expect(before).toEqual([]);
    expect(stage.fake.gatedPods()).toEqual([]);
  });

  test('while the records are not known, though the pods are', async () => {
    const stage = openStage();
    const { view } = stage.fake.client();
    Object.assign(view, { unsynced: () => ['pullcredentials'] });
    stage.startLoop();
    stage.addPod('app');

    await stage.clock.advance(10_000);

    expect(stage.written()).toEqual([]);
    expect(stage.fake.gatedPods()).toHaveLength(1);
  });

  test('in a namespace that is not opted in any more, nor is anything emptied there', async () => {
    const { stage, fake, clock, hosts } = await openRunning();
    fake.labelNamespace(NAMESPACE, {});
    stage.written();

    await clock.advance(3 * HOUR_MS);

    expect(stage.written()).toEqual([]);
    expect(hosts()).toEqual([TEST_HOST]);
  });

  test('in a namespace that is going away', async () => {
    const { stage, fake, clock } = await openRunning();
    fake.terminateNamespace(NAMESPACE);
    stage.written();

    await clock.advance(45 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });

  test('for an account that is gone', async () => {
    const { stage, fake, clock, secretName } = await openRunning();
    fake.orphanRecord(NAMESPACE, secretName);
    fake.deleteAccount(NAMESPACE, 'builder');
    await clock.advance(1_000);
    stage.written();

    await clock.advance(45 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });

  test('for the last life of an account, whose record somebody orphaned', async () => {
    const { stage, fake, clock, secretName } = await openRunning();
    fake.orphanRecord(NAMESPACE, secretName);
    fake.recreateAccount(NAMESPACE, 'builder');
    await clock.advance(1_000);
    stage.written();

    await clock.advance(45 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });

  test('by who does not lead', async () => {
    const { stage, loop, clock } = await openRunning();
    loop.setLeading(false);
    stage.written();

    await clock.advance(3 * HOUR_MS);

    expect(stage.written()).toEqual([]);
  });
});

describe('a credential that no rule asks for any more', () => {
  const other = ruleFrom({ name: 'other', hosts: ['other.team.example'], audience: 'https://other' });
  const changes = [
    ['its rule is gone', [other]],
    ['its rule speaks of its host no more', [ruleFrom({ hosts: ['new.team.example'] })]],
    ['its rule is for other accounts now', [ruleFrom({ subjects: [{ serviceAccounts: ['deployer'] }] })]],
  ] as const;

  test.each(changes)(
    'because %s lives out its time, and is then emptied and told of once',
    async (_title, rules) => {
      const { stage, clock, exchanges, hosts, record, told, fake } = await openRunning();
      exchanges();
      stage.settings.rules = [...rules];
      await clock.advance(59 * MINUTE_MS);
      const inTime = { hosts: hosts(), ready: record()?.status?.isReady };

      await clock.advance(2 * HOUR_MS);

      expect(exchanges()).toBe(0);
      expect(inTime).toEqual({ hosts: [TEST_HOST], ready: true });
      expect(hosts()).toEqual([]);
      expect(record()?.status).toMatchObject({ isReady: false, reason: 'credential-expired' });
      expect(told().filter((reason) => reason === 'CredentialExpired')).toHaveLength(1);
      expect(fake.events().at(-1)?.note).toMatch(
        /^the credential for \S+ has expired: Secret \S+ is empty now$/,
      );
    },
  );
});

describe('a record that somebody deleted', () => {
  test('while a running pod names its Secret is made again, not earlier than 10 s after the last issue', async () => {
    const { stage, fake, clock, exchanges, secretName, record, hosts } = await openRunning();
    exchanges();
    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(8_000);
    const early = exchanges();

    await clock.advance(2_500);

    expect(early).toBe(0);
    expect(exchanges()).toBe(1);
    expect(record()?.status?.isReady).toBe(true);
    expect(hosts()).toEqual([TEST_HOST]);
    expect(stage.asked).toEqual([]);
  });

  test('long after the issue is made again within two seconds', async () => {
    const { fake, clock, exchanges, secretName } = await openRunning();
    await clock.advance(5 * MINUTE_MS);
    exchanges();

    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(2_000);

    expect(exchanges()).toBe(1);
  });

  test.each(['Running', 'Pending'] as const)(
    'again and again does not make us mint without end, with a pod that is %s',
    async (phase) => {
      const { fake, clock, exchanges, secretName, stage } = await openRunning();
      fake.changePod(NAMESPACE, 'app', (pod) => ({ ...pod, status: { phase } }));
      exchanges();
      stage.written();

      for (let second = 0; second < 60; second++) {
        fake.deleteRecord(NAMESPACE, secretName);
        await clock.advance(1_000);
      }

      expect(exchanges()).toBeLessThanOrEqual(7);
    },
  );

  test('without a pod that names its Secret is not made again', async () => {
    const { fake, clock, exchanges, secretName, record } = await openRunning();
    fake.deletePod(NAMESPACE, 'app');
    exchanges();

    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(HOUR_MS);

    expect(exchanges()).toBe(0);
    expect(record()).toBeUndefined();
  });

  test('while it is being renewed is made again', async () => {
    const { stage, fake, clock, secretName, record, hosts } = await openRunning();
    await clock.advance(30 * MINUTE_MS);
    stage.registry = async (call, input) => {
      stage.registry = lasting(3_600);
      fake.deleteRecord(NAMESPACE, secretName);
      await clock.sleep(5_000);
      return stage.registry(call, input);
    };

    await clock.advance(15 * MINUTE_MS);

    expect(record()?.status?.isReady).toBe(true);
    expect(hosts()).toEqual([TEST_HOST]);
  });

  test('while 16 others are under way is made again', async () => {
    const { stage, fake, clock, secretName, record } = await openRunning();
    await clock.advance(MINUTE_MS);
    stage.registry = async (call, input) => {
      await clock.sleep(5_000);
      return lasting(3_600)(call, input);
    };
    for (let at = 0; at < 16; at++) {
      fake.addAccount(NAMESPACE, `busy-${at}`);
      stage.addPod(`busy-${at}`, { serviceAccount: `busy-${at}` });
    }
    await clock.advance(1_000);

    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(MINUTE_MS);

    expect(record()?.status?.isReady).toBe(true);
  });

  test('is made again though the first attempts fail', async () => {
    const { stage, fake, clock, secretName, record } = await openRunning();
    await clock.advance(MINUTE_MS);
    fake.beforeCall = ({ verb }) => {
      if (verb === 'createRecord') throw new Problem('cluster-unreachable', 'down');
    };
    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(10_000);

    fake.beforeCall = undefined;
    await clock.advance(MINUTE_MS);

    expect(record()?.status?.isReady).toBe(true);
    expect(stage.fake.secrets()).toHaveLength(1);
  });

  test('is made again by the worker that takes over, if the one that led died over it', async () => {
    const { stage, fake, clock, loop, secretName, record } = await openRunning();
    const two = stage.startLoop('two');
    two.setLeading(false);
    await clock.advance(MINUTE_MS);
    loop.cluster.kill();
    fake.deleteRecord(NAMESPACE, secretName);
    await clock.advance(6_000);

    two.setLeading(true);
    await clock.advance(2_000);

    expect(record()?.status?.isReady).toBe(true);
  });

  test('because its failure was mended is tried again in seconds, not when the back-off ends', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.registry = refusing('exchange-refused');
    stage.addPod('app');
    await stage.clock.advance(HOUR_MS);
    stage.registry = lasting(3_600);

    const [record] = stage.fake.records();
    stage.fake.deleteRecord(NAMESPACE, record?.name ?? '');
    await stage.clock.advance(12_000);

    expect(stage.fake.records()[0]?.status?.isReady).toBe(true);
  });

  test('is tried again when its account changes, but not for every change', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.registry = refusing('exchange-refused');
    stage.addPod('app');
    await stage.clock.advance(MINUTE_MS);
    stage.asked.length = 0;

    for (let change = 0; change < 50; change++) {
      stage.fake.annotateAccount(NAMESPACE, 'builder', { note: `${change}` });
      await stage.clock.advance(1_000);
    }
    const whileRefused = stage.asked.length;
    stage.registry = lasting(3_600);
    stage.fake.annotateAccount(NAMESPACE, 'builder', { note: 'mended' });
    await stage.clock.advance(12_000);

    expect(whileRefused).toBeGreaterThanOrEqual(3);
    expect(whileRefused).toBeLessThanOrEqual(6);
    expect(stage.fake.records()[0]?.status?.isReady).toBe(true);
  });
});

describe('before any pod asks', () => {
  const rules = [ruleFrom({ prewarm: true })];
  const wish = { 'keyless-pull.dev/prewarm': 'true' };

  test('an account that is annotated for a rule that prewarms has its credential, and others have none', async () => {
    const stage = openStage({ rules });
    stage.fake.addAccount(NAMESPACE, 'idle');
    stage.startLoop();
    stage.fake.annotateAccount(NAMESPACE, 'builder', wish);

    await stage.clock.advance(3_000);

    const ready = stage.fake.records().filter(({ status }) => status?.isReady);
    expect(ready.map(({ account }) => account)).toEqual(['builder']);
  });

  test.for([
    ['is not opted in', { [INJECT_LABEL]: 'off' }],
    ['is being drained', { [INJECT_LABEL]: 'draining' }],
  ] as const)('nothing is made in a namespace that %s', async ([, labels]) => {
    const stage = openStage({ rules });
    stage.fake.addNamespace('elsewhere', { labels });
    stage.fake.addAccount('elsewhere', 'builder', { annotations: wish });
    stage.startLoop();

    await stage.clock.advance(5_000);

    expect(stage.fake.records()).toEqual([]);
  });
});

describe('what has expired', () => {
  test('because the registry refuses is emptied at its end, told of once, and filled again in the same Secret', async () => {
    const { stage, clock, record, hosts, secretUid, told, fake } = await openRunning();
    const uid = secretUid();
    stage.registry = refusing('exchange-refused');
    await clock.advance(58 * MINUTE_MS);
    const inTime = hosts();
    await clock.advance(2 * MINUTE_MS);
    const after = { hosts: hosts(), ready: record()?.status?.isReady };
    const expired = fake.events().filter(({ reason }) => reason === 'CredentialExpired');
    stage.registry = lasting(3_600);

    await clock.advance(11 * MINUTE_MS);

    expect(inTime).toEqual([TEST_HOST]);
    expect(after).toEqual({ hosts: [], ready: false });
    expect(expired).toHaveLength(1);
    expect(expired[0]?.note).toContain('(exchange-refused)');
    expect(hosts()).toEqual([TEST_HOST]);
    expect(secretUid()).toBe(uid);
    expect(told().filter((reason) => reason === 'CredentialRecovered')).toHaveLength(1);
  });

  test('is not emptied while a renewal of it is being written', async () => {
    const { stage, clock, hosts, record, fake } = await openRunning();
    const { expiresAt = 0 } = record()?.status ?? {};
    stage.registry = refusing('exchange-unreachable');
    await clock.advance(expiresAt - clock.now() - MINUTE_MS);
    stage.registry = lasting(3_600);
    fake.beforeCall = ({ verb, details }) =>
      verb === 'updateRecordStatus' && details.reason === 'issued'
        ? clock.sleep(25_000).then(() => undefined)
        : undefined;
    let filledAt = 0;
    while (hosts().length > 0 && clock.now() < expiresAt + MINUTE_MS) {
      await clock.advance(1_000);
      filledAt ||= record()?.status?.reason === 'issued' ? clock.now() : 0;
    }

    expect(hosts()).toEqual([TEST_HOST]);
    expect(record()?.status?.isReady).toBe(true);
    expect(stage.told()).not.toContain('CredentialExpired');
  });

  test('and cannot be emptied is left alone for 10 s between attempts', async () => {
    const { stage, clock, fake } = await openRunning();
    stage.settings.rules = [ruleFrom({ hosts: ['new.team.example'] })];
    await clock.advance(59 * MINUTE_MS);
    fake.beforeCall = ({ verb }) => {
      if (verb === 'updateSecret') throw new Problem('cluster-refused', 'a right is missing');
    };
    stage.written();

    await clock.advance(5 * MINUTE_MS);

    const attempts = stage.written(['updateSecret']).length;
    expect(attempts).toBeGreaterThan(10);
    expect(attempts).toBeLessThanOrEqual(30);
  });

  test('in a Secret that somebody deleted is done with after one look', async () => {
    const { stage, clock, fake, secretName, record } = await openRunning();
    stage.settings.rules = [ruleFrom({ hosts: ['new.team.example'] })];
    fake.deleteSecret(NAMESPACE, secretName);
    await clock.advance(59 * MINUTE_MS);
    stage.written();

    await clock.advance(10 * MINUTE_MS);

    expect(stage.written()).toEqual(['updateSecret', 'updateRecordStatus']);
    expect(record()?.status).toMatchObject({ isReady: false, reason: 'credential-expired' });
  });
});

describe('the loop', () => {
  test('sleeps a second at most, so that a suspended machine is back at work a second after it wakes', async () => {
    const stage = openStage();
    let longest = 0;
    const watched = {
      ...stage.clock,
      sleep: (ms: number, signal?: AbortSignal) => {
        longest = Math.max(longest, ms);
        return stage.clock.sleep(ms, signal);
      },
    };
    stage.startLoop('worker', watched);
    stage.addPod('app');

    await stage.clock.advance(2 * HOUR_MS);

    expect(longest).toBe(1_000);
  });

  test('writes nothing when nothing has changed, however long the registry refuses', async () => {
    const { stage, clock } = await openRunning();
    await clock.advance(30 * MINUTE_MS);
    stage.registry = refusing('exchange-refused');
    stage.written();

    await clock.advance(25 * MINUTE_MS);

    expect(stage.written(['updateSecret', 'updateRecordStatus'])).toEqual(['updateRecordStatus']);
  });

  test('meets a bug in one need with 10 s of rest and an error in the log, and serves the others', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.fake.addAccount(NAMESPACE, 'unlucky');
    stage.registry = async (call, input) => {
      if (input.planned.need.identity.account === 'unlucky') throw new TypeError('x is not a function');
      return lasting(3_600)(call, input);
    };
    stage.addPod('unlucky', { serviceAccount: 'unlucky' });
    stage.addPod('app');

    await stage.clock.advance(MINUTE_MS);

    const attempts = stage.asked.filter(({ account }) => account === 'unlucky').length;
    const errors = stage.lines.filter(({ level }) => level === 'error');
    expect(attempts).toBeGreaterThanOrEqual(5);
    expect(attempts).toBeLessThanOrEqual(6);
    expect(errors).toHaveLength(attempts);
    expect(stage.fake.gatedPods()).toEqual([]);
    expect(stage.told()).toEqual(
      expect.arrayContaining(['CredentialIssued', 'PodReleased', 'PodReleasedLate']),
    );
  });

  test('rests after a bug for 10 s also when the clock is turned back meanwhile', async () => {
    const stage = openStage();
    stage.startLoop();
    stage.registry = async () => {
      throw new TypeError('x is not a function');
    };
    stage.addPod('app');
    await stage.clock.advance(1_000);

    stage.clock.turn(-24 * HOUR_MS);
    await stage.clock.advance(12_000);

    expect(stage.asked).toHaveLength(2);
  });

  test('does not mint in a circle where credentials are dead on arrival', async () => {
    const stage = openStage();
    stage.registry = lasting(60);
    stage.startLoop();
    stage.addPod('app');

    await stage.clock.advance(10 * MINUTE_MS);

    expect(stage.asked.length).toBeLessThanOrEqual(7);
    expect(stage.fake.records()[0]?.status?.reason).toBe('credential-already-expired');
  });

  test('ends when all that is under way has ended, and begins nothing new meanwhile', async () => {
    const stage = openStage();
    stage.registry = async (call, input) => {
      await stage.clock.sleep(8_000);
      return lasting(3_600)(call, input);
    };
    const loop = stage.startLoop();
    stage.addPod('app');
    await stage.clock.advance(1_000);
    let isOver = false;

    const stopping = loop.stop().then(() => (isOver = true));
    stage.fake.addAccount(NAMESPACE, 'later');
    stage.addPod('later', { serviceAccount: 'later' });
    await stage.clock.advance(5_000);
    const early = isOver;
    await stage.clock.advance(5_000);
    await stopping;

    expect(early).toBe(false);
    expect(stage.asked.map(({ account }) => account)).toEqual(['builder']);
    expect(stage.fake.records()[0]?.status?.isReady).toBe(true);
  });
});

test('24 hours with 200 credentials of mixed lives: none expires, none is renewed before its time', async () => {
  const lives = [600, 3_600, 43_200];
  const rules = lives.map((seconds) =>
    ruleFrom({
      name: `life-${seconds}`,
      hosts: [`life-${seconds}.team.example`],
      audience: `${TEST_AUDIENCE}/${seconds}`,
    }),
  );
  const stage = openStage({ rules });
  const { clock, fake } = stage;
  for (const { audience } of rules) fake.audiences.add(audience);
  let seed = 1;
  const chancy = {
    ...clock,
    random: () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
  };
  let due = 0;
  let expired = 0;
  const inner = new Map(lives.map((seconds) => [`life-${seconds}.team.example`, lasting(seconds)]));
  stage.registry = (call, input) => {
    const { need } = input.planned;
    const status = fake.record(NAMESPACE, need.secretName)?.status;
    if (!status || clock.now() >= status.refreshAt) due++;
    if (status && clock.now() >= status.expiresAt) expired++;
    const exchange = inner.get(need.host);
    if (!exchange) throw new Error('there is no such registry');
    return exchange(call, input);
  };
  let loop = stage.startLoop('worker-0', chancy);
  for (let at = 0; at < 200; at++) {
    // A tenth of them lives 10 minutes, the rest an hour or 12.
    const host = rules[at % 10 === 0 ? 0 : 1 + (at % 2)]?.hosts[0] ?? '';
    fake.addAccount(NAMESPACE, `account-${at}`);
    stage.addPod(`app-${at}`, { serviceAccount: `account-${at}`, images: [`${host}/app:1`] });
  }
  await clock.advance(10_000);
  for (let at = 0; at < 200; at++) stage.runPod(`app-${at}`);
  const cold = stage.asked.length;
  stage.written();

  for (let hour = 0; hour < 24; hour++) {
    // A deployment a day: the next worker knows nothing but the records.
    if (hour === 12) {
      await loop.stop();
      loop.cluster.kill();
      loop = stage.startLoop('worker-1', chancy);
    }
    await clock.advance(HOUR_MS);
  }

  const usable = fake.records().filter(({ status }) => status?.isReady && status.expiresAt > clock.now());
  const renewals = stage.asked.length - cold;
  const written = stage.written();
  const count = (verb: string) => written.filter((one) => one === verb).length;
  console.log(`24 h, 200 credentials: ${renewals} renewals, ${stage.asked.length} exchanges for ${due} due`);
  expect(cold).toBe(200);
  expect(expired).toBe(0);
  expect(usable).toHaveLength(200);
  expect(stage.asked.length / due).toBeLessThanOrEqual(1.02);
  expect([count('updateSecret'), count('updateRecordStatus')]).toEqual([renewals, renewals]);
  expect(stage.told()).not.toContain('CredentialExpired');
});
