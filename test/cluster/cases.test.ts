// Every case whose pod is patched, posted to the real API server (dry run): it takes the patched pod wherever it takes
// the pod as it was written.
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import { fieldsOf } from '../../src/core/fields.ts';
import { viewPod } from '../../src/core/pod-view.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { readCase } from '../admission/case-file.ts';
import { applyStrictly } from '../fakes/admission-pod-patch.ts';
import { createAdmissionView, createBlindLookup } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const FOLDER = new URL('../cases/', import.meta.url);
const cases = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => ({ name, given: readCase(new URL(name, FOLDER).pathname) }))
  .filter(({ given: { header } }) => header.path === '/mutate' && header.expect.verdict === 'patched');

let controlPlane: ControlPlane;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  const namespaces = new Set(cases.map(({ given }) => given.view.namespace));
  for (const name of namespaces) {
    await controlPlane.admin('POST', '/api/v1/namespaces', { metadata: { name } });
    const accounts = cases
      .filter(({ given }) => given.view.namespace === name)
      .map(({ given }) => given.view.serviceAccount);
    for (const account of new Set(accounts)) {
      await controlPlane.admin('POST', `/api/v1/namespaces/${name}/serviceaccounts`, {
        metadata: { name: account },
      });
    }
  }
});

afterAll(() => controlPlane[Symbol.asyncDispose]());

/** Without what only the API server itself may have written. */
async function post(pod: unknown) {
  const { namespace, name } = viewPod(pod);
  const {
    uid: _uid,
    resourceVersion: _version,
    ownerReferences: _owners,
    ...metadata
  } = fieldsOf(fieldsOf(pod)['metadata']);
  const body = { ...fieldsOf(pod), metadata: name === '*' ? { ...metadata, name: 'named' } : metadata };
  return controlPlane.admin<{ message?: string }>(
    'POST',
    `/api/v1/namespaces/${namespace}/pods?dryRun=All`,
    body,
  );
}

describe('the real API server', () => {
  let takenAsWritten = 0;

  test.each(cases)('takes the patched pod of $name', async ({ given }) => {
    const { namespaces, accounts, records, rules, now, header } = given;
    const clock = createHandClock(now);
    const view = createAdmissionView({ namespaces, accounts, records });
    const mutatePod = createMutatePod({
      view,
      lookup: createBlindLookup(view),
      keeper: createKeeper({ view, clock }),
      settings: () => ({ rules, needsPerPod: header.needsPerPod }),
      workerIsAlive: () => header.worker === 'alive',
      clock,
    });
    const request = {
      uid: 'u',
      group: '',
      kind: 'Pod',
      subResource: '',
      name: '',
      namespace: given.view.namespace,
      operation: 'CREATE',
      dryRun: true,
    };
    const verdict = await mutatePod(
      { signal: () => new AbortController().signal },
      { ...request, object: given.object, oldObject: null },
    );
    const operations = verdict.kind === 'patch' ? verdict.operations : [];

    const asWritten = await post(given.object);
    const patched = await post(applyStrictly(given.object, operations));

    expect(operations.length).toBeGreaterThan(0);
    if (asWritten.status === 201) {
      takenAsWritten++;
      expect(patched.status, patched.body.message).toBe(201);
    } else if (patched.status !== 201) {
      // Some cases are about pods that no API server takes: the patch adds no fault of its own.
      expect(patched.body.message).toBe(asWritten.body.message);
    }
  });

  test('takes nearly all of them as they were written, so that the checks above mean something', () => {
    expect(takenAsWritten).toBeGreaterThan(cases.length * 0.85);
  });
});
