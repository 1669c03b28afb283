// The cluster contract: of a pod the worker takes its own gate away, and can do nothing else.
import { describe, expect, test } from 'vitest';
import { GATE } from '../src/core/vocabulary.ts';
import { problemOf, type ContractTools } from './cluster-contract.ts';

/** What Pod Security asks of every pod in our own namespace. */
const RESTRICTED = {
  securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  containers: [
    {
      name: 'app',
      image: 'registry.team.example:5000/team/app:1',
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    },
  ],
};

export function describePods({ world, cluster, options, addNamespace, addAccount }: ContractTools): void {
  async function addPod(otherGates: readonly string[] = []) {
    const { namespace, name: serviceAccount } = await addAccount();
    return await world().addPod(namespace, 'app', { serviceAccount, otherGates });
  }

  describe('pods', () => {
    test('of a namespace are all found, whatever they carry', async () => {
      const pod = await addPod();
      const { serviceAccount } = pod;
      await world().addPod(pod.namespace, 'foreign', { serviceAccount, gated: false, managed: false });
      await world().startPod(pod.namespace, 'foreign');

      const found = await cluster().findPods(pod.namespace, options());

      expect(found.map(({ name }) => name).toSorted()).toEqual(['app', 'foreign']);
    });

    test('that are gone, or of another life, are not evicted', async () => {
      const pod = await addPod();
      const another = { ...pod, uid: '00000000-0000-4000-8000-000000000000' };
      await world().allowEvictions();

      expect(await cluster().evictPod(another, options())).toBe('gone');
      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual([GATE]);
      await world().deletePod(pod.namespace, pod.name);
      expect(await cluster().evictPod(pod, options())).toBe('gone');
    });

    test('that are pending are evicted', async () => {
      const pod = await addPod();
      await world().allowEvictions();

      expect(await cluster().evictPod(pod, options())).toBe('evicted');

      await world().eventually('the pod is gone', async () =>
        (await world().gatesOf(pod.namespace, pod.name)) === undefined ? true : undefined,
      );
    });

    test('are not evicted where the namespace has not opted in', async () => {
      const namespace = await addNamespace({ labels: {} });
      const { name: serviceAccount } = await world().addAccount(namespace, 'builder');
      const pod = await world().addPod(namespace, 'app', { serviceAccount });
      await world().allowEvictions();

      await problemOf(cluster().evictPod(pod, options()), 'namespace-refused');

      expect(await world().gatesOf(namespace, 'app')).toBeDefined();
    });

    test('that a PodDisruptionBudget holds stay, and the answer comes at once', async () => {
      const pod = await addPod();
      await cluster().removeGate(pod, options());
      await world().startPod(pod.namespace, pod.name);
      await world().holdPods(pod.namespace);
      await world().allowEvictions();

      expect(await cluster().evictPod(pod, options())).toBe('held');
      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual([]);
    });
  });

  describe('gates', () => {
    test('our gate goes, the gates of others stay', async () => {
      const pod = await addPod(['other.example/gate']);

      expect(await cluster().removeGate(pod, options())).toBe('removed');

      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual(['other.example/gate']);
    });

    test('a gate that somebody else has removed is no failure', async () => {
      const pod = await addPod();
      await cluster().removeGate(pod, options());

      expect(await cluster().removeGate(pod, options())).toBe('gone');
      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual([]);
    });

    test('a pod that is gone is no failure', async () => {
      const pod = await addPod();
      await world().deletePod(pod.namespace, pod.name);

      expect(await cluster().removeGate(pod, options())).toBe('gone');
    });

    test('another pod of the same name keeps its gate', async () => {
      const pod = await addPod();

      const outcome = await cluster().removeGate(
        { ...pod, uid: '00000000-0000-4000-8000-000000000000' },
        options(),
      );

      expect(outcome).toBe('gone');
      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual([GATE]);
    });

    test('gates are opened also in a namespace that has left', async () => {
      const pod = await addPod();
      await world().labelNamespace(pod.namespace, {});

      expect(await cluster().removeGate(pod, options())).toBe('removed');
    });

    test('a pod in our own namespace is not touched', async () => {
      const account = await world().addAccount(world().namespace, 'gated');
      const pod = await world().addPod(account.namespace, 'gated', {
        serviceAccount: account.name,
        spec: RESTRICTED,
      });

      await problemOf(cluster().removeGate(pod, options()), 'namespace-refused');

      expect(await world().gatesOf(pod.namespace, pod.name)).toEqual([GATE]);
    });
  });
}
