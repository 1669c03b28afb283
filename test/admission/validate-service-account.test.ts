// Accounts when not everything is known, or nothing works: a new namespace gets its account whatever happens.
import supertest from 'supertest';
import { describe, expect, test } from 'vitest';
import type { AccountLookup } from '../../src/cluster/account-lookup.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import { Problem } from '../../src/problem.ts';
import { createAdmissionWorld, reviewOf } from '../fakes/admission-routes.ts';

const OPTED_IN = { name: 'team-b', labels: { 'keyless-pull.dev/inject': 'enabled' }, isTerminating: false };

function accountReview(namespace: string, object: object, request: object = {}) {
  const kind = { group: '', version: 'v1', kind: 'ServiceAccount' };
  return reviewOf({ metadata: { name: 'app', namespace }, ...object }, { kind, namespace, ...request });
}

const malformed = { metadata: { name: 'app', annotations: { 'keyless-pull.dev/prewarm': 'yes' } } };

function lookups(namespace: () => ReturnType<AccountLookup['namespace']>) {
  const asked: string[] = [];
  const lookupFor = (view: ClusterView): AccountLookup => ({
    account: async (space, name) => view.account(space, name),
    namespace: (name) => {
      asked.push(name);
      return namespace();
    },
  });
  return { asked, lookupFor };
}

async function post(world: ReturnType<typeof createAdmissionWorld>, path: string, review: object) {
  const answer = await supertest(world.handler).post(path).send(review);
  return answer.body.response as { allowed: boolean; status?: { message: string }; warnings?: string[] };
}

describe('annotations in a namespace', () => {
  test('that the watch knows as opted in are judged without asking anybody', async () => {
    const { asked, lookupFor } = lookups(async () => undefined);

    const answer = await post(
      createAdmissionWorld({ lookupFor }),
      '/validate/audit',
      accountReview('team-a', malformed),
    );

    expect(answer.status?.message).toBe('annotation keyless-pull.dev/prewarm: write "true" or "false"');
    expect(asked).toEqual([]);
  });

  test('whose label the watch has not seen are judged after a live look', async () => {
    const { asked, lookupFor } = lookups(async () => OPTED_IN);

    const answer = await post(
      createAdmissionWorld({ lookupFor }),
      '/validate/enforce',
      accountReview('team-b', malformed),
    );

    expect(answer.allowed).toBe(false);
    expect(asked).toEqual(['team-b']);
  });

  test('that nobody can ask about now are let through', async () => {
    const { lookupFor } = lookups(() => Promise.reject(new Problem('not-ready', 'no')));

    const answer = await post(
      createAdmissionWorld({ lookupFor }),
      '/validate/enforce',
      accountReview('team-b', malformed),
    );

    expect(answer.allowed).toBe(true);
  });
});

test('a hundred thousand pull secrets of an account, before as after, are judged in no time', async () => {
  const imagePullSecrets = Array.from({ length: 100_000 }, (_, at) => ({ name: `s${at}` }));
  const oldObject = { metadata: { name: 'app' }, imagePullSecrets };
  const world = createAdmissionWorld();
  world.view.seen.namespaces = [
    { ...OPTED_IN, labels: { 'keyless-pull.dev/static-pull-secrets': 'enforce' } },
  ];
  const started = performance.now();

  const answer = await post(
    world,
    '/validate/enforce',
    accountReview(
      'team-b',
      { imagePullSecrets: [...imagePullSecrets, { name: 'more' }] },
      { operation: 'UPDATE', oldObject },
    ),
  );

  expect(answer.status?.message).toContain('"more"');
  // A second is usual; looking through the old list for each of the new one takes twenty.
  expect(performance.now() - started).toBeLessThan(10_000);
});

describe('whatever fails', () => {
  const broken = lookups(() => {
    throw new TypeError('a bug of ours');
  });
  const unknown = {
    account: async () => Promise.reject(new Problem('not-ready', 'no')),
    namespace: async () => undefined,
  };

  test('an account is admitted, with a note, also where pods are not', async () => {
    const world = createAdmissionWorld({ lookupFor: broken.lookupFor });

    const answer = await post(world, '/validate/enforce', accountReview('team-b', malformed));

    expect(answer).toMatchObject({ allowed: true, auditAnnotations: { 'not-checked': 'fault' } });
    expect(world.answers).toEqual(['validate/enforce allow fault']);
  });

  test('a workload is admitted, with a note', async () => {
    const world = createAdmissionWorld({ lookupFor: () => unknown });
    const kind = { group: 'apps', version: 'v1', kind: 'Deployment' };
    const spec = { template: { spec: { serviceAccountName: 'unseen' } } };

    const answer = await post(
      world,
      '/validate/enforce',
      reviewOf({ metadata: { name: 'web' }, spec }, { kind }),
    );

    expect(answer).toMatchObject({ allowed: true, auditAnnotations: { 'not-checked': 'not-ready' } });
  });
});

test.each([
  ['deleted', { operation: 'DELETE' }],
  ['asked for a token', { subResource: 'token' }],
])('an account that is %s is none of the policy', async (_, request) => {
  const answer = await post(
    createAdmissionWorld(),
    '/validate/enforce',
    accountReview('team-a', malformed, request),
  );

  expect(answer.allowed).toBe(true);
});

test("accounts of Kubernetes' own namespaces are left alone", async () => {
  const world = createAdmissionWorld();

  await post(world, '/validate/enforce', accountReview('kube-system', malformed));

  expect(world.answers).toEqual(['validate/enforce allow protected-namespace']);
});
