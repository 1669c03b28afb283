// One answer for all hosts that it is good for: an account that pulls from two registries of one region is exchanged once.
import { LRUCache } from 'lru-cache';
import { partsOf } from '../core/registry-family.ts';
import type { Clock } from '../clock.ts';
import type { Credential } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { Exchange, ExchangeCall, ExchangeInput } from '../registry/exchange.ts';

/** What is shared, and which hosts have had it: who asks again wants a new one. */
interface Shared {
  readonly credential: Credential;
  readonly takers: Set<string>;
}

/** Accounts with several hosts that are issued at about the same time; a password of a cloud has up to 3 KiB. */
const MOST_SHARED = 1_000;
/** Renewals of one life are spread over this part of it. */
const SHARED_LIFE = 0.1;

export function createSharedExchange(exchange: Exchange, clock: Clock): Exchange {
  const answers = new LRUCache<string, Shared, { call: ExchangeCall; input: ExchangeInput }>({
    max: MOST_SHARED,
    ttlResolution: 0,
    perf: { now: () => clock.now() },
    ignoreFetchAbort: true,
    async fetchMethod(_key, _before, { context: { call, input }, options }) {
      const credential = await exchange(call, input);
      options.ttl = Math.max(1, (credential.expiresAt - credential.issuedAt) * SHARED_LIFE);
      return { credential, takers: new Set() };
    },
  });

  return async (call, input) => {
    const key = keyOf(input.planned);
    if (key === undefined) return await exchange(call, input);
    const { host } = input.planned.need;
    if (answers.peek(key)?.takers.has(host)) answers.delete(key);
    const shared = await answers.fetch(key, { context: { call, input } });
    if (!shared) throw new TypeError('a shared exchange was lost');
    shared.takers.add(host);
    return { ...shared.credential, hosts: [host] };
  };
}

/** All that an exchange reads but the host; undefined where an answer is for one host alone. */
function keyOf({ need, rule }: PlannedNeed): string | undefined {
  const scope = rule.family.scopeOf?.(partsOf(rule, need.host) ?? {});
  if (scope === undefined) return undefined;
  const { namespace, account, uid } = need.identity;
  return JSON.stringify([namespace, account, uid, need.rule, need.digest, need.principal, scope]);
}
