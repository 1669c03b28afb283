// The cluster contract: what the watches know, how soon they know it, and that own writes are known at once.
import { describe, expect, test } from 'vitest';
import type { ClusterChange } from '../src/cluster/cluster.ts';
import { secretManifest } from '../src/core/pull-secret.ts';
import type { ContractTools } from './cluster-contract.ts';
import { needOf } from './fakes/builders.ts';

/** What a view must know so soon after it has happened. */
const SOON_MS = 2_000;

export function describeView({ world, cluster, options, addNamespace, addAccount }: ContractTools): void {
  const view = () => cluster().view;
  const soon = <Seen>(what: string, look: () => Seen | undefined) => world().eventually(what, look, SOON_MS);

  describe('the view', () => {
    test('the view is synced, and knows what was there before it', async () => {
      await world().eventually('all watches have listed', () =>
        view().unsynced().length === 0 ? true : undefined,
      );

      expect(view().namespace(world().namespace)?.name).toBe(world().namespace);
    });

    test('the view follows an account from its creation to its end', async () => {
      const account = await addAccount();
      const { namespace, name } = account;

      expect(await soon('the account', () => view().account(namespace, name))).toEqual(account);

      await world().annotateAccount(namespace, name, { 'keyless-pull.dev/role-arn': 'b' });
      await soon(
        'the annotation',
        () => view().account(namespace, name)?.annotations['keyless-pull.dev/role-arn'],
      );

      await world().deleteAccount(namespace, name);
      await soon('the end of the account', () => (view().account(namespace, name) ? undefined : true));
    });

    test('the view follows the labels of a namespace', async () => {
      const namespace = await addNamespace({ labels: {} });
      await soon('the namespace', () => view().namespace(namespace));

      await world().labelNamespace(namespace, { 'keyless-pull.dev/inject': 'enabled' });

      await soon('the opt-in', () => view().namespace(namespace)?.labels['keyless-pull.dev/inject']);
    });

    test('the view has the pods that are pending or carry our label', async () => {
      const { namespace, name: serviceAccount } = await addAccount();
      const names = () =>
        [...view().pods()].filter((pod) => pod.namespace === namespace).map(({ name }) => name);
      const has = (...wanted: string[]) => (names().toSorted().join() === wanted.join() ? true : undefined);
      await world().addPod(namespace, 'foreign', { serviceAccount, managed: false, gated: false });
      await world().addPod(namespace, 'gated', { serviceAccount, managed: false });
      await world().addPod(namespace, 'ours', { serviceAccount, gated: false });
      await soon('all three while they are pending', () => has('foreign', 'gated', 'ours'));

      await world().startPod(namespace, 'foreign');
      await world().startPod(namespace, 'ours');
      await soon('the foreign one leaves when it runs', () => has('gated', 'ours'));

      await world().deletePod(namespace, 'gated');
      await world().deletePod(namespace, 'ours');
      await soon('deleted pods leave', () => has());
    });

    test('every change of a pod is told once the view has it, and its end once', async () => {
      const { namespace, name: serviceAccount } = await addAccount();
      const told: string[] = [];
      const end = view().onChange((change) => {
        if (change.kind !== 'pod' || change.object.namespace !== namespace) return;
        const isKnown = [...view().pods()].some(({ uid }) => uid === change.object.uid);
        told.push(`${change.gone ? 'gone' : 'seen'} ${isKnown ? 'known' : 'unknown'}`);
      });
      const pod = await world().addPod(namespace, 'app', { serviceAccount });
      await soon('the pod', () => (told.length > 0 ? true : undefined));

      await cluster().removeGate(pod, options());
      await world().deletePod(namespace, 'app');

      await soon('the end of the pod', () => (told.includes('gone unknown') ? true : undefined));
      end();
      expect(new Set(told)).toEqual(new Set(['seen known', 'gone unknown']));
      expect(told.filter((line) => line === 'gone unknown')).toHaveLength(1);
    });

    test('a record is known as soon as our own write is answered, and no older word of the watch undoes it', async () => {
      const need = needOf(await addAccount());
      const { namespace, account } = need.identity;
      const versions: bigint[] = [];
      const listen = (change: ClusterChange) => {
        if (change.kind !== 'record' || change.object.namespace !== namespace) return;
        versions.push(BigInt(change.object.resourceVersion));
      };
      const end = view().onChange(listen);

      let record = await cluster().createRecord(need, options());
      expect(view().record(namespace, record.name)).toEqual(record);
      for (let round = 1; round <= 10; round++) {
        const status = statusOf(`round ${round}`, world().clock.now());
        record = await cluster().updateRecordStatus(record, status, options());
        expect(view().record(namespace, record.name)).toEqual(record);
      }
      await world().annotateRecord(namespace, record.name);
      await soon('the change of somebody else', () =>
        view().record(namespace, record.name)?.resourceVersion !== record.resourceVersion ? true : undefined,
      );

      end();
      expect(versions).toEqual(versions.toSorted((one, other) => Number(one - other)));
      expect(
        view()
          .recordsOf(namespace, account)
          .map(({ name }) => name),
      ).toEqual([need.secretName]);
      expect([...view().records()].filter((other) => other.namespace === namespace)).toHaveLength(1);
    });

    test('a record that somebody deletes is gone from the view, also from its account', async () => {
      const need = needOf(await addAccount());
      const { namespace, account } = need.identity;
      const { name } = await cluster().createRecord(need, options());

      await world().deleteRecord(namespace, name);

      await soon('the end of the record', () => (view().record(namespace, name) ? undefined : true));
      expect(view().recordsOf(namespace, account)).toEqual([]);
    });

    test('the view sees what the garbage collector takes', async () => {
      const need = needOf(await addAccount());
      const { namespace, account } = need.identity;
      const record = await cluster().createRecord(need, options());
      await cluster().createSecret(secretManifest(need, record.uid), options());

      await world().deleteAccount(namespace, account);

      await world().eventually('the end of the record', () =>
        view().record(namespace, need.secretName) ? undefined : true,
      );
    });
  });
}

function statusOf(message: string, now: number) {
  return {
    isReady: false,
    reason: 'exchange-unreachable',
    message,
    changedAt: now,
    issuedAt: 0,
    expiresAt: 0,
    refreshAt: 0,
    digest: '',
    tokenId: '',
    secretUid: '',
  } as const;
}
