// The cluster contract: the Lease is a compare-and-swap, events reach people, and the fences can be tried.
import { describe, expect, test } from 'vitest';
import type { Lease } from '../src/cluster/cluster.ts';
import { problemOf, type ContractTools } from './cluster-contract.ts';

export function describeLeasesAndEvents({ world, cluster, options, addAccount }: ContractTools): void {
  let number = 0;
  const wish = (): Lease => ({
    name: `lease-${++number}`,
    holder: 'worker-a',
    durationSeconds: 6,
    renewedAt: world().clock.now(),
    transitions: 0,
    resourceVersion: '',
  });

  describe('leases', () => {
    test('a lease that nobody has made is a miss', async () => {
      expect(await cluster().findLease('nobody-made-it', options())).toBeUndefined();
    });

    test('a lease is found as it was written, to the millisecond', async () => {
      const wanted = wish();

      const created = await cluster().createLease(wanted, options());

      expect(created).toEqual({ ...wanted, resourceVersion: expect.stringMatching(/^\d+$/) });
      expect(await cluster().findLease(wanted.name, options())).toEqual(created);
    });

    test('of two who create a lease one wins', async () => {
      const wanted = wish();
      const outcomes = await Promise.allSettled([
        cluster().createLease(wanted, options()),
        cluster().createLease({ ...wanted, holder: 'worker-b' }, options()),
      ]);

      const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      const losers = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      expect(winners).toHaveLength(1);
      expect(losers).toEqual([expect.objectContaining({ code: 'cluster-conflict' })]);
      expect(await cluster().findLease(wanted.name, options())).toEqual(winners[0]);
    });

    test('a lease is renewed by the version of the last answer, and by no other', async () => {
      const first = await cluster().createLease(wish(), options());
      const renewedAt = first.renewedAt + 2_000;

      const second = await cluster().updateLease({ ...first, renewedAt }, options());

      expect(second).toEqual({ ...first, renewedAt, resourceVersion: second.resourceVersion });
      await problemOf(cluster().updateLease({ ...first, holder: 'worker-b' }, options()), 'cluster-conflict');
      expect(await cluster().findLease(first.name, options())).toEqual(second);
    });

    test.each([[['team-a', 'team-b']], [[]]])(
      'a lease keeps where its holder may open gates: %j',
      async (gatesIn) => {
        const first = await cluster().createLease({ ...wish(), gatesIn }, options());
        const found = await cluster().findLease(first.name, options());
        const { gatesIn: _, ...everywhere } = first;

        const second = await cluster().updateLease(everywhere, options());

        expect(found?.gatesIn).toEqual(gatesIn);
        expect(second).not.toHaveProperty('gatesIn');
      },
    );

    test('a lease is given back with an empty holder', async () => {
      const held = await cluster().createLease(wish(), options());

      const released = await cluster().updateLease({ ...held, holder: '' }, options());

      expect(released.holder).toBe('');
      expect(await cluster().findLease(held.name, options())).toEqual(released);
    });

    test('a lease that somebody deleted is made again by its holder, unless another was first', async () => {
      const held = await cluster().createLease(wish(), options());
      await world().deleteLease(held.name);

      const again = await cluster().updateLease(held, options());
      expect(await cluster().findLease(held.name, options())).toEqual(again);
      await problemOf(cluster().createLease({ ...held, holder: 'worker-b' }, options()), 'cluster-conflict');

      await world().deleteLease(held.name);
      await cluster().createLease({ ...held, holder: 'worker-b' }, options());
      await problemOf(cluster().updateLease(again, options()), 'cluster-conflict');
    });
  });

  describe('events', () => {
    test('an event can be seen by people', async () => {
      const { namespace, name, uid } = await addAccount();

      cluster().emit({
        reason: 'CredentialIssued',
        type: 'Normal',
        note: 'credential for registry.team.example:5000',
        regarding: { kind: 'ServiceAccount', namespace, name, uid },
      });

      const seen = await world().eventually('the event', async () => (await world().events(namespace))[0]);
      expect(seen).toEqual({
        reason: 'CredentialIssued',
        type: 'Normal',
        note: 'credential for registry.team.example:5000',
        regarding: { kind: 'ServiceAccount', name, uid },
      });
    });

    test('an event in a namespace that does not exist is dropped without a word', async () => {
      const regarding = { kind: 'Pod', namespace: 'no-such-namespace', name: 'app', uid: 'none' } as const;

      cluster().emit({ reason: 'PodReleased', type: 'Normal', note: 'released', regarding });

      expect(await cluster().findNamespace(regarding.namespace, options())).toBeUndefined();
    });
  });

  describe('fences', () => {
    test('where all fences stand, none is missing', async () => {
      expect(await cluster().tryFences(options())).toEqual([]);
    });

    test('whoever has the shipped rights may open gates in every namespace', async () => {
      const { namespace } = await addAccount();

      expect(await cluster().mayOpenGates(undefined, options())).toBe(true);
      expect(await cluster().mayOpenGates(namespace, options())).toBe(true);
    });
  });
}
