// The cluster of src/ keeps the contract on a real API server, with nothing but the worker's rights and fences.
import { expect, test } from 'vitest';
import { describeCluster } from '../cluster-contract.ts';
import { openKubeWorld, type KubeWorld } from './kube-world.ts';

let opened: KubeWorld | undefined;
const { cluster, options, addAccount } = describeCluster(async () => (opened = await openKubeWorld()));
const world = () => {
  if (!opened) throw new Error('the world is not open');
  return opened;
};

test('what changes while the API server is away is seen when it is back', async () => {
  const { namespace, name } = await addAccount();
  await world().eventually('the account', () => cluster().view.account(namespace, name));

  await world().controlPlane.restartApiServer();
  await world().annotateAccount(namespace, name, { 'keyless-pull.dev/role-arn': 'after' });

  await world().eventually(
    'the annotation',
    () => cluster().view.account(namespace, name)?.annotations['keyless-pull.dev/role-arn'],
  );
  expect(world().restarts).toContain('serviceaccounts');
});

test('a fence that somebody removes is named', async () => {
  const bindings = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings';

  expect(await cluster().tryFences(options())).toEqual([]);
  await world().controlPlane.admin('DELETE', `${bindings}/keyless-pull-worker-secrets`);

  await world().eventually('the missing fence on Secrets', async () =>
    (await cluster().tryFences(options())).join() === 'secrets' ? true : undefined,
  );
  await world().controlPlane.admin('DELETE', `${bindings}/keyless-pull-worker-token-requests`);

  await world().eventually('both missing fences', async () =>
    (await cluster().tryFences(options())).join() === 'secrets,tokens' ? true : undefined,
  );
});
