// Calls of the worker whose answers are not what a quiet API server gives.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { createKubeCalls } from '../../src/cluster/kube-calls.ts';
import { createKubeView, type KubeView } from '../../src/cluster/kube-view.ts';
import { viewPod } from '../../src/core/pod-view.ts';
import { recordManifest, viewRecord } from '../../src/core/pull-credential-record.ts';
import { secretManifest } from '../../src/core/pull-secret.ts';
import { createLog } from '../../src/log.ts';
import { problemOf } from '../cluster-contract.ts';
import { needOf } from '../fakes/builders.ts';
import { startStubApiServer, type StubApiServer } from './stub-api-server.ts';

let stub: StubApiServer;
let view: KubeView;
let calls: Omit<Cluster, 'view'>;

beforeEach(async () => {
  stub = await startStubApiServer();
  const tools = { connection: stub.connect(), clock: stub.clock, log: createLog('silent') };
  view = createKubeView({ pods: false }, { ...tools, onRestart: () => undefined });
  calls = createKubeCalls({ ...tools, view, namespace: 'keyless-pull', ownAudiences: [] });
});
afterEach(() => stub[Symbol.asyncDispose]());

const need = needOf({ namespace: 'team-a', name: 'builder', uid: 'uid-1' });

function record(resourceVersion: string) {
  const manifest = recordManifest(need);
  return { ...manifest, metadata: { ...(manifest['metadata'] as object), uid: 'uid-2', resourceVersion } };
}

test('a status that meets a conflict brings the record as it is now, though no watch has told of it', async () => {
  const nothing = { issuedAt: 0, expiresAt: 0, refreshAt: 0, tokenId: '', secretUid: '' };
  const told = { isReady: false, reason: 'exchange-refused', message: 'no', changedAt: 1 } as const;
  const status = { ...nothing, ...told, digest: need.digest };
  stub.handle = (request) =>
    request.method === 'PUT'
      ? request.refuse(409, 'Conflict')
      : request.answer(200, { items: [record('20')] });

  const options = { signal: stub.clock.deadline(60_000) };
  await problemOf(calls.updateRecordStatus(viewRecord(record('10')), status, options), 'cluster-conflict');

  expect(view.record('team-a', need.secretName)?.resourceVersion).toBe('20');
  expect(stub.requests.map(({ method }) => method)).toEqual(['PUT', 'GET']);
});

const denials = {
  ours: "pods \"app\" is invalid: : ValidatingAdmissionPolicy 'keyless-pull-worker-pods' with binding 'b' denied request: no",
  others:
    "pods \"app\" is invalid: : ValidatingAdmissionPolicy 'pods-of-others' with binding 'b' denied request: no",
  uid: 'Operation cannot be fulfilled: the UID in the precondition does not match',
} as const;

test('a gate that our fence, or another uid, keeps us from is gone; one that the policy of others does is not', async () => {
  const pod = viewPod({ metadata: { namespace: 'team-a', name: 'app', uid: 'uid-3' } });
  const remove = (message: string) => {
    stub.handle = (request) => request.refuse(422, 'Invalid', { message });
    return calls.removeGate(pod, { signal: stub.clock.deadline(60_000) });
  };

  expect(await remove(denials.ours)).toBe('gone');
  expect(await remove(denials.uid)).toBe('gone');
  expect((await problemOf(remove(denials.others), 'cluster-refused')).message).toContain('pods-of-others');
});

test('a Secret that the policy of others keeps us from writing is not called one that is not ours', async () => {
  const update = (message: string) => {
    stub.handle = (request) => request.refuse(422, 'Invalid', { message });
    return calls.updateSecret(secretManifest(need, 'uid-2'), { signal: stub.clock.deadline(60_000) });
  };

  await problemOf(update(denials.ours), 'secret-not-ours');
  await problemOf(update(denials.others), 'cluster-refused');
});
