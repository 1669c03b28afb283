// The port to registries: a ServiceAccount token in, a credential out. The engine around the families: deadlines, the
// rule's own endpoints and CA, and how long an answer is believed.
import { Problem } from '../problem.ts';
import { partsOf } from '../core/registry-family.ts';
import { readAuthorities } from '../text-file.ts';
import { ask } from './ask.ts';
import { families } from './families.ts';
import { jwtExpiry } from './jwt-expiry.ts';
import type { Clock } from '../clock.ts';
import type { Credential } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { SecretText } from '../secret-text.ts';
import type { HttpCall } from './http-call.ts';
import type { FamilyCall, Login, RegistryFamily } from './registry-family.ts';

export interface ExchangeCall {
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** What an exchange may read of the ServiceAccount token's making. Instants are epoch milliseconds. */
export interface ExchangeInput {
  readonly token: SecretText;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly planned: PlannedNeed;
}

/** @throws Problem of the exchange-… family, credential-already-expired, or file-unreadable */
export type Exchange = (call: ExchangeCall, input: ExchangeInput) => Promise<Credential>;

/** All steps and tries together: half of what the kubelet gives a plugin. */
const EXCHANGE_MS = 30_000;
/** Below it a difference of clocks is nobody's trouble: distribution allows as much. */
const NOTABLE_SKEW_MS = 60_000;

export interface ExchangeTools {
  readonly http: HttpCall;
  /** By kind; the families that there are, but for tests. */
  readonly known?: Readonly<Record<string, RegistryFamily>>;
}

export function createExchange({ http, known = families }: ExchangeTools): Exchange {
  return async ({ signal, clock }, input) => {
    const { rule, need } = input.planned;
    const family = known[rule.exchange.kind];
    if (!family) throw new TypeError(`no family is called ${rule.exchange.kind}`);
    const { certificateAuthorityFile } = rule.exchange;
    const certificateAuthority = certificateAuthorityFile && readAuthorities(certificateAuthorityFile);
    const deadline = clock.deadline(EXCHANGE_MS, signal);
    let skewMs = 0;
    const onDate = (skew: number) => {
      if (Math.abs(skew) > Math.abs(skewMs)) skewMs = skew;
    };
    const tools = { http, clock, signal: deadline, certificateAuthority, onDate };
    const startedAt = clock.now();
    try {
      const login = await family.exchange(familyCall(input, clock, (step) => ask(tools, step)));
      return credentialFrom(login, input, family, startedAt, clock.now());
    } catch (error) {
      if (Math.abs(skewMs) < NOTABLE_SKEW_MS || !(error instanceof Problem)) throw error;
      throw skewed(error, skewMs, need.host);
    }
  };
}

function familyCall(
  { token, issuedAt, expiresAt, planned }: ExchangeInput,
  clock: Clock,
  askStep: FamilyCall['ask'],
): FamilyCall {
  const { rule, need, principal } = planned;
  const { endpoint, endpoints = {}, username } = rule.exchange;
  return {
    token,
    tokenIssuedAt: issuedAt,
    tokenExpiresAt: expiresAt,
    need,
    parts: partsOf(rule, need.host) ?? {},
    parameters: principal.parameters,
    username,
    url: (service, standard, path) => joined(endpoints[service] ?? endpoint ?? standard, path),
    now: () => clock.now(),
    ask: askStep,
  };
}

/** An endpoint may have a path and a query of its own, as behind a gateway; whole where the family adds nothing. */
function joined(base: string, path: string): URL {
  const url = new URL(base);
  if (path !== '') url.pathname = url.pathname.replace(/\/$/, '') + path;
  return url;
}

/** No docker config can carry other names: the kubelet splits at the first colon. */
const USERNAME = /^[^:\p{Cc}]{1,255}$/u;
const PASSWORD_BYTES = 64 * 1024;

function credentialFrom(
  { username, password, expiresAt, issuedAt }: Login,
  { planned }: ExchangeInput,
  family: RegistryFamily,
  startedAt: number,
  now: number,
): Credential {
  const { host } = planned.need;
  if (!USERNAME.test(username))
    throw new Problem('exchange-malformed', `${host} gave a user name that no docker config can carry`);
  const inToken = jwtExpiry(password, PASSWORD_BYTES);
  if (inToken === 'unusable')
    throw new Problem('exchange-malformed', `${host} gave a password that no docker config can carry`);
  const ends = [...expiresAt, ...(inToken === undefined ? [] : [inToken])];
  if (ends.length === 0 || !ends.every(Number.isFinite))
    throw new Problem('exchange-malformed', `${host} does not say how long its credential lives`);
  const end = Math.min(...ends, startedAt + family.longestLife * 1000);
  if (end <= now) {
    throw new Problem(
      'credential-already-expired',
      `${host} answered with a credential that expired ${Math.ceil((now - end) / 1000)} s ago`,
    );
  }
  return { hosts: [host], username, password, issuedAt: issuedAt ?? startedAt, expiresAt: end };
}

/** Three names of one trouble: signatures, tokens and answers that are too old or too new. */
function skewed(problem: Problem, skewMs: number, host: string): Problem {
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const message = `${problem.message}; our clock is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead of'} that of the token service for ${host}`;
  return new Problem(problem.code, message, { cause: problem, details: problem.details });
}
