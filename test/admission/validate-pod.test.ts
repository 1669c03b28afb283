// Pods whose namespace the watch knows a moment late, and reviews that are large.
import { createServer } from 'node:http';
import supertest from 'supertest';
import { expect, test, vi } from 'vitest';
import type { AccountLookup } from '../../src/cluster/account-lookup.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import { createAdmissionWorld, podOf, reviewOf } from '../fakes/admission-routes.ts';

const ECR = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';
const RULE = {
  name: 'ecr',
  hosts: [ECR],
  audience: 'keyless-pull.team.example',
  exchange: { kind: 'ecr' },
  parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
  secretName: 'annotation',
};
const annotations = {
  'imagepullsecrets.preferred.jp/registry': ECR,
  'imagepullsecrets.preferred.jp/aws-role-arn': 'arn:aws:iam::111122223333:role/pull',
  'imagepullsecrets.preferred.jp/secret-name': 'chosen',
};
const namespaceWith = (inject: string) => ({
  name: 'team-a',
  labels: { 'keyless-pull.dev/inject': inject },
  isTerminating: false,
});

test.for<[known: 'opted in' | 'not opted in' | 'unknown', really: string, isAllowed: boolean]>([
  ['opted in', 'enabled', true],
  ['not opted in', 'enabled', true],
  ['unknown', 'enabled', true],
  ['not opted in', 'off', false],
  ['unknown', 'off', false],
])(
  'a Secret of a chosen name in a namespace that the watch knows as %s and that is %s passes: %s',
  async ([known, really, isAllowed]) => {
    const lookupFor = (view: ClusterView): AccountLookup => ({
      account: async (space, name) => view.account(space, name),
      namespace: async () => namespaceWith(really),
    });
    const world = createAdmissionWorld({ rules: [RULE], lookupFor });
    const { seen } = world.view;
    seen.accounts = seen.accounts.map((account) => ({ ...account, annotations }));
    seen.namespaces = known === 'unknown' ? [] : [namespaceWith(known === 'opted in' ? 'enabled' : 'off')];

    const pod = podOf(`${ECR}/app`, { imagePullSecrets: [{ name: 'chosen' }] });
    const answer = await supertest(world.handler).post('/validate/enforce').send(reviewOf(pod));

    expect(answer.body.response.allowed).toBe(isAllowed);
  },
);

test.for<[what: string, kilobytes: number, asked: number]>([
  ['large ones one after the other', 5_000, 1],
  ['small ones together', 5, 3],
])('reviews are judged, %s, while a live look is awaited', async ([, kilobytes, asked]) => {
  const { promise: look, resolve: answerLook } = Promise.withResolvers<undefined>();
  let looks = 0;
  const lookupFor = (view: ClusterView): AccountLookup => ({
    account: () => {
      looks++;
      return look;
    },
    namespace: async (name) => view.namespace(name),
  });
  const world = createAdmissionWorld({ lookupFor });
  const metadata = { name: 'web', annotations: { note: 'x'.repeat(kilobytes * 1_000) } };
  const spec = { serviceAccountName: 'unseen', imagePullSecrets: [{ name: 'nexus' }] };
  let whole = 0;
  await using server = createServer((request, response) => {
    request.once('end', () => whole++);
    world.handler(request, response);
  }).listen(0);
  const answers = [1, 2, 3].map((at) =>
    supertest(server)
      .post('/validate/warn')
      .send(reviewOf({ ...podOf(`registry.team.example:5000/app${at}`, spec), metadata }))
      .then(({ body }) => body.response.allowed),
  );
  await vi.waitFor(() => expect(whole).toBe(3));
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  const atOnce = looks;
  answerLook(undefined);

  expect(await Promise.all(answers)).toEqual([true, true, true]);
  expect([atOnce, looks]).toEqual([asked, 3]);
});
