// src/cluster/account-lookup.ts: what a review may cost the API server.
import { expect, test } from 'vitest';
import { createAccountLookup } from '../../src/cluster/account-lookup.ts';
import type { CallOptions } from '../../src/cluster/cluster.ts';
import type { AccountView, NamespaceView } from '../../src/core/pod-view.ts';
import { createAdmissionView } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const BUILDER: AccountView = {
  namespace: 'team-a',
  name: 'builder',
  uid: 'a-uid',
  annotations: {},
  pullSecrets: [],
  isDeleting: false,
};
const TEAM: NamespaceView = { name: 'team-a', labels: { tier: 'prod' }, isTerminating: false };

/** A cluster whose answers the test gives, one by one. */
function createWorld() {
  const clock = createHandClock();
  const view = createAdmissionView();
  const looks: {
    name: string;
    signal: AbortSignal;
    answer: (account?: AccountView) => void;
    fail: (error: Error) => void;
  }[] = [];
  const findAccount = (_namespace: string, name: string, { signal }: CallOptions) => {
    const { promise, resolve, reject } = Promise.withResolvers<AccountView | undefined>();
    looks.push({ name, signal, answer: resolve, fail: reject });
    return promise;
  };
  let namespaceLooks = 0;
  const findNamespace = async () => {
    namespaceLooks++;
    return TEAM;
  };
  const lookup = createAccountLookup({ cluster: { view, findAccount, findNamespace }, clock });
  const ask = (name = 'builder', signal = new AbortController().signal) =>
    lookup.account('team-a', name, signal);
  return { clock, view, looks, lookup, ask, namespaceLooks: () => namespaceLooks };
}

/** Lets what is under way go on as far as it can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('an account that the watch knows costs nothing', async () => {
  const { view, ask, looks } = createWorld();
  view.seen.accounts.push(BUILDER);

  expect(await ask()).toBe(BUILDER);

  expect(looks).toHaveLength(0);
});

test('a hundred pods that wait for one account cost one live look', async () => {
  const { ask, looks } = createWorld();

  const waiting = Array.from({ length: 100 }, () => ask());
  await settle();
  looks[0]?.answer(BUILDER);

  expect(new Set(await Promise.all(waiting))).toEqual(new Set([BUILDER]));
  expect(looks).toHaveLength(1);
});

test('who goes away ends nobody else’s look', async () => {
  const { ask, looks } = createWorld();
  const impatient = new AbortController();

  const first = ask('builder', impatient.signal);
  const second = ask();
  await settle();
  impatient.abort();

  await expect(first).rejects.toMatchObject({ code: 'deadline' });
  expect(looks[0]?.signal.aborted).toBe(false);
  looks[0]?.answer(BUILDER);
  expect(await second).toBe(BUILDER);
});

test('an account that does not exist is not looked for again for a second', async () => {
  const { clock, ask, looks } = createWorld();

  const first = ask();
  await settle();
  looks[0]?.answer(undefined);
  expect(await first).toBeUndefined();
  expect(await ask()).toBeUndefined();
  expect(looks).toHaveLength(1);

  await clock.advance(1_000);
  const later = ask();
  await settle();
  looks[1]?.answer(BUILDER);
  expect(await later).toBe(BUILDER);
});

test('what the watch brings goes before what was remembered', async () => {
  const { view, ask, looks } = createWorld();

  const first = ask();
  await settle();
  looks[0]?.answer(undefined);
  await first;
  view.seen.accounts.push(BUILDER);

  expect(await ask()).toBe(BUILDER);
});

test('a look that fails is not-ready for all who wait, and keeps its cause to itself', async () => {
  const { ask, looks } = createWorld();

  const waiting = [ask(), ask()];
  await settle();
  looks[0]?.fail(new Error('body of the API server'));

  for (const one of waiting) {
    await expect(one).rejects.toMatchObject({
      code: 'not-ready',
      message: expect.not.stringContaining('body'),
    });
  }
});

test('a look that never ends is given up before the review is', async () => {
  const { clock, ask, looks } = createWorld();

  const waiting = ask();
  await settle();
  expect(looks[0]?.signal.aborted).toBe(false);
  await clock.advance(900);

  expect(looks[0]?.signal.aborted).toBe(true);
  looks[0]?.fail(new Error('aborted'));
  await expect(waiting).rejects.toMatchObject({ code: 'not-ready' });
});

test('eight looks are in flight at once, a hundred may begin at once, and fifty more each second', async () => {
  const { clock, ask, looks } = createWorld();
  const failures: unknown[] = [];
  const flood = () => {
    for (let at = 0; at < 500; at++)
      ask(`stranger-${at}-${looks.length}`).catch((error) => failures.push(error));
  };

  flood();
  await settle();
  expect(looks).toHaveLength(8);
  expect(failures).toHaveLength(400);
  expect(failures[0]).toMatchObject({ code: 'not-ready' });
  for (let at = 0; at < looks.length; at++) {
    looks[at]?.answer(undefined);
    await settle();
  }
  expect(looks).toHaveLength(100);

  await clock.advance(1_000);
  flood();
  for (let at = 100; at < looks.length || at === 100; at++) {
    await settle();
    looks[at]?.answer(undefined);
  }
  expect(looks).toHaveLength(150);
});

test('a namespace is looked at anew when what the watch knows is not enough', async () => {
  const { view, lookup, namespaceLooks } = createWorld();
  view.seen.namespaces.push({ ...TEAM, labels: {} });
  const signal = new AbortController().signal;

  expect((await lookup.namespace('team-a', signal))?.labels).toEqual({});
  expect(namespaceLooks()).toBe(0);
  expect(await lookup.namespace('team-a', signal, ({ labels }) => labels['tier'] === 'prod')).toEqual(TEAM);
  expect(namespaceLooks()).toBe(1);
});
