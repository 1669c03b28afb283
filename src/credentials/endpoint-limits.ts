// How often each token service is asked: a token bucket per endpoint, and a breaker for hosts whose service is down.
import { partsOf } from '../core/registry-family.ts';
import type { Clock } from '../clock.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import { hasAnswered, isDownFor, type Attempt } from './attempt.ts';

export interface EndpointLimits {
  /** Of needs with the same key all may begin now, or none. */
  keyOf(planned: PlannedNeed): string;
  /** True if the need's exchange may begin now. Never waits. */
  mayBegin(planned: PlannedNeed): boolean;
  /** Takes a token for it: one call of `ended` must follow. @returns false where it may not begin */
  begin(planned: PlannedNeed): boolean;
  /** @param attempt absent: nobody knows how it ended */
  ended(planned: PlannedNeed, attempt?: Attempt): void;
  /** True while nothing but probes is sent on behalf of the need's host. */
  isDown(planned: PlannedNeed): boolean;
  /** When the first of those that were turned away since the last call is worth another look, in milliseconds. */
  waitMs(): number;
}

export interface EndpointRate {
  /** Per second. */
  readonly ratePerEndpoint: number;
  readonly burst: number;
}

type Place = { readonly endpoint: string | undefined; readonly key: string };

interface Bucket {
  tokens: number;
  /** When `tokens` was true; by the monotonic clock, so that no suspend and no turned clock fills it. */
  at: number;
  underWay: number;
}

/** What is known of a host whose last exchanges failed for no fault of the accounts. */
interface Trouble {
  failures: number;
  /** Above 0 while the breaker is open: how long it was closed to all before the next probe. */
  waitMs: number;
  probeAt: number;
  probe: PlannedNeed | undefined;
}

/** Of the worker's 16 places: a service that answers nobody leaves some to the others. */
const MOST_AT_ONE = 12;
const FAILURES_TO_OPEN = 5;
const FIRST_PROBE_MS = 1_000;
const LONGEST_PROBE_MS = 30_000;
/** What a service may ask for on behalf of all; the need that was told so waits longer by itself. */
const LONGEST_RETRY_AFTER_MS = 300_000;
/** Hosts under a wildcard are as many as tenants like; of 200 bytes each. */
const MOST_KNOWN = 10_000;
/** Looking for every single token would only cost. */
const LOOKS_PER_SECOND = 4;
/** A third of a token and two thirds of one are less than one. */
const ALMOST = 1e-6;

/**
 * Who is asked on behalf of a need: the service that is handed the token, where the rule or the host says it is.
 * Undefined where nobody is.
 */
export function endpointOf({ need, rule }: PlannedNeed): string | undefined {
  const { family, exchange } = rule;
  const [first] = family.endpoints;
  if (first === undefined) return undefined;
  const replaced = exchange.endpoints?.[first] ?? exchange.endpoint;
  // A cloud counts by region, and a region that somebody invented is down for its inventor alone.
  const where = family.receiver === 'host' ? need.host : family.scopeOf?.(partsOf(rule, need.host) ?? {});
  return `${family.receiver} ${replaced ?? where ?? ''}`;
}

type Tools = { readonly clock: Clock; rate(): EndpointRate };

export function createEndpointLimits({ clock, rate }: Tools): EndpointLimits {
  const buckets = new Map<string, Bucket>();
  /** By endpoint and host: who invents hosts that never answer closes the way to no other. */
  const troubles = new Map<string, Trouble>();
  /** Thousands that wait are asked about many times a second. */
  const places = new WeakMap<PlannedNeed, Place>();
  let turnedAwayUntil = Infinity;

  function placeOf(planned: PlannedNeed): Place {
    const known = places.get(planned);
    if (known) return known;
    const endpoint = endpointOf(planned);
    const place = { endpoint, key: `${endpoint} ${planned.need.host}` };
    places.set(planned, place);
    return place;
  }

  function bucketOf(endpoint: string): Bucket {
    const { ratePerEndpoint, burst } = rate();
    const now = clock.monotonic();
    let bucket = buckets.get(endpoint);
    if (!bucket) {
      forgetOne(buckets, ({ underWay }) => underWay === 0);
      bucket = { tokens: burst, at: now, underWay: 0 };
      buckets.set(endpoint, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * ratePerEndpoint);
    bucket.at = now;
    return bucket;
  }

  function turnAway(forMs: number): false {
    turnedAwayUntil = Math.min(turnedAwayUntil, clock.monotonic() + forMs);
    return false;
  }

  function failed(key: string, trouble: Trouble, isProbe: boolean, retryAfterMs = 0): void {
    trouble.failures++;
    troubles.set(key, trouble);
    if (trouble.failures < FAILURES_TO_OPEN) return;
    // What was under way when the breaker opened tells nothing new.
    if (trouble.waitMs > 0 && !isProbe) return;
    trouble.waitMs = trouble.waitMs === 0 ? FIRST_PROBE_MS : Math.min(2 * trouble.waitMs, LONGEST_PROBE_MS);
    const wait = trouble.waitMs * (0.5 + clock.random() / 2);
    trouble.probeAt = clock.monotonic() + Math.max(wait, Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS));
  }

  function mayBegin(planned: PlannedNeed): boolean {
    const { endpoint, key } = placeOf(planned);
    if (endpoint === undefined) return true;
    const trouble = troubles.get(key);
    if (trouble && trouble.waitMs > 0) {
      if (trouble.probe) return false;
      const now = clock.monotonic();
      if (now < trouble.probeAt) return turnAway(trouble.probeAt - now);
    }
    const { tokens, underWay } = bucketOf(endpoint);
    // Whoever ends makes the worker look again.
    if (underWay >= MOST_AT_ONE) return false;
    if (tokens >= 1 - ALMOST) return true;
    const { ratePerEndpoint, burst } = rate();
    const wanted = Math.min(burst, Math.max(1, ratePerEndpoint / LOOKS_PER_SECOND));
    return turnAway(((wanted - tokens) / ratePerEndpoint) * 1000);
  }

  return {
    keyOf: (planned) => placeOf(planned).key,
    mayBegin,

    begin(planned) {
      if (!mayBegin(planned)) return false;
      const { endpoint, key } = placeOf(planned);
      if (endpoint === undefined) return true;
      const bucket = bucketOf(endpoint);
      bucket.tokens -= 1;
      bucket.underWay++;
      const trouble = troubles.get(key);
      if (trouble && trouble.waitMs > 0) trouble.probe = planned;
      return true;
    },

    ended(planned, attempt) {
      const { endpoint, key } = placeOf(planned);
      if (endpoint === undefined) return;
      bucketOf(endpoint).underWay--;
      const known = troubles.get(key);
      const isProbe = known?.probe === planned;
      if (isProbe) known.probe = undefined;
      if (hasAnswered(attempt)) {
        troubles.delete(key);
      } else if (attempt?.kind === 'failed' && isDownFor(attempt.problem)) {
        if (!known) forgetOne(troubles, ({ probe }) => probe === undefined);
        const trouble = known ?? { failures: 0, waitMs: 0, probeAt: 0, probe: undefined };
        failed(key, trouble, isProbe, attempt.problem.details.retryAfterMs);
      } else if (isProbe) {
        known.probeAt = clock.monotonic() + known.waitMs;
      }
    },

    isDown: (planned) => (troubles.get(placeOf(planned).key)?.waitMs ?? 0) > 0,

    waitMs() {
      const wait = turnedAwayUntil - clock.monotonic();
      turnedAwayUntil = Infinity;
      return Math.max(0, wait);
    },
  };
}

/** Makes room for one more: the oldest that nobody is busy with. */
function forgetOne<Known>(map: Map<string, Known>, isIdle: (known: Known) => boolean): void {
  if (map.size < MOST_KNOWN) return;
  for (const [key, known] of map) if (isIdle(known)) return void map.delete(key);
}
