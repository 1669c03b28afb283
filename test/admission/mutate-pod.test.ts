// What the cases cannot say: what is asked of whom, and what a live look changes.
import { expect, test } from 'vitest';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import { readReview } from '../../src/admission/review.ts';
import type { AccountLookup } from '../../src/cluster/account-lookup.ts';
import type { AccountView, NamespaceView } from '../../src/core/pod-view.ts';
import { Problem } from '../../src/problem.ts';
import { podOf, reviewOf } from '../fakes/admission-routes.ts';
import { createAdmissionView } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { Rule } from '../fakes/builders.ts';

const ENABLED: NamespaceView = {
  name: 'team-a',
  labels: { 'keyless-pull.dev/inject': 'enabled' },
  isTerminating: false,
};
const BUILDER: AccountView = {
  namespace: 'team-a',
  name: 'builder',
  uid: 'a-uid',
  annotations: {},
  pullSecrets: [],
  isDeleting: false,
};
const RULE = { name: 'team', hosts: ['team.example'], audience: 'team', exchange: { kind: 'pass-through' } };
const FOR_PROD = { ...RULE, subjects: [{ namespaceSelector: { matchLabels: { tier: 'prod' } } }] };

interface World {
  namespaces?: NamespaceView[];
  accounts?: AccountView[];
  unsynced?: string[];
  rule?: object;
  live?: { account?: AccountView; namespace?: NamespaceView; error?: Problem };
  mayOpenGates?: (namespace: string) => boolean;
}

function createWorld({
  namespaces = [ENABLED],
  accounts = [BUILDER],
  unsynced = [],
  rule = RULE,
  live = {},
  mayOpenGates = () => true,
}: World = {}) {
  const asked: string[] = [];
  const find = async <Thing>(what: string, thing: Thing | undefined) => {
    asked.push(what);
    if (live.error) throw live.error;
    return thing;
  };
  const lookup: AccountLookup = {
    account: (_namespace, name) => find(`account ${name}`, live.account),
    namespace: (name) => find(`namespace ${name}`, live.namespace),
  };
  const standings: string[] = [];
  const mutate = createMutatePod({
    view: createAdmissionView({ namespaces, accounts, unsynced }),
    lookup,
    keeper: {
      standingOf(need) {
        standings.push(need.identity.uid);
        return { kind: 'pending' };
      },
    },
    settings: () => ({ rules: [Rule.parse(rule)], needsPerPod: 8 }),
    workerIsAlive: () => true,
    mayOpenGates,
    clock: createHandClock(),
  });
  const call = { signal: () => new AbortController().signal };
  const review = (image: string) => readReview(Buffer.from(JSON.stringify(reviewOf(podOf(image)))));
  return { asked, standings, judge: (image = 'team.example/app') => mutate(call, review(image)) };
}

test('a pod that needs nothing costs no look at its account', async () => {
  const { judge, asked } = createWorld({ accounts: [] });

  expect((await judge('nginx')).reason).toBe('no-needs');

  expect(asked).toEqual([]);
});

test('an account that only a live look finds counts with all that it says', async () => {
  const guarded = { ...BUILDER, annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } };
  const { judge, asked } = createWorld({ accounts: [], live: { account: guarded } });

  expect((await judge()).reason).toBe('no-needs');

  expect(asked).toEqual(['account builder']);
});

test('nobody asks the keeper about an account that has no uid', async () => {
  const { judge, standings } = createWorld({ accounts: [] });

  expect((await judge()).reason).toBe('gated');

  expect(standings).toEqual([]);
});

test('before the watches have listed, a failed look is no verdict', async () => {
  const error = new Problem('not-ready', 'no');
  const { judge } = createWorld({ accounts: [], unsynced: ['serviceaccounts'], live: { error } });

  await expect(judge()).rejects.toBe(error);
});

test('a namespace that nobody has seen yet is believed to have opted in, as the webhook’s selector said', async () => {
  const { judge, asked } = createWorld({ namespaces: [] });

  expect((await judge()).reason).toBe('gated');

  expect(asked).toEqual([]);
});

test('a namespace that nobody has seen yet is looked at where a rule reads its labels', async () => {
  const prod = { ...ENABLED, labels: { ...ENABLED.labels, tier: 'prod' } };
  const { judge, asked } = createWorld({ namespaces: [], rule: FOR_PROD, live: { namespace: prod } });

  expect((await judge()).reason).toBe('gated');

  expect(asked).toEqual(['namespace team-a']);
});

test('labels that decide and cannot be had are no verdict: another rule would be another name', async () => {
  const error = new Problem('deadline', 'too late');
  const { judge } = createWorld({ namespaces: [], rule: FOR_PROD, live: { error } });

  await expect(judge()).rejects.toBe(error);
});

test('a namespace that opted in a moment ago is looked at before it is believed to be out', async () => {
  const { judge, asked } = createWorld({
    namespaces: [{ ...ENABLED, labels: {} }],
    live: { namespace: ENABLED },
  });

  expect((await judge()).reason).toBe('gated');

  expect(asked).toEqual(['namespace team-a']);
});

test('a namespace that has not opted in stays so when nobody can be asked', async () => {
  const live = { error: new Problem('not-ready', 'no') };
  const { judge } = createWorld({ namespaces: [{ ...ENABLED, labels: {} }], live });

  expect((await judge()).reason).toBe('not-opted-in');
});

test('where the worker has no right to open gates a pod is not held, and its user is told', async () => {
  const asked: string[] = [];
  const mayOpenGates = (namespace: string) => {
    asked.push(namespace);
    return false;
  };

  const verdict = await createWorld({ mayOpenGates }).judge();

  expect(verdict).toMatchObject({
    reason: 'given-credentials',
    warnings: [
      'the worker has no right to open gates in team-a: this pod is not held until its credentials exist, and may fail to pull',
    ],
  });
  expect(JSON.stringify(verdict)).not.toContain('schedulingGates');
  expect(asked).toEqual(['team-a']);
});
