// Accounts and namespaces that a review names: from the watch, and on a miss by one live look that all who wait share.
// Anybody who reaches our port may name what does not exist, so everything here is bounded.
import { Problem } from '../problem.ts';
import type { AccountView, NamespaceView } from '../core/pod-view.ts';
import type { Clock } from '../clock.ts';
import { createCallGate } from './call-gate.ts';
import type { CallOptions, Cluster } from './cluster.ts';

export interface AccountLookup {
  /** Undefined if there is no such account. @throws Problem not-ready: it cannot be known now; deadline: `signal` ended */
  account(namespace: string, name: string, signal: AbortSignal): Promise<AccountView | undefined>;
  /** As `account`. `isEnough` refuses what the watch knows when it may be a moment old. */
  namespace(
    name: string,
    signal: AbortSignal,
    isEnough?: (known: NamespaceView) => boolean,
  ): Promise<NamespaceView | undefined>;
}

/** Half of what the API server gives all of our calls: issuing goes on meanwhile. */
const MOST_IN_FLIGHT = 8;
/** In flight or waiting for their turn: what 8 places get done in the time of one review, at 50 ms each. */
const MOST_UNDER_WAY = 128;
/** Live looks per second that go on for ever, and at once: 200 new accounts in one rollout are looked up in two seconds. */
const RATE_PER_SECOND = 50;
const BURST = 100;
/** What a live look found counts so long; the watch is there sooner as a rule, and goes first. */
const REMEMBERED_MS = 1_000;
/** 1,000 answers at 50 a second are 20 s worth: what falls out has long expired. */
const MOST_REMEMBERED = 1_000;
/** A live look that takes longer is of no use to a review, whose own time is 1 s. */
const LOOK_MS = 900;

type Found<Thing> = { readonly thing: Thing | undefined } | { readonly problem: Problem };
interface Answer<Thing> {
  readonly found: Promise<Found<Thing>>;
  /** On the monotonic clock; infinite while the look is under way. */
  until: number;
}

export function createAccountLookup({
  cluster,
  clock,
}: {
  readonly cluster: Pick<Cluster, 'view' | 'findAccount' | 'findNamespace'>;
  readonly clock: Clock;
}): AccountLookup {
  const accounts = new Map<string, Answer<AccountView>>();
  const namespaces = new Map<string, Answer<NamespaceView>>();
  const gate = createCallGate(MOST_IN_FLIGHT);
  let underWay = 0;
  let tokens = BURST;
  let filledAt = clock.monotonic();

  /** One live look per key at a time; its outcome is shared with all who ask in the next second. */
  async function look<Thing>(
    answers: Map<string, Answer<Thing>>,
    key: string,
    signal: AbortSignal,
    find: (options: CallOptions) => Promise<Thing | undefined>,
  ): Promise<Thing | undefined> {
    const known = answers.get(key);
    const answer = known && clock.monotonic() < known.until ? known : start(answers, key, find);
    const found = await unlessAborted(answer.found, signal);
    if ('problem' in found) throw found.problem;
    return found.thing;
  }

  function start<Thing>(
    answers: Map<string, Answer<Thing>>,
    key: string,
    find: (options: CallOptions) => Promise<Thing | undefined>,
  ): Answer<Thing> {
    if (underWay >= MOST_UNDER_WAY || !takeToken()) {
      throw new Problem('not-ready', 'too many unknown accounts and namespaces are being looked up');
    }
    underWay++;
    const answer: Answer<Thing> = {
      found: ask(find).finally(() => {
        underWay--;
        answer.until = clock.monotonic() + REMEMBERED_MS;
      }),
      until: Number.POSITIVE_INFINITY,
    };
    answers.delete(key);
    answers.set(key, answer);
    const [oldest] = answers.keys();
    if (answers.size > MOST_REMEMBERED && oldest !== undefined) answers.delete(oldest);
    return answer;
  }

  /** No caller's signal: the first one's would end the look for all. A failure is a value, for nobody may be waiting. */
  async function ask<Thing>(
    find: (options: CallOptions) => Promise<Thing | undefined>,
  ): Promise<Found<Thing>> {
    const signal = clock.deadline(LOOK_MS);
    try {
      using _place = await gate.enter('ordinary', signal);
      return { thing: await find({ signal }) };
    } catch (cause) {
      return {
        problem: new Problem(
          'not-ready',
          'an account or namespace is not known yet, and the API server could not be asked',
          { cause },
        ),
      };
    }
  }

  function takeToken(): boolean {
    const now = clock.monotonic();
    tokens = Math.min(BURST, tokens + ((now - filledAt) / 1000) * RATE_PER_SECOND);
    filledAt = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  }

  return {
    async account(namespace, name, signal) {
      const known = cluster.view.account(namespace, name);
      if (known) return known;
      const find = (options: CallOptions) => cluster.findAccount(namespace, name, options);
      return look(accounts, `${namespace}/${name}`, signal, find);
    },
    async namespace(name, signal, isEnough = () => true) {
      const known = cluster.view.namespace(name);
      if (known && isEnough(known)) return known;
      return look(namespaces, name, signal, (options) => cluster.findNamespace(name, options));
    },
  };
}

/** The promise, or a Problem once this caller's own time is up. The promise must not reject. */
async function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const giveUp = () =>
    reject(new Problem('deadline', 'the review ran out of time while its account was looked up'));
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
