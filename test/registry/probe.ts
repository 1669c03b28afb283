// A registry with no protocol of its own, for tests of what is around every protocol: one step, whose answer is the test's.
import * as z from 'zod';
import { families } from '../../src/registry/families.ts';
import { oauthRefusal } from '../../src/registry/refusal.ts';
import type { RegistryFamily } from '../../src/registry/registry-family.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from '../fakes/strict-server.ts';
import { exchangeAt, openWorld, problemAt, type ExchangeWish, type World } from './set-up.ts';

/** Of a good answer; `seconds` count from the request, `at` is an instant in epoch milliseconds. */
export interface Told {
  readonly user?: string;
  readonly password?: string;
  readonly seconds?: readonly number[];
  readonly at?: readonly number[];
}

const Told = z.object({
  user: z.string().default('puller'),
  password: z.string().default('a password of this registry'),
  seconds: z.array(z.number()).default([]),
  at: z.array(z.number()).default([]),
});

const LONGEST_LIFE_S = 24 * 3600;

const probeFamily: RegistryFamily = {
  ...families['token-exchange'],
  longestLife: LONGEST_LIFE_S,
  async exchange({ token, url, ask }) {
    const { data, startedAt } = await ask({
      url: url('token', '', '/login'),
      form: { subject_token: token },
      answer: Told,
      refusal: oauthRefusal,
    });
    return {
      username: data.user,
      password: new SecretText(data.password),
      expiresAt: [...data.seconds.map((seconds) => startedAt + seconds * 1000), ...data.at],
    };
  },
};

export interface Probe extends AsyncDisposable {
  readonly world: World;
  readonly server: StrictServer;
  /** What the server says while it is well: `Told`, or any other answer. */
  answer: (request: Received) => Answer | Promise<Answer>;
  exchange(wish?: Partial<ExchangeWish>): ReturnType<typeof exchangeAt>;
  problem(wish?: Partial<ExchangeWish>): ReturnType<typeof problemAt>;
}

/** `told` is the good answer, for an hour unless it says. */
export async function openProbe(told: Told = { seconds: [3600] }): Promise<Probe> {
  const world = await openWorld();
  const server = await world.use(
    createStrictServer({ clock: world.clock, answer: (request) => probe.answer(request) }),
  );
  const wished = (wish: Partial<ExchangeWish>) => ({ kind: 'token-exchange', family: probeFamily, ...wish });
  const probe: Probe = {
    world,
    server,
    answer: () => ({ body: told }),
    exchange: (wish = {}) => exchangeAt(world, server, wished(wish)),
    problem: (wish = {}) => problemAt(world, server, wished(wish)),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
  return probe;
}
