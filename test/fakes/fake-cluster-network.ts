// Between one client and the fake cluster: every call is written down, asked about, and may get lost with its process
// or its network.
import type { Clock } from '../../src/clock.ts';
import type { CallOptions } from '../../src/cluster/cluster.ts';
import { Problem } from '../../src/problem.ts';
import type { FakeCalls } from './fake-cluster-calls.ts';

export type FakeVerb = keyof FakeCalls;

/** What a call speaks of, as far as it has it. Never a token or a Secret's content. */
export interface FakeCallDetails {
  readonly namespace?: string;
  readonly name?: string;
  readonly account?: string;
  readonly audience?: string;
  readonly dryRun?: boolean;
  readonly urgent?: boolean;
  /** Of an event, or of the status that is written. */
  readonly reason?: string;
}

export interface FakeCall {
  readonly client: string;
  readonly verb: FakeVerb;
  readonly details: FakeCallDetails;
  /** Epoch milliseconds. */
  readonly at: number;
}

/**
 * What becomes of a call. `die-before` and `die-after`: the whole client is killed before the state changes, or after
 * it has changed and before the answer is read. `lose-answer`: the state changes, the caller is told
 * cluster-unreachable.
 */
export type Fate = 'die-before' | 'die-after' | 'lose-answer' | undefined;

/** Asked before each call. May wait (the call's deadline goes on), and may throw a Problem that the caller then gets. */
export type CallHook = (call: FakeCall) => Fate | void | Promise<Fate | void>;

export interface FakeNetwork {
  readonly run: <Answer>(
    verb: FakeVerb,
    details: FakeCallDetails,
    options: CallOptions,
    act: () => Promise<Answer>,
  ) => Promise<Answer>;
  readonly isDead: boolean;
  readonly isCut: boolean;
  readonly kill: () => void;
  readonly cut: () => void;
  readonly heal: () => void;
}

export interface FakeNetworkTools {
  readonly clock: Clock;
  readonly hook: CallHook;
  readonly write: (call: FakeCall) => void;
}

export function createFakeNetwork(client: string, { clock, hook, write }: FakeNetworkTools): FakeNetwork {
  let isDead = false;
  let isCut = false;
  let healed = createPromise();

  /** Never for the dead; for the cut off when the deadline comes or the network is back. */
  async function pass(signal: AbortSignal): Promise<void> {
    if (isDead) await never();
    if (isCut) await Promise.race([healed.promise, whenAborted(signal)]);
  }

  return {
    async run(verb, details, { signal, urgent }, act) {
      if (isDead) await never();
      if (signal.aborted) throw new Problem('deadline', 'the call to the API server came too late');
      const call = { client, verb, at: clock.now(), details: { ...details, ...(urgent && { urgent }) } };
      write(call);
      // Not even a call that succeeds at once is answered in the same step.
      await Promise.resolve();
      const asked = hook(call);
      const fate = asked instanceof Promise ? await Promise.race([asked, whenAborted(signal)]) : asked;
      if (fate === 'die-before') isDead = true;
      await pass(signal);
      const answer = await act();
      if (fate === 'die-after') isDead = true;
      await pass(signal);
      if (fate === 'lose-answer')
        throw new Problem('cluster-unreachable', 'the API server cannot be reached');
      return answer;
    },
    get isDead() {
      return isDead;
    },
    get isCut() {
      return isCut;
    },
    kill: () => {
      isDead = true;
    },
    cut: () => {
      isCut = true;
    },
    heal() {
      isCut = false;
      healed.reject(new Problem('cluster-unreachable', 'the API server cannot be reached'));
      healed = createPromise();
    },
  };
}

function createPromise(): { readonly promise: Promise<never>; reject(reason: Problem): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  return { promise, reject };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new Problem('deadline', 'the call to the API server ran out of time'));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
