// The cluster contract: records and Secrets are written once per need, never over what is another's.
import { describe, expect, test } from 'vitest';
import type { Need } from '../src/core/pull-credential.ts';
import type { PullCredentialRecord, RecordStatus } from '../src/core/pull-credential-record.ts';
import { secretManifest } from '../src/core/pull-secret.ts';
import { MANAGED_LABEL } from '../src/core/vocabulary.ts';
import { SecretText } from '../src/secret-text.ts';
import { problemOf, type ContractTools } from './cluster-contract.ts';
import { TEST_HOST, needOf, type NamespaceWish } from './fakes/builders.ts';

/** The garbage collector looks for new kinds of objects every 30 s, and a PullCredential is one at first. */
const COLLECTED_MS = 60_000;
const ANOTHER_UID = '00000000-0000-4000-8000-000000000000';

export function describeRecordsAndSecrets({
  world,
  cluster,
  options,
  addNamespace,
  addAccount,
}: ContractTools): void {
  async function addRecord(): Promise<{ need: Need; record: PullCredentialRecord }> {
    const need = needOf(await addAccount());
    return { need, record: await cluster().createRecord(need, options()) };
  }

  async function addSecret() {
    const { need, record } = await addRecord();
    const { uid } = await cluster().createSecret(secretManifest(need, record.uid), options());
    return { need, record, uid, namespace: need.identity.namespace };
  }

  /** A need in a namespace where we may not write. */
  async function needIn(wish: NamespaceWish): Promise<Need> {
    return needOf(await world().addAccount(await addNamespace(wish), 'builder'));
  }

  const credentialOf = (password: string) => ({
    hosts: [TEST_HOST],
    username: 'team/builder',
    password: new SecretText(password),
    issuedAt: 0,
    expiresAt: 0,
  });

  const statusAt = (now: number): RecordStatus => ({
    isReady: true,
    reason: 'issued',
    message: 'good for an hour',
    changedAt: now,
    issuedAt: now,
    expiresAt: now + 3_600_000,
    refreshAt: now + 2_340_000,
    digest: '0123456789abcdef0123456789abcdef',
    tokenId: 'JTI=token-1',
    tokenKeyId: 'key-1',
    secretUid: ANOTHER_UID,
  });

  describe('records', () => {
    test('a new record says whose it is and where it pulls from, and has no status', async () => {
      const { need, record } = await addRecord();

      expect(record).toEqual({
        namespace: need.identity.namespace,
        name: need.secretName,
        uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
        resourceVersion: expect.stringMatching(/^\d+$/),
        isDeleting: false,
        account: need.identity.account,
        accountUid: need.identity.uid,
        rule: need.rule,
        principal: '',
        host: need.host,
        secretName: need.secretName,
      });
    });

    test('a record is not created over another', async () => {
      const { need } = await addRecord();

      await problemOf(cluster().createRecord(need, options()), 'cluster-conflict');
    });

    test('a status is read back as it was written, in whole seconds', async () => {
      const { record } = await addRecord();
      const now = Math.floor(world().clock.now() / 1000) * 1000;

      const updated = await cluster().updateRecordStatus(record, statusAt(now), options());

      expect(updated).toMatchObject({ name: record.name, uid: record.uid, status: statusAt(now) });
      expect(BigInt(updated.resourceVersion)).toBeGreaterThan(BigInt(record.resourceVersion));
    });

    test('a status says since when nobody uses the Secret', async () => {
      const { record } = await addRecord();
      const now = Math.floor(world().clock.now() / 1000) * 1000;
      const unused = { ...statusAt(now), unusedSince: now - 3_600_000 };

      const updated = await cluster().updateRecordStatus(record, unused, options());
      const used = await cluster().updateRecordStatus(updated, statusAt(now), options());

      expect(updated.status).toEqual(unused);
      expect(used.status).toEqual(statusAt(now));
    });

    test('a status that says what stands in the way needs neither token nor times', async () => {
      const { record } = await addRecord();
      const now = Math.floor(world().clock.now() / 1000) * 1000;
      const nothing = { issuedAt: 0, expiresAt: 0, refreshAt: 0, digest: '', tokenId: '', secretUid: '' };
      const refused = {
        isReady: false,
        reason: 'exchange-refused',
        message: 'no',
        changedAt: now,
        ...nothing,
      } as const;

      const updated = await cluster().updateRecordStatus(record, refused, options());

      expect(updated.status).toEqual(refused);
    });

    test('a status is not written over a change that was not seen', async () => {
      const { record } = await addRecord();
      await world().annotateRecord(record.namespace, record.name);

      await problemOf(cluster().updateRecordStatus(record, statusAt(0), options()), 'cluster-conflict');
    });

    test('a status is not written into the next life of a record', async () => {
      const { need, record } = await addRecord();
      await world().deleteRecord(record.namespace, record.name);
      await cluster().createRecord(need, options());

      await problemOf(cluster().updateRecordStatus(record, statusAt(0), options()), 'cluster-conflict');
    });

    test('the status of a record that is gone cannot be written', async () => {
      const { record } = await addRecord();
      await world().deleteRecord(record.namespace, record.name);

      await problemOf(cluster().updateRecordStatus(record, statusAt(0), options()), 'cluster-missing');
    });

    test('a record is deleted once', async () => {
      const { record } = await addRecord();

      await cluster().deleteRecord(record, options());

      expect(await world().hasRecord(record.namespace, record.name)).toBe(false);
      await problemOf(cluster().deleteRecord(record, options()), 'cluster-missing');
    });

    test('the next life of a record is not deleted in its place', async () => {
      const { record } = await addRecord();

      await problemOf(cluster().deleteRecord({ ...record, uid: ANOTHER_UID }, options()), 'cluster-conflict');

      expect(await world().hasRecord(record.namespace, record.name)).toBe(true);
    });

    test.each([
      ['that has not opted in', async () => needIn({ labels: {} })],
      ['that is ours', async () => needOf(await world().addAccount(world().namespace, 'neighbour'))],
      [
        'that is terminating',
        async () => {
          const need = needOf(await addAccount());
          await world().terminateNamespace(need.identity.namespace);
          return need;
        },
      ],
    ])('no record is created in a namespace %s', async (_, prepare) => {
      const need = await prepare();

      await problemOf(cluster().createRecord(need, options()), 'namespace-refused');
    });

    test('no record is created in a namespace that does not exist', async () => {
      const need = needOf({ namespace: 'no-such-namespace', name: 'builder', uid: ANOTHER_UID });

      await problemOf(cluster().createRecord(need, options()), 'cluster-missing');
    });
  });

  describe('Secrets', () => {
    test('a new Secret is empty, labelled, and of the type that kubelets read', async () => {
      const { need, uid, namespace } = await addSecret();

      expect(await world().secret(namespace, need.secretName)).toMatchObject({
        uid,
        labels: { [MANAGED_LABEL]: 'true', 'velero.io/exclude-from-backup': 'true' },
        data: { '.dockerconfigjson': '{"auths":{}}' },
      });
    });

    test('a Secret is not created over another', async () => {
      const { need, record } = await addSecret();

      await problemOf(
        cluster().createSecret(secretManifest(need, record.uid), options()),
        'cluster-conflict',
      );
    });

    test('a Secret is filled and filled again under the same uid', async () => {
      const { need, record, uid, namespace } = await addSecret();
      const fill = (password: string) =>
        cluster().updateSecret(
          secretManifest(need, record.uid, { uid, credential: credentialOf(password) }),
          options(),
        );

      await fill('one');
      expect(await fill('two')).toEqual({ uid });

      const seen = await world().secret(namespace, need.secretName);
      const login = {
        username: 'team/builder',
        password: 'two',
        auth: Buffer.from('team/builder:two').toString('base64'),
      };
      expect(seen?.uid).toBe(uid);
      expect(JSON.parse(seen?.data['.dockerconfigjson'] ?? '')).toEqual({ auths: { [TEST_HOST]: login } });
    });

    test('another life of a Secret is not written over', async () => {
      const { need, record, namespace } = await addSecret();
      const manifest = secretManifest(need, record.uid, { uid: ANOTHER_UID, credential: credentialOf('x') });

      await problemOf(cluster().updateSecret(manifest, options()), 'cluster-conflict');

      expect((await world().secret(namespace, need.secretName))?.data['.dockerconfigjson']).toBe(
        '{"auths":{}}',
      );
    });

    test('a Secret that is gone is not written', async () => {
      const { need, record, uid, namespace } = await addSecret();
      await world().deleteSecret(namespace, need.secretName);

      await problemOf(
        cluster().updateSecret(secretManifest(need, record.uid, { uid }), options()),
        'cluster-missing',
      );
      await problemOf(
        cluster().updateSecret(secretManifest(need, record.uid), { ...options(), dryRun: true }),
        'cluster-missing',
      );
    });

    test('a dry run tells the uid of a Secret that is ours, and changes nothing', async () => {
      const { need, record, uid, namespace } = await addSecret();
      const filled = secretManifest(need, record.uid, { uid, credential: credentialOf('kept') });
      await cluster().updateSecret(filled, options());
      const before = await world().secret(namespace, need.secretName);

      const answer = await cluster().updateSecret(secretManifest(need, record.uid), {
        ...options(),
        dryRun: true,
      });

      expect(answer).toEqual({ uid });
      expect(await world().secret(namespace, need.secretName)).toEqual(before);
    });

    test("somebody else's Secret of that name stays as it is", async () => {
      const { need, record } = await addRecord();
      const namespace = need.identity.namespace;
      await world().addOpaqueSecret(namespace, 'nexus', { password: 'theirs' });
      const manifest = secretManifest({ ...need, secretName: 'nexus' }, record.uid);

      await problemOf(cluster().createSecret(manifest, options()), 'cluster-conflict');
      await problemOf(cluster().updateSecret(manifest, { ...options(), dryRun: true }), 'secret-not-ours');
      await problemOf(cluster().updateSecret(manifest, options()), 'secret-not-ours');

      expect((await world().secret(namespace, 'nexus'))?.data).toEqual({ password: 'theirs' });
    });

    test("the Secret of an earlier life's record is not ours yet", async () => {
      const { need, uid, namespace } = await addSecret();
      const before = await world().secret(namespace, need.secretName);

      await problemOf(
        cluster().updateSecret(secretManifest(need, ANOTHER_UID, { uid }), options()),
        'secret-not-ours',
      );

      expect(await world().secret(namespace, need.secretName)).toEqual(before);
    });

    test('a draining namespace is still served, one that has left is not', async () => {
      const { need, record, uid, namespace } = await addSecret();
      const manifest = secretManifest(need, record.uid, { uid });

      await world().labelNamespace(namespace, { 'keyless-pull.dev/inject': 'draining' });
      expect(await cluster().updateSecret(manifest, options())).toEqual({ uid });

      await world().labelNamespace(namespace, {});
      await world().eventually('the fence knows that the namespace has left', () =>
        problemOf(cluster().updateSecret(manifest, options()), 'namespace-refused').catch(() => undefined),
      );
    });

    test('account, record and Secret go together', async () => {
      const { need, namespace } = await addSecret();

      await world().deleteAccount(namespace, need.identity.account);

      await world().eventually(
        'record and Secret are gone',
        async () =>
          (await world().hasRecord(namespace, need.secretName)) ||
          (await world().secret(namespace, need.secretName))
            ? undefined
            : true,
        COLLECTED_MS,
      );
    });

    test('a record takes its Secret along', async () => {
      const { need, record, namespace } = await addSecret();

      await cluster().deleteRecord(record, options());

      await world().eventually(
        'the Secret is gone',
        async () => ((await world().secret(namespace, need.secretName)) ? undefined : true),
        COLLECTED_MS,
      );
    });
  });
}
