// What the tests of this folder start with: a cluster's issuer, a clock, and an exchange with a double of a registry that
// goes the whole way, from the rule in the config's words to the credential or the problem.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { tokenSecondsOf, type Credential } from '../../src/core/pull-credential.ts';
import { isProblem, type Problem } from '../../src/problem.ts';
import { createExchange, type ExchangeInput } from '../../src/registry/exchange.ts';
import { createHttpCall, type HttpCall } from '../../src/registry/http-call.ts';
import type { RegistryFamily } from '../../src/registry/registry-family.ts';
import { SecretText } from '../../src/secret-text.ts';
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import { createFakeIssuer, type FakeIssuer, type TokenWishes } from '../fakes/fake-issuer.ts';
import { createHandClock, type HandClock } from '../fakes/hand-clock.ts';
import type { StrictServer } from '../fakes/strict-server.ts';

export const ACCOUNT = {
  namespace: 'team-a',
  name: 'builder',
  uid: '0a1b2c3d-0000-4000-8000-000000000001',
} as const;
export const SUBJECT = 'system:serviceaccount:team-a:builder';
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3600_000;

/** A hand clock on which who sleeps wakes at once: the time passes by itself, and is written down. */
export interface HastyClock extends HandClock {
  /** How long each sleep was to be, in milliseconds, in order. */
  readonly pauses: number[];
}

function createHastyClock(): HastyClock {
  const clock = createHandClock();
  const pauses: number[] = [];
  const sleep: Clock['sleep'] = async (ms, signal) => {
    signal?.throwIfAborted();
    pauses.push(ms);
    await clock.advance(ms);
    signal?.throwIfAborted();
  };
  return {
    ...clock,
    pauses,
    sleep,
    get chance() {
      return clock.chance;
    },
    set chance(value) {
      clock.chance = value;
    },
  };
}

export interface World extends AsyncDisposable {
  readonly clock: HastyClock;
  readonly issuer: FakeIssuer;
  /** What the doubles of this world trust: this issuer, its audience, the account `team-a/builder`. */
  readonly trust: {
    readonly issuer: FakeIssuer;
    readonly audience: string;
    readonly subjects: readonly string[];
    readonly clock: Clock;
  };
  readonly http: HttpCall;
  /** ServiceAccount tokens that were sent so far, in order; and any other text that must never be shown. */
  readonly secrets: string[];
  /** Writes a file that ends with the world, and returns its path. */
  file(name: string, text: string): string;
  /** Ends with the world, the last one first. */
  use<Thing extends AsyncDisposable>(thing: Thing | Promise<Thing>): Promise<Thing>;
}

/** `clock` starts at a Saturday noon in November 2026, whatever the machine says; certificates are good for both. */
export async function openWorld({
  audience = 'https://registry.team.example',
  algorithm,
  proxy,
}: {
  audience?: string;
  algorithm?: 'ES256' | 'RS256';
  /** As `createHttpCall` takes it. */
  proxy?: Readonly<Record<string, string>>;
} = {}): Promise<World> {
  const stack = new AsyncDisposableStack();
  const clock = createHastyClock();
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const issuer = stack.use(await createFakeIssuer({ clock, audience, ...(algorithm && { algorithm }) }));
  return {
    clock,
    issuer,
    trust: { issuer, audience, subjects: [SUBJECT], clock },
    http: createHttpCall(proxy),
    secrets: [],
    file(name, text) {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    },
    use: async (thing) => stack.use(await thing),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export interface ExchangeWish {
  readonly kind: string;
  /** As the image names it; the double's own unless said. */
  readonly host?: string;
  /** The rule gives them, as `{ from: rule, value }`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Merged over kind, endpoint (the double's) and certificateAuthorityFile (its CA). */
  readonly exchange?: Readonly<Record<string, unknown>>;
  /** Merged over the whole rule, in the config's words. */
  readonly rule?: Readonly<Record<string, unknown>>;
  readonly account?: {
    readonly namespace?: string;
    readonly name?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  /** Over the claims of a good token of this account, which lives as long as the family asks. */
  readonly token?: TokenWishes;
  /** Instead of the kind's own, for tests of the engine. */
  readonly family?: RegistryFamily;
  /** Ends it from outside. */
  readonly signal?: AbortSignal;
  /** Of the world unless said. */
  readonly http?: HttpCall;
}

/** What an exchange is given, from a rule that sends all requests to the double. */
export async function inputFor(
  world: World,
  double: Pick<StrictServer, 'url' | 'host' | 'certificateAuthorityPem'>,
  { kind, host = double.host, parameters = {}, exchange, rule: wish, account = {}, token = {} }: ExchangeWish,
): Promise<ExchangeInput> {
  const rule = ruleFrom({
    hosts: [host],
    audience: world.issuer.audience,
    exchange: {
      kind,
      endpoint: double.url,
      certificateAuthorityFile: world.file(
        `ca-${new URL(double.url).port}.pem`,
        double.certificateAuthorityPem,
      ),
      ...exchange,
    },
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([key, value]) => [key, { from: 'rule', value }]),
    ),
    ...wish,
  });
  const { namespace, name, uid, annotations = {} } = { ...ACCOUNT, annotations: undefined, ...account };
  const issuedAt = Math.floor(world.clock.now() / 1000);
  const expiresAt = issuedAt + tokenSecondsOf(rule);
  const claims = { sub: `system:serviceaccount:${namespace}:${name}`, exp: expiresAt, ...token.claims };
  const text = await world.issuer.token({ ...token, claims });
  world.secrets.push(text);
  return {
    token: new SecretText(text),
    issuedAt: issuedAt * 1000,
    expiresAt: expiresAt * 1000,
    planned: plannedOf({ namespace, name, uid, annotations }, rule, host),
  };
}

/** One whole exchange. @throws Problem */
export async function exchangeAt(
  world: World,
  double: Pick<StrictServer, 'url' | 'host' | 'certificateAuthorityPem'>,
  wish: ExchangeWish,
): Promise<Credential> {
  const input = await inputFor(world, double, wish);
  const { family, kind, http = world.http } = wish;
  const exchange = createExchange({ http, ...(family && { known: { [kind]: family } }) });
  const signal = wish.signal ?? new AbortController().signal;
  const credential = await exchange({ clock: world.clock, signal }, input);
  expectNothingShown(credential, credential.password.reveal(), ...world.secrets);
  return credential;
}

/** The problem that such an exchange ends with, of which nothing secret was found. */
export async function problemAt(
  world: World,
  double: Pick<StrictServer, 'url' | 'host' | 'certificateAuthorityPem'>,
  wish: ExchangeWish,
): Promise<Problem> {
  const problem = await problemOf(exchangeAt(world, double, wish));
  expectNothingShown(problem, ...world.secrets);
  return problem;
}

/** The Problem that a promise rejects with; any other end is the test's failure. */
export async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const error: unknown = await promise.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  );
  if (!isProblem(error)) throw error;
  return error;
}

/** Every way in which a thing could come to be printed, whole causes included. */
function printsOf(thing: unknown): string {
  const prints = [inspect(thing, { depth: null, showHidden: true }), String(thing), JSON.stringify(thing)];
  for (let at = thing; at instanceof Error; at = at.cause) {
    prints.push(
      at.message,
      at.stack ?? '',
      JSON.stringify(at),
      JSON.stringify(Object.entries(at)),
      inspect(at, { depth: null }),
    );
  }
  return prints.join('\n');
}

/** Fails where any print of the thing has one of the secrets, a long part of it (as of a JWT), or its base64. */
export function expectNothingShown(thing: unknown, ...secrets: readonly string[]): void {
  const prints = printsOf(thing);
  for (const secret of secrets) {
    const parts = [secret, ...secret.split('.').filter((part) => part.length >= 20)];
    const shown = parts.find(
      (part) => prints.includes(part) || prints.includes(Buffer.from(part).toString('base64')),
    );
    if (shown !== undefined) expect.unreachable(`a secret is shown: …${shown.slice(-6)} in ${prints}`);
  }
}
