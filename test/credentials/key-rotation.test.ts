// The API server's signing key changes under the worker: tokens that stay the password are minted anew when their key is
// gone, once, spread and in place; nothing else is touched, whatever the published key set says.
import { describe, expect, test } from 'vitest';
import { ruleFrom, TEST_AUDIENCE, TEST_HOST } from '../fakes/builders.ts';
import { Problem, type ProblemCode } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, type Stage } from './worker-stage.ts';

const MINUTE_MS = 60_000;
/** The longest time between two looks at the keys, and a look of the worker. */
const LOOKED_MS = 150_000 + 2_000;
const RENEWAL = ['mintToken', 'updateSecret', 'updateRecordStatus'];
const QUAY_HOST = 'quay.team.example';

const quay = () =>
  ruleFrom({
    name: 'quay',
    hosts: [QUAY_HOST],
    audience: 'https://quay.team.example',
    exchange: { kind: 'quay' },
    parameters: { robot: { from: 'rule', value: 'shop+puller' } },
  });

const tokenRealm = () => ruleFrom({ exchange: { kind: 'token-realm' } });

/** Accounts with a pod each that has pulled and runs. */
async function openRunning(count: number, wish: Parameters<typeof openStage>[0] = {}) {
  const stage = openStage(wish);
  stage.fake.audiences.add('https://quay.team.example');
  const loop = stage.startLoop();
  loop.startCare();
  const images = stage.settings.rules.map(({ hosts: [host = ''] }) => `${host}/team/app:1`);
  const hosts = images.map((image) => image.split('/')[0] ?? '');
  for (let at = 0; at < count; at++) {
    stage.fake.addAccount(NAMESPACE, `account-${at}`);
    stage.addPod(`app-${at}`, { serviceAccount: `account-${at}`, images });
  }
  await stage.clock.advance(1_000 + count * hosts.length * 100);
  for (let at = 0; at < count; at++) stage.runPod(`app-${at}`);
  // The first look at the keys is over.
  await stage.clock.advance(MINUTE_MS);
  stage.written();
  const { fake } = stage;
  const secrets = () => new Map(fake.secrets().map(({ metadata }) => [metadata.name, metadata.uid]));
  const keyIds = () => new Set(fake.records().map(({ status }) => status?.tokenKeyId));
  return { stage, loop, fake, clock: stage.clock, secrets, keyIds };
}

function warnings({ lines }: Stage): string[] {
  return lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
}

/** How often a token was minted, by record. */
function mints({ fake }: Stage): Map<string, number> {
  const names = fake.calls
    .filter(({ verb }) => verb === 'mintToken')
    .map(({ details }) => details.name ?? '');
  return new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

describe('a signing key', () => {
  test('that gets a successor beside it changes nothing', async () => {
    const { stage, fake, clock } = await openRunning(5);

    fake.tokens.rotateKey();
    await clock.advance(30 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });

  test('that is gone has every token that is a password minted anew: once, spread, in the same Secret', async () => {
    const { stage, fake, clock, secrets, keyIds } = await openRunning(60);
    const before = secrets();
    const told = stage.told();

    fake.tokens.rotateKey();
    await clock.advance(10 * MINUTE_MS);
    fake.tokens.retireKeys();
    await clock.advance(LOOKED_MS + 10_000);

    const minted = fake.calls.filter(({ verb }) => verb === 'mintToken').map(({ at }) => at);
    const busiest = minted.map((from) => minted.filter((at) => at >= from && at < from + 1_000).length);
    expect(Math.max(...busiest)).toBeLessThanOrEqual(stage.settings.ratePerEndpoint);
    expect(new Set(mints(stage).values())).toEqual(new Set([1]));
    expect(stage.written()).toEqual(Array.from({ length: 60 }, () => RENEWAL).flat());
    expect(keyIds()).toEqual(new Set([fake.tokens.keyId]));
    expect(secrets()).toEqual(before);
    expect(stage.told()).toEqual(told);
    for (const name of before.keys())
      expect(await fake.loginClaims(NAMESPACE, name, TEST_HOST, TEST_AUDIENCE)).toBeDefined();

    await clock.advance(15 * MINUTE_MS);
    expect(stage.written()).toEqual([]);
  });

  test('that is gone leaves alone what was exchanged for a token', async () => {
    const { stage, fake, clock, keyIds } = await openRunning(3, { rules: [ruleFrom(), quay()] });

    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    stage.asked.splice(0);
    await clock.advance(LOOKED_MS + 10_000);

    expect(stage.asked.map(({ host }) => host)).toEqual([TEST_HOST, TEST_HOST, TEST_HOST]);
    expect(keyIds().size).toBe(2);
  });

  test('that is gone concerns a token that a realm has tried, too', async () => {
    const { stage, fake, clock, keyIds } = await openRunning(3, { rules: [tokenRealm()] });

    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    await clock.advance(LOOKED_MS + 10_000);

    expect(stage.written()).toHaveLength(3 * RENEWAL.length);
    expect(keyIds()).toEqual(new Set([fake.tokens.keyId]));
  });

  test('that no record names concerns none: those of an earlier version wait for their renewal', async () => {
    const { stage, fake, clock } = await openRunning(3);
    for (const record of fake.store.list('record')) {
      const { tokenKeyID: _later, ...status } = Object(record['status']) as Record<string, unknown>;
      fake.store.write('record', { ...record, status });
    }

    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    await clock.advance(30 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });
});

describe('the published keys', () => {
  test.each<[string, ProblemCode]>([
    ['cannot be reached', 'cluster-unreachable'],
    ['may not be looked at', 'cluster-refused'],
    ['are not there', 'cluster-missing'],
    ['do not come in time', 'deadline'],
  ])('that %s have nothing minted anew until they are seen', async (_title, code) => {
    const { stage, fake, clock, loop } = await openRunning(3);
    fake.beforeCall = ({ verb }) => {
      if (verb === 'findSigningKeys') throw new Problem(code, 'no keys');
    };

    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    await clock.advance(10 * MINUTE_MS);
    const looked = fake.count('findSigningKeys');
    const blind = stage.written();
    fake.beforeCall = undefined;
    await clock.advance(LOOKED_MS);

    expect(looked).toBeGreaterThanOrEqual(4);
    expect(blind).toEqual([]);
    expect(warnings(stage)).toEqual([]);
    expect(stage.written()).toHaveLength(3 * RENEWAL.length);
    await loop.stop();
  });

  test('that are none say nothing', async () => {
    const { stage, fake, clock } = await openRunning(3);

    fake.foreignKeys = [];
    await clock.advance(30 * MINUTE_MS);

    expect(stage.written()).toEqual([]);
  });

  test('of another issuer cost one token and one warning, and are not believed', async () => {
    const { stage, fake, clock } = await openRunning(20);

    fake.foreignKeys = ['key-of-another-issuer'];
    await clock.advance(30 * MINUTE_MS);

    expect(stage.written()).toEqual(RENEWAL);
    expect(warnings(stage)).toHaveLength(1);
  });

  test('of another issuer cost no more in the course of hours', async () => {
    const { stage, fake, clock } = await openRunning(1);
    fake.foreignKeys = ['key-of-another-issuer'];

    await clock.advance(3 * HOUR_MS);

    const renewals = Math.ceil(3 / 0.65);
    expect(mints(stage).get(stage.planned('account-0').need.secretName)).toBeLessThanOrEqual(renewals + 1);
    expect(warnings(stage)).toHaveLength(1);
  });

  test('are believed again once they have the key of a token that was minted', async () => {
    const { stage, fake, clock, keyIds } = await openRunning(5);
    fake.foreignKeys = ['key-of-another-issuer'];
    await clock.advance(5 * MINUTE_MS);

    fake.foreignKeys = undefined;
    await clock.advance(5 * MINUTE_MS);
    stage.written();
    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    await clock.advance(LOOKED_MS + 10_000);

    expect(stage.written()).toHaveLength(5 * RENEWAL.length);
    expect(keyIds()).toEqual(new Set([fake.tokens.keyId]));
  });

  test('that differ from one API server to the next have no record minted anew twice for one key', async () => {
    const { stage, fake, clock } = await openRunning(5);
    const old = fake.tokens.keyIds();
    fake.tokens.rotateKey();
    let looks = 0;
    fake.beforeCall = ({ verb }) => {
      if (verb === 'findSigningKeys') fake.foreignKeys = looks++ % 2 === 0 ? [fake.tokens.keyId] : old;
    };

    await clock.advance(35 * MINUTE_MS);

    expect(looks).toBeGreaterThan(10);
    expect(mints(stage).size).toBe(5);
    expect(Math.max(...mints(stage).values())).toBeLessThanOrEqual(2);
  });

  test('are looked at every two minutes or so, also by who has turned the clock back', async () => {
    const { fake, clock } = await openRunning(1);
    fake.calls.splice(0);

    for (let at = 0; at < 6; at++) {
      clock.chance = at / 6;
      await clock.advance(10 * MINUTE_MS);
    }
    const looked = fake.count('findSigningKeys');
    clock.turn(-8 * HOUR_MS);
    await clock.advance(LOOKED_MS);

    expect(looked).toBeGreaterThanOrEqual(24);
    expect(looked).toBeLessThanOrEqual(40);
    expect(fake.count('findSigningKeys')).toBeGreaterThan(looked);
  });

  test('are looked at by who leads alone, and at once by who leads again', async () => {
    const { fake, clock, loop } = await openRunning(1);
    fake.calls.splice(0);

    loop.setLeading(false);
    await clock.advance(30 * MINUTE_MS);
    const idle = fake.count('findSigningKeys');
    loop.setLeading(true);
    await clock.advance(2_000);

    expect(idle).toBe(0);
    expect(fake.count('findSigningKeys')).toBe(1);
  });
});

describe('a token that cannot be minted anew', () => {
  test('leaves what is there, says why, and is tried ever more seldom until it can be', async () => {
    const { stage, fake, clock, secrets } = await openRunning(1, { rules: [tokenRealm()] });
    const before = secrets();
    const { secretName } = stage.planned('account-0').need;
    const status = () => fake.record(NAMESPACE, secretName)?.status;
    stage.registry = refusing('exchange-refused', 'the realm does not know the new key');

    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    stage.asked.splice(0);
    await clock.advance(20 * MINUTE_MS);
    const asked = stage.asked.length;
    const meanwhile = status();
    stage.registry = lasting(3_600);
    await clock.advance(15 * MINUTE_MS);

    expect(asked).toBeGreaterThanOrEqual(3);
    expect(asked).toBeLessThanOrEqual(6);
    expect(meanwhile).toMatchObject({ isReady: true, reason: 'exchange-refused' });
    expect(status()).toMatchObject({ isReady: true, reason: 'issued', tokenKeyId: fake.tokens.keyId });
    expect(secrets()).toEqual(before);
  });

  test('for an API server that is down keeps nobody busy: one attempt a second at most', async () => {
    const { fake, clock } = await openRunning(30);
    fake.tokens.rotateKey();
    fake.tokens.retireKeys();
    fake.beforeCall = ({ verb }) => {
      if (verb === 'mintToken') throw new Problem('cluster-unreachable', 'the API server cannot be reached');
    };

    await clock.advance(LOOKED_MS + 10_000);
    const inVain = fake.count('mintToken');
    fake.beforeCall = undefined;
    await clock.advance(10 * MINUTE_MS);

    expect(inVain).toBeGreaterThan(0);
    expect(inVain).toBeLessThanOrEqual(90);
    expect(new Set(fake.records().map(({ status }) => status?.tokenKeyId))).toEqual(
      new Set([fake.tokens.keyId]),
    );
  });
});
