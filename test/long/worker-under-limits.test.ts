// The worker where token services are slow, dead or asked by thousands: who waits for whom, and for how long.
import { describe, expect, test } from 'vitest';
import { ruleFrom } from '../fakes/builders.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import type { Exchange } from '../../src/registry/exchange.ts';
import { Problem } from '../../src/problem.ts';
import { HOUR_MS, lasting, NAMESPACE, openStage, refusing, type Stage } from '../credentials/worker-stage.ts';

const MINUTE_MS = 60_000;
const FIRST = 'first.team.example';
const SECOND = 'second.team.example';
const PLAIN = 'plain.team.example';
const rules = [
  ...[FIRST, SECOND].map((host, at) =>
    ruleFrom({ name: `realm-${at}`, hosts: [host], exchange: { kind: 'token-realm' } }),
  ),
  ruleFrom({ name: 'plain', hosts: [PLAIN] }),
];

/** An account of its own and a gated pod that waits for one registry. */
function addWaiting(stage: Stage, namespace: string, name: string, host = FIRST): void {
  const rule = rules.find(({ hosts }) => hosts.includes(host));
  if (!stage.fake.store.get('namespace', '', namespace)) stage.fake.addNamespace(namespace);
  stage.fake.addAccount(namespace, name);
  stage.fake.addPod(namespace, name, {
    serviceAccount: name,
    images: [`${host}/app:1`],
    imagePullSecrets: [secretNameFor(name, rule?.name ?? '', '', host)],
  });
}

function addMany(stage: Stage, count: number, namespace = NAMESPACE, host = FIRST): void {
  for (let nth = 0; nth < count; nth++) addWaiting(stage, namespace, `many-${nth}`, host);
}

/** What that registry answers after so long; others answer at once. */
function slowly(ms: number, hosts: readonly string[], then: Exchange = lasting(3_600)): Exchange {
  return async (call, input) => {
    if (!hosts.includes(input.planned.need.host)) return lasting(3_600)(call, input);
    await call.clock.sleep(ms);
    return then(call, input);
  };
}

/** Exchanges in the busiest second. */
function peakOf(stage: Stage, host = FIRST): number {
  const times = stage.asked.filter((one) => one.host === host).map(({ at }) => at);
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length));
}

/** How long until the first exchange for that account, in milliseconds; Infinity if there is none in time. */
async function timeTo(stage: Stage, account: string, mostMs: number): Promise<number> {
  const from = stage.clock.now();
  const first = () => stage.asked.find((one) => one.account === account)?.at;
  while (first() === undefined && stage.clock.now() - from < mostMs) await stage.clock.advance(100);
  return (first() ?? Infinity) - from;
}

describe('a bucket', () => {
  test('lets its burst and then its rate through, and finishes in as many seconds as it must', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 10, burst: 20 });
    stage.registry = slowly(200, [FIRST]);
    stage.startLoop();
    addMany(stage, 220);
    const from = stage.clock.now();

    await stage.clock.advance(30_000);

    expect(stage.asked).toHaveLength(220);
    expect(stage.fake.gatedPods()).toEqual([]);
    expect(peakOf(stage)).toBeLessThanOrEqual(20 + 10);
    expect((stage.asked.at(-1)?.at ?? Infinity) - from).toBeLessThanOrEqual(22_000);
  });

  test('of one makes no place less for those who need another, or none', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 1, burst: 1 });
    stage.startLoop();
    addMany(stage, 100);
    await stage.clock.advance(5_000);

    addWaiting(stage, NAMESPACE, 'other', SECOND);
    for (let nth = 0; nth < 50; nth++) addWaiting(stage, NAMESPACE, `plain-${nth}`, PLAIN);
    await stage.clock.advance(1_000);

    const others = stage.asked.filter(({ host }) => host !== FIRST);
    expect(others).toHaveLength(51);
  });

  test('gives nothing extra to a machine that was suspended for hours', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 2, burst: 5 });
    stage.startLoop();
    addMany(stage, 100);
    await stage.clock.advance(5_000);
    stage.asked.length = 0;

    stage.clock.turn(8 * HOUR_MS);
    await stage.clock.advance(1_000);

    expect(stage.asked.length).toBeLessThanOrEqual(3);
  });
});

describe('between namespaces', () => {
  const HOSTILE = 10_000;

  test.for([
    ['while its bucket is what there is to share', FIRST, 10],
    ['while the sixteen places are what there is to share', PLAIN, 10],
    ['while neither is scarce for one alone', FIRST, 1_000],
  ] as const)(
    `ten thousand needs of one do not delay the first credential of another by 2 s, %s`,
    async ([, host, ratePerEndpoint]) => {
      const stage = openStage({ rules, ratePerEndpoint });
      stage.registry = slowly(200, [host]);
      stage.startLoop().startCare();
      addMany(stage, HOSTILE, 'hostile', host);
      await stage.clock.advance(8_000);
      const hostileBefore = stage.asked.length;

      addWaiting(stage, 'quiet', 'first', host);
      const delay = await timeTo(stage, 'first', 10_000);
      addWaiting(stage, 'quiet', 'second', host);
      const secondDelay = await timeTo(stage, 'second', 10_000);

      expect(hostileBefore).toBeGreaterThan(100);
      expect(delay).toBeLessThanOrEqual(2_000);
      expect(secondDelay).toBeLessThanOrEqual(2_000);
    },
  );

  test('ten thousand that answer nobody, each a host of its own under a wildcard, do not delay it either', async () => {
    const wildcard = ruleFrom({
      name: 'wildcard',
      hosts: ['*.hostile.example'],
      exchange: { kind: 'token-realm' },
    });
    const stage = openStage({ rules: [...rules, wildcard] });
    stage.registry = async (call, input) => {
      if (!input.planned.need.host.endsWith('.hostile.example')) return lasting(3_600)(call, input);
      await call.clock.sleep(30_000);
      throw new Problem('exchange-unreachable', 'cannot be reached: no answer in 10 s');
    };
    stage.startLoop().startCare();
    stage.fake.addNamespace('hostile');
    for (let nth = 0; nth < HOSTILE; nth++) {
      const [name, host] = [`many-${nth}`, `host-${nth}.hostile.example`];
      stage.fake.addAccount('hostile', name);
      stage.fake.addPod('hostile', name, {
        serviceAccount: name,
        images: [`${host}/app:1`],
        imagePullSecrets: [secretNameFor(name, wildcard.name, '', host)],
      });
    }
    await stage.clock.advance(8_000);
    const hostileBefore = stage.asked.length;

    addWaiting(stage, 'quiet', 'first', FIRST);
    const delay = await timeTo(stage, 'first', 10_000);

    expect(hostileBefore).toBe(16);
    expect(delay).toBeLessThanOrEqual(2_000);
  });

  test('pods that keep coming do not starve what others run on: renewals near their end take turns with them', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 1, burst: 5 });
    stage.startLoop();
    addWaiting(stage, 'quiet', 'running');
    await stage.clock.advance(2_000);
    stage.fake.changePod('quiet', 'running', (pod) => ({ ...pod, status: { phase: 'Running' } }));
    await stage.clock.advance(30 * MINUTE_MS);
    const record = () => stage.fake.records().find(({ account }) => account === 'running');
    const { expiresAt = 0 } = record()?.status ?? {};

    let nth = 0;
    while (stage.clock.now() < expiresAt) {
      while (stage.fake.gatedPods().length < 100) addWaiting(stage, 'hostile', `many-${nth++}`);
      await stage.clock.advance(20_000);
    }

    expect(record()?.status?.expiresAt).toBeGreaterThan(expiresAt);
    expect(stage.told()).not.toContain('CredentialExpired');
  });

  test('renewals take turns too, each namespace by its nearest expiry', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 1, burst: 100 });
    const loop = stage.startLoop();
    for (const [namespace, count] of [
      ['large', 12],
      ['small', 2],
    ] as const) {
      for (let nth = 0; nth < count; nth++) addWaiting(stage, namespace, `${namespace}-${nth}`);
    }
    await stage.clock.advance(5_000);
    for (const name of stage.fake.store.list('pod'))
      stage.fake.deletePod(name.metadata.namespace, name.metadata.name);
    loop.setLeading(false);
    await stage.clock.advance(40 * MINUTE_MS);
    stage.asked.length = 0;
    stage.settings.burst = 1;

    loop.setLeading(true);
    await stage.clock.advance(20_000);

    const places = stage.asked.flatMap(({ account }, place) => (account.startsWith('small') ? [place] : []));
    expect(stage.asked).toHaveLength(14);
    expect(Math.max(...places)).toBeLessThanOrEqual(3);
  });
});

describe('an endpoint that answers nobody', () => {
  /** As `ask` ends: each request at its deadline of 10 s, three tries. */
  const blackHole: Exchange = async ({ clock }) => {
    await clock.sleep(30_000);
    throw new Problem('exchange-unreachable', 'cannot be reached: no answer in 10 s');
  };
  const withHole =
    (hosts: readonly string[]): Exchange =>
    (call, input) =>
      (hosts.includes(input.planned.need.host) ? blackHole : lasting(3_600))(call, input);

  test('delays nobody who needs another, whatever waits for it', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 100, burst: 100 });
    stage.registry = withHole([FIRST]);
    stage.startLoop();
    addMany(stage, 200);
    const delays: number[] = [];

    for (let nth = 0; nth < 40; nth++) {
      await stage.clock.advance(3_000);
      addWaiting(stage, NAMESPACE, `other-${nth}`, nth % 2 === 0 ? SECOND : PLAIN);
      delays.push(await timeTo(stage, `other-${nth}`, 30_000));
    }

    expect(Math.max(...delays)).toBeLessThanOrEqual(200);
  });

  test('and a second one of that kind together delay others by two seconds at most', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 100, burst: 100 });
    stage.registry = withHole([FIRST, SECOND]);
    stage.startLoop();
    addMany(stage, 100, 'one', FIRST);
    addMany(stage, 100, 'two', SECOND);
    await stage.clock.advance(100);

    addWaiting(stage, 'quiet', 'other', PLAIN);

    expect(await timeTo(stage, 'other', 30_000)).toBeLessThanOrEqual(2_100);
  });

  test('is asked by one probe at a time, the others wait unharmed, and the records say so once', async () => {
    const stage = openStage({ rules, ratePerEndpoint: 10, burst: 50, gateSeconds: 3_600 });
    stage.registry = refusing('exchange-unreachable', 'down');
    const loop = stage.startLoop();
    addMany(stage, 40);
    await stage.clock.advance(5_000);
    const atFirst = stage.asked.length;
    stage.fake.calls.length = 0;
    await stage.clock.advance(10 * MINUTE_MS);
    const probes = stage.asked.length - atFirst;
    const reported = stage.fake.calls.filter(({ verb }) => verb === 'updateRecordStatus').length;
    const standing = stage.fake.records().map(({ status }) => status?.reason);
    const waiting = loop.keeper.standingOf(stage.planned('many-39', FIRST).need);

    stage.registry = slowly(200, [FIRST]);
    stage.asked.length = 0;
    await stage.clock.advance(40_000);

    // Those that were under way when it opened, and the first probes.
    expect(atFirst).toBeLessThanOrEqual(20);
    // One each 15 to 30 s, when it has grown.
    expect(probes).toBeLessThanOrEqual(45);
    expect(reported).toBeLessThanOrEqual(40);
    expect(new Set(standing)).toEqual(new Set(['exchange-unreachable']));
    expect(waiting.kind).toBe('pending');
    expect(stage.asked).toHaveLength(40);
    expect(stage.fake.gatedPods()).toEqual([]);
    expect(peakOf(stage)).toBeLessThanOrEqual(60);
  });

  test('for twice the life of its credentials: none is emptied before its end, and all come back within the bucket', async () => {
    const [ratePerEndpoint, burst, count] = [2, 5, 100];
    const stage = openStage({ rules, ratePerEndpoint, burst });
    stage.startLoop().startCare();
    addMany(stage, count);
    await stage.clock.advance(2 * MINUTE_MS);
    for (let nth = 0; nth < count; nth++) stage.runPod(`many-${nth}`);
    const ends = new Map(stage.fake.records().map(({ name, status }) => [name, status?.expiresAt ?? 0]));
    const hostsIn = (name: string) => Object.keys(stage.fake.dockerConfig(NAMESPACE, name)?.auths ?? {});
    stage.registry = refusing('exchange-unreachable', 'down');
    stage.asked.length = 0;
    const tooEarly: string[] = [];
    const tooLate: string[] = [];

    for (let minute = 0; minute < 120; minute++) {
      await stage.clock.advance(MINUTE_MS);
      for (const [name, end] of ends) {
        if (stage.clock.now() < end && hostsIn(name).length === 0) tooEarly.push(name);
        if (stage.clock.now() > end + MINUTE_MS && hostsIn(name).length > 0) tooLate.push(name);
      }
    }
    const whileDown = stage.asked.length;
    const told = stage.fake.events().filter(({ reason }) => reason === 'CredentialExpired');
    stage.registry = lasting(3_600);
    stage.asked.length = 0;
    const from = stage.clock.now();
    await stage.clock.advance(3 * MINUTE_MS);

    expect([tooEarly, tooLate]).toEqual([[], []]);
    expect(whileDown).toBeLessThanOrEqual(400);
    expect(told).toHaveLength(count);
    expect(new Set(told.map(({ note }) => /\(([a-z-]+)\)/.exec(note)?.[1]))).toEqual(
      new Set(['exchange-unreachable']),
    );
    expect(stage.asked).toHaveLength(count);
    expect(peakOf(stage)).toBeLessThanOrEqual(burst + ratePerEndpoint);
    // A probe's wait, and then as many seconds as the bucket asks for.
    expect((stage.asked.at(-1)?.at ?? Infinity) - from).toBeLessThanOrEqual(
      30_000 + (count / ratePerEndpoint) * 1_100,
    );
    for (const name of ends.keys()) expect(hostsIn(name)).toEqual([FIRST]);
  });
});
