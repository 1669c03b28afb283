// What is remembered of an issuer's keys: fetched when needed, never more often than the cool-down, kept through outages.
import type { LocalJWKSet } from 'jose';
import { createLocalJWKSet } from 'jose';
import type { Clock } from '../clock.ts';
import { Problem } from '../problem.ts';
import type { KeySource } from './fetch-key-set.ts';
import { fetchKeySet } from './fetch-key-set.ts';
import type { Fetch } from './json-call.ts';
import { unlessAborted } from './unless-aborted.ts';

/** After a fetch that worked, a key id we do not know is not asked for again so soon: anybody can invent one. */
export const COOL_DOWN_MS = 30_000;

/** After a fetch that failed: short, because until it works nobody (or nobody with a new key) gets in. */
export const RETRY_MS = 5000;

/** Older keys are fetched again in the background, so that a key that was taken back is noticed. */
export const FRESH_MS = 5 * 60_000;

/** Older keys are used only when fetching them again failed: an idle server must not let in what was taken back yesterday. */
export const OLD_MS = 60 * 60_000;

export interface IssuerKeys {
  /**
   * The newest key set to check a token with whose header names `keyId`. The set may lack that key: the issuer then
   * does not publish it.
   * @throws Problem `exchange-unreachable` when only a fetch could tell and it failed, with `retryAfterMs`;
   * `deadline` when `signal` was faster. A fetch is shared, so no caller's signal ends it.
   */
  keysFor(keyId: string, signal: AbortSignal): Promise<LocalJWKSet>;
  /** Fetches now. @throws the Problem of the fetch, see `fetchKeySet` */
  fetchNow(): Promise<void>;
}

interface KnownKeys {
  readonly keySet: LocalJWKSet;
  readonly ids: ReadonlySet<string | undefined>;
  readonly fetchedAt: number;
}

export function createIssuerKeys(
  source: KeySource,
  { clock, fetch }: { clock: Clock; fetch?: Fetch | undefined },
): IssuerKeys {
  let known: KnownKeys | undefined;
  let failure: unknown;
  let nextAt = -Infinity;
  let flight: Promise<void> | undefined;

  /** Never rejects, for in the background nobody listens; what went wrong stays in `failure`. */
  async function fetchOnce(): Promise<void> {
    try {
      const keySet = createLocalJWKSet(await fetchKeySet(source, { clock, fetch }));
      known = {
        keySet,
        ids: new Set(keySet.jwks().keys.map((key) => key.kid)),
        fetchedAt: clock.monotonic(),
      };
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    nextAt = clock.monotonic() + (failure === undefined ? COOL_DOWN_MS : RETRY_MS);
    flight = undefined;
  }

  function sharedFetch(): Promise<void> {
    return (flight ??= fetchOnce());
  }

  async function keysFor(keyId: string, signal: AbortSignal): Promise<LocalJWKSet> {
    const isKnown = known?.ids.has(keyId) ?? false;
    const age = known && isKnown ? clock.monotonic() - known.fetchedAt : Infinity;
    if (age >= FRESH_MS && (flight || clock.monotonic() >= nextAt)) {
      const fetched = sharedFetch();
      if (age >= OLD_MS) await unlessAborted(fetched, signal, 'the issuer took too long to answer');
    }
    if (known && (failure === undefined || known.ids.has(keyId))) return known.keySet;
    throw new Problem(
      'exchange-unreachable',
      `the keys of ${source.issuer} cannot be fetched at the moment`,
      {
        cause: failure,
        details: { retryAfterMs: Math.max(nextAt - clock.monotonic(), 0) },
      },
    );
  }

  async function fetchNow(): Promise<void> {
    await sharedFetch();
    if (failure !== undefined) throw failure;
  }

  return { keysFor, fetchNow };
}
