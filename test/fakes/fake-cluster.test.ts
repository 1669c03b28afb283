// The fake cluster keeps the contract, and does what only a fake can: hold its watches back, cut and kill its clients.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { secretManifest } from '../../src/core/pull-secret.ts';
import { SecretText } from '../../src/secret-text.ts';
import { describeCluster, problemOf, type ContractWorld } from '../cluster-contract.ts';
import { TEST_AUDIENCE, TEST_HOST, foreignSecret, needOf } from './builders.ts';
import { createFakeCluster, type FakeClusterOptions } from './fake-cluster.ts';
import { createHandClock } from './hand-clock.ts';

const STEP_MS = 20;

function openFake(): ContractWorld {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock });
  return {
    cluster: fake.client(),
    clock,
    namespace: fake.namespace,
    addNamespace: async (name, wish) => void fake.addNamespace(name, wish),
    labelNamespace: async (name, labels) => void fake.labelNamespace(name, labels),
    terminateNamespace: async (name) => void fake.terminateNamespace(name),
    addAccount: async (namespace, name, wish) => fake.addAccount(namespace, name, wish),
    annotateAccount: async (namespace, name, annotations) =>
      void fake.annotateAccount(namespace, name, annotations),
    deleteAccount: async (namespace, name) => fake.deleteAccount(namespace, name),
    addPod: async (namespace, name, wish) => fake.addPod(namespace, name, wish),
    gatesOf: async (namespace, name) => fake.pod(namespace, name)?.gates,
    startPod: async (namespace, name) =>
      void fake.changePod(namespace, name, (pod) => ({ ...pod, status: { phase: 'Running' } })),
    holdPods: async (namespace) => void fake.budgets.add(namespace),
    allowEvictions: async () => undefined,
    deletePod: async (namespace, name) => fake.deletePod(namespace, name),
    addOpaqueSecret: async (namespace, name, data) => {
      const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
      fake.addSecret(foreignSecret(namespace, name, Object.fromEntries(encoded)));
    },
    async secret(namespace, name) {
      const found = fake.secret(namespace, name);
      const data = Object.entries((found?.['data'] ?? {}) as Record<string, string>).map(
        ([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')] as const,
      );
      return (
        found && {
          uid: found.metadata.uid,
          resourceVersion: found.metadata.resourceVersion,
          labels: found.metadata.labels ?? {},
          data: Object.fromEntries(data),
        }
      );
    },
    deleteSecret: async (namespace, name) => fake.deleteSecret(namespace, name),
    async annotateRecord(namespace, name) {
      const found = fake.store.get('record', namespace, name);
      if (found)
        fake.store.write('record', {
          ...found,
          metadata: { ...found.metadata, annotations: { seen: 'yes' } },
        });
    },
    hasRecord: async (namespace, name) => fake.record(namespace, name) !== undefined,
    deleteRecord: async (namespace, name) => fake.deleteRecord(namespace, name),
    deleteLease: async (name) => fake.store.remove('lease', fake.namespace, name),
    events: async (namespace) =>
      fake
        .events()
        .filter(({ regarding }) => regarding.namespace === namespace)
        .map(({ reason, type, note, regarding: { kind, name, uid } }) => ({
          reason,
          type,
          note,
          regarding: { kind, name, uid },
        })),
    async eventually(what, look, withinMs = 10_000) {
      for (let passed = 0; passed <= withinMs; passed += STEP_MS) {
        const seen = await look();
        if (seen !== undefined) return seen;
        await clock.advance(STEP_MS);
      }
      throw new Error(`did not happen in ${withinMs} ms: ${what}`);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

describe('the fake cluster keeps the contract', () => {
  describeCluster(async () => openFake());
});

function setUp(options: Partial<FakeClusterOptions> = {}) {
  const clock = createHandClock();
  const fake = createFakeCluster({ clock, ...options });
  fake.addNamespace('team-a');
  const account = fake.addAccount('team-a', 'builder');
  const signal = () => ({ signal: clock.deadline(10_000) });
  return { clock, fake, need: needOf(account), signal };
}

/** Record, Secret, token and content, as the worker writes them. */
async function issue(
  cluster: Cluster,
  need: ReturnType<typeof needOf>,
  options: () => { signal: AbortSignal },
) {
  const record = await cluster.createRecord(need, options());
  const { uid } = await cluster.createSecret(secretManifest(need, record.uid), options());
  const wish = { need, audience: TEST_AUDIENCE, expirationSeconds: 600, secretUid: uid };
  const { token: password, issuedAt, expiresAt } = await cluster.mintToken(wish, options());
  const credential = { hosts: [TEST_HOST], username: 'team-a/builder', password, issuedAt, expiresAt };
  await cluster.updateSecret(secretManifest(need, record.uid, { uid, credential }), options());
  return password;
}

describe('what only the fake can do', () => {
  test('a token is verified by anybody with the public key', async () => {
    const { fake, need, signal, clock } = setUp();
    const password = await issue(fake.client(), need, signal);

    const keys = createLocalJWKSet({ keys: [await fake.tokens.publicJwk()] });
    const { payload } = await jwtVerify(password.reveal(), keys, {
      issuer: fake.tokens.issuer,
      audience: TEST_AUDIENCE,
      currentDate: new Date(clock.now()),
    });

    expect(payload.sub).toBe('system:serviceaccount:team-a:builder');
  });

  test('a login is good until it expires, and dies with its Secret or its account', async () => {
    const { fake, need, signal, clock } = setUp();
    const password = await issue(fake.client(), need, signal);
    const login = () => fake.loginClaims('team-a', need.secretName, TEST_HOST);

    expect(fake.dockerConfig('team-a', need.secretName)?.auths[TEST_HOST]?.username).toBe('team-a/builder');
    expect(await login()).toMatchObject({ sub: 'system:serviceaccount:team-a:builder' });
    expect(await fake.tokens.review(password.reveal(), 'https://elsewhere.example')).toBeUndefined();
    await clock.advance(601_000);
    expect(await login()).toBeUndefined();

    const other = setUp();
    const dying = await issue(other.fake.client(), other.need, other.signal);
    other.fake.recreateAccount('team-a', 'builder');
    expect(await other.fake.tokens.review(dying.reveal(), TEST_AUDIENCE)).toBeUndefined();
  });

  test('a held watch tells everything in order when it is let go', async () => {
    const { fake, clock } = setUp();
    const client = fake.client();
    const told: string[] = [];
    client.view.onChange(({ kind, gone, object }) =>
      told.push(`${kind} ${object.name} ${gone ? 'gone' : 'seen'}`),
    );
    client.holdWatch();
    fake.addAccount('team-a', 'one');
    fake.deleteAccount('team-a', 'one');
    fake.addPod('team-a', 'app');
    await clock.advance(1_000);

    expect(told).toEqual([]);
    client.releaseWatch();

    expect(told).toEqual(['account one seen', 'account one gone', 'pod app seen']);
    expect(client.view.account('team-a', 'one')).toBeUndefined();
  });

  test('a held watch does not hold back own writes, and does not undo them when it is let go', async () => {
    const { fake, need, signal, clock } = setUp();
    const client = fake.client();
    client.holdWatch();
    const record = await client.createRecord(need, signal());
    const status = {
      isReady: false,
      reason: 'deadline',
      message: 'x',
      changedAt: 0,
      issuedAt: 0,
      expiresAt: 0,
    } as const;
    const updated = await client.updateRecordStatus(
      record,
      { ...status, refreshAt: 0, digest: '', tokenId: '', secretUid: '' },
      signal(),
    );
    const told: unknown[] = [];
    client.view.onChange(({ object }) => told.push(object));

    client.releaseWatch();
    await clock.advance(100);

    expect(client.view.record('team-a', need.secretName)).toEqual(updated);
    expect(told).toEqual([]);
  });

  test('an answer that comes after the watch has seen the deletion does not bring a record back', async () => {
    const { fake, need, signal } = setUp();
    const client = fake.client();
    const record = await client.createRecord(need, signal());
    fake.deleteRecord('team-a', need.secretName);
    await Promise.resolve();
    await Promise.resolve();

    client.view.putRecord(record);

    expect(client.view.record('team-a', need.secretName)).toBeUndefined();
  });

  test('a watch that is behind tells each change after its lag', async () => {
    const { fake, clock } = setUp({ watchLagMs: 300 });
    const { view } = fake.client();
    fake.addAccount('team-a', 'one');
    await clock.advance(280);
    fake.addAccount('team-a', 'two');

    expect(view.account('team-a', 'one')).toBeUndefined();
    await clock.advance(20);
    expect(view.account('team-a', 'one')?.name).toBe('one');
    expect(view.account('team-a', 'two')).toBeUndefined();
    await clock.advance(280);
    expect(view.account('team-a', 'two')?.name).toBe('two');
  });

  test('a client that has not listed yet says so, and lists when it is told to', () => {
    const { fake } = setUp();
    const client = fake.client('late', { synced: false, pods: false });

    expect(client.view.unsynced()).toEqual(['namespaces', 'serviceaccounts', 'pullcredentials']);
    client.sync();

    expect(client.view.unsynced()).toEqual([]);
    expect(client.view.account('team-a', 'builder')?.name).toBe('builder');
  });

  test.each([
    ['die-before', false],
    ['die-after', true],
  ] as const)('a client that is to %s its write is never answered', async (fate, isWritten) => {
    const { fake, need, signal, clock } = setUp();
    fake.beforeCall = ({ client, verb }) => (client === 'one' && verb === 'createRecord' ? fate : undefined);
    const settled: string[] = [];
    const one = fake.client('one');
    void one.createRecord(need, signal()).finally(() => settled.push('createRecord'));
    await clock.advance(100);
    void one.findNamespace('team-a', signal()).finally(() => settled.push('findNamespace'));
    fake.addAccount('team-a', 'later');
    await clock.advance(20_000);

    expect(settled).toEqual([]);
    expect(fake.record('team-a', need.secretName) !== undefined).toBe(isWritten);
    expect(one.view.account('team-a', 'later')).toBeUndefined();
    expect(await fake.client('two').findNamespace('team-a', signal())).toMatchObject({ name: 'team-a' });
  });

  test('an answer that is lost leaves the state changed and the caller in doubt', async () => {
    const { fake, need, signal } = setUp();
    fake.beforeCall = ({ verb }) => (verb === 'createRecord' ? 'lose-answer' : undefined);
    const client = fake.client();

    await problemOf(client.createRecord(need, signal()), 'cluster-unreachable');

    expect(fake.record('team-a', need.secretName)).toBeDefined();
    await problemOf(client.createRecord(need, signal()), 'cluster-conflict');
  });

  test('a client that is cut off hangs until its deadline, and lists anew when the network is back', async () => {
    const { fake, need, signal, clock } = setUp();
    const client = fake.client();
    client.partition();
    fake.deleteAccount('team-a', 'builder');
    const late = problemOf(client.createRecord(need, signal()), 'deadline');
    await clock.advance(10_000);
    await late;
    const hanging = problemOf(client.createRecord(need, signal()), 'cluster-unreachable');
    await clock.advance(100);
    expect(client.view.account('team-a', 'builder')).toBeDefined();
    const told: boolean[] = [];
    client.view.onChange(({ gone }) => told.push(gone));

    client.heal();

    await hanging;
    expect(told).toEqual([true]);
    expect(fake.count('createRecord')).toBe(2);
    expect(fake.records()).toEqual([]);
  });

  test('a hook may wait by the clock, and the deadline of the call goes on meanwhile', async () => {
    const { fake, need, signal, clock } = setUp();
    fake.beforeCall = async ({ verb }) => {
      await clock.sleep(verb === 'createRecord' ? 60_000 : 500);
    };
    const late = problemOf(fake.client().createRecord(need, signal()), 'deadline');
    const found = fake.client().findNamespace('team-a', signal());

    await clock.advance(10_000);

    await late;
    expect((await found)?.name).toBe('team-a');
    expect(fake.records()).toEqual([]);
  });

  test('calls are written down by client and verb, without anything secret', async () => {
    const { fake, need, signal } = setUp();
    await issue(fake.client('one'), need, signal);
    await fake.client('two').findNamespace('team-a', signal());

    expect(fake.count('createSecret', 'one')).toBe(1);
    expect(fake.count('findNamespace')).toBe(1);
    expect(fake.count('findNamespace', 'one')).toBe(0);
    expect(fake.calls.map(({ client, verb }) => `${client} ${verb}`)).toEqual([
      'one createRecord',
      'one createSecret',
      'one mintToken',
      'one updateSecret',
      'two findNamespace',
    ]);
    const password = fake.dockerConfig('team-a', need.secretName)?.auths[TEST_HOST]?.password ?? 'none';
    expect(JSON.stringify(fake.calls)).not.toContain(password);
    expect(new SecretText(password).toString()).toBe('[secret]');
  });

  test('fences that are missing are named by whoever tries them', async () => {
    const { fake, signal } = setUp();
    fake.missingFences = ['secrets'];

    expect(await fake.client().tryFences(signal())).toEqual(['secrets']);
  });

  test('an orphaned record stays, and its Secret with it', async () => {
    const { fake, need, signal, clock } = setUp();
    await issue(fake.client(), need, signal);

    fake.orphanRecord('team-a', need.secretName);
    fake.deleteAccount('team-a', 'builder');
    await clock.advance(3_000);

    expect(fake.record('team-a', need.secretName)).toBeDefined();
    expect(fake.secrets()).toHaveLength(1);
  });
});
