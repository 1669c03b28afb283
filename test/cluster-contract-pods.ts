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

export function describePods({ world, cluster, options, addAccount }: ContractTools): void {
  async function addPod(otherGates: readonly string[] = []) {
    const { namespace, name: serviceAccount } = await addAccount();
    return await world().addPod(namespace, 'app', { serviceAccount, otherGates });
  }

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
