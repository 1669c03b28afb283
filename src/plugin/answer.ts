// From the kubelet's request to its answer: the rule that speaks of the image, the account's parameters under it, the
// exchange. The same functions as the worker's, on what the kubelet says of the account.
import { Problem, isProblem } from '../problem.ts';
import { hostOfImage, parseImageReference } from '../core/image-reference.ts';
import { principalsOf } from '../core/identity-parameters.ts';
import { needFor } from '../core/pull-plan.ts';
import { LAST_MINUTE_MS, type Credential } from '../core/pull-credential.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from '../core/registry-rule.ts';
import { namespaceNameLabels, readsNamespaceLabels } from '../core/rule-subject.ts';
import { holderOf, unusable, type TokenHolder } from './token-holder.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { ExchangeCall, Exchange } from '../registry/exchange.ts';
import type { Login, PluginAnswer, PluginRequest } from './protocol.ts';

/** Below the kubelet's minute, with room for a process to start on a busy node and to say what went wrong. */
const ANSWER_MS = 45_000;

/**
 * How long an answer that lacks a login is remembered: it may be there at the next try, and the kubelet asks nobody
 * before that. Long enough for the pods of one start, and shorter than the kubelet's back-off gets.
 */
const PARTIAL_SECONDS = 60;

/** Nothing for this image from this provider: the kubelet goes on with the next one. Not remembered, for rules change. */
const NOTHING: PluginAnswer = { cacheKeyType: 'Image', cacheSeconds: 0, auth: {} };

export interface AnswerTools {
  readonly exchange: Exchange;
  readonly clock: Clock;
  /** Told of what was refused while another of the account's principals was not. */
  onRefusal?(problem: Problem): void;
}

/** What an exchange will be asked for, or that there is none to make. */
export type Lookup =
  | { readonly kind: 'nothing'; readonly why: string }
  | { readonly kind: 'exchange'; readonly rule: RegistryRule; readonly calls: readonly Call[] };

type Call = Parameters<Exchange>[1];

/** @throws Problem of what the exchange refuses, token-unusable or parameters-unusable */
export async function answerRequest(
  config: Config,
  request: PluginRequest,
  tools: AnswerTools,
): Promise<PluginAnswer> {
  const found = lookUp(config, request, tools.clock.now());
  if (found.kind === 'nothing') return NOTHING;
  const { exchange, clock, onRefusal } = tools;
  const call: ExchangeCall = { clock, signal: clock.deadline(ANSWER_MS) };
  const results = await Promise.allSettled(found.calls.map((input) => exchange(call, input)));
  const credentials: Credential[] = [];
  const refused: Problem[] = [];
  for (const result of results) {
    if (result.status === 'fulfilled') credentials.push(result.value);
    else if (isProblem(result.reason)) refused.push(result.reason);
    else throw result.reason;
  }
  const [first] = refused;
  if (first && credentials.length === 0) throw first;
  for (const problem of refused) onRefusal?.(problem);
  return answerWith(request.image, credentials, found.calls.length, clock.now());
}

/** The part of it that asks nobody. @throws Problem token-unusable or parameters-unusable */
export function lookUp({ rules }: Config, request: PluginRequest, now: number): Lookup {
  const host = hostOfImage(request.image);
  if (host === undefined) return { kind: 'nothing', why: 'the image reference does not follow the grammar' };
  if (ruleForHost(rules, host, ({ delivery }) => delivery.includes('kubelet')) === undefined)
    return { kind: 'nothing', why: `no rule with delivery kubelet speaks of ${host}` };
  if (!request.token)
    throw unusable("there is none; the provider's entry in the kubelet's config needs tokenAttributes");
  const holder = holderOf(request.token, now);
  const { namespace, account } = holder.identity;
  const labels = namespaceNameLabels(namespace);
  const rule = ruleForHost(rules, host, (one) => isKnown(one) && ruleSpeaksOf(one, account, labels));
  if (!rule?.delivery.includes('kubelet')) {
    const why = rule
      ? `rule ${rule.name} delivers by Secret alone`
      : `no rule speaks of ${host} for ServiceAccount ${namespace}/${account}`;
    return { kind: 'nothing', why };
  }
  return callsFor(rule, host, request, holder, rules);
}

/** Rules with delivery kubelet go by the namespace's name at most; whom another rule means cannot be told here. */
function isKnown({ delivery, subjects = [] }: RegistryRule): boolean {
  return delivery.includes('kubelet') || !subjects.some(readsNamespaceLabels);
}

function callsFor(
  rule: RegistryRule,
  host: string,
  { token, annotations }: PluginRequest,
  { identity, audiences, issuedAt, expiresAt }: TokenHolder,
  rules: readonly RegistryRule[],
): Lookup {
  const { principals, faults } = principalsOf(rule, { name: identity.account, annotations }, host);
  const [principal] = principals;
  const expected = principal?.audience ?? rule.audience;
  if (!audiences.includes(expected)) {
    const known = rules.flatMap((one) => [one.audience, ...(one.acceptAudiences ?? [])]);
    if (!audiences.some((audience) => known.includes(audience)))
      throw unusable(`its audience is that of no rule; rule ${rule.name} takes ${expected}`);
    return { kind: 'nothing', why: `rule ${rule.name} takes tokens of the audience ${expected}` };
  }
  if (!principal || !token) throw new Problem('parameters-unusable', faults.join('; '));
  const calls = principals.map((one): Call => {
    const need = needFor(identity, rule, host, one);
    return { token, issuedAt, expiresAt, planned: { need, rule, principal: one } };
  });
  return { kind: 'exchange', rule, calls };
}

/** The kubelet does not look at expiry, and an image may take its time: a tenth of the rest is left, a minute at least. */
function cacheSecondsOf(credentials: readonly Credential[], now: number): number {
  const rest = Math.min(...credentials.map(({ expiresAt }) => expiresAt)) - now;
  return Math.max(0, Math.floor((rest - Math.max(LAST_MINUTE_MS, rest / 10)) / 1000));
}

/**
 * One login is for its host. Several of one host cannot have one key: the kubelet takes a key's path as the beginning of
 * an image's name and tries longer keys first, so beginnings of this very name tell them apart, and serve this image alone.
 */
function answerWith(
  image: string,
  credentials: readonly Credential[],
  asked: number,
  now: number,
): PluginAnswer {
  const { host, repository } = parseImageReference(image);
  const keys = [...beginnings(repository).map((start) => `${host}/${start}`), host];
  if (asked > keys.length)
    throw new Problem('too-many-needs', `${image} is too short a name for ${asked} principals`);
  const logins = credentials.map(({ username, password }): Login => ({ username, password }));
  const auth = asked === 1 ? [[host, logins[0]]] : logins.map((login, at) => [keys[at], login]);
  return {
    cacheKeyType: asked === 1 ? 'Registry' : 'Image',
    cacheSeconds: Math.min(
      cacheSecondsOf(credentials, now),
      credentials.length < asked ? PARTIAL_SECONDS : Infinity,
    ),
    auth: Object.fromEntries(auth),
  };
}

/** From long to short. The kubelet drops `v1/` and `v2/` at the beginning of a key's path, which would match no more then. */
function beginnings(text: string): string[] {
  return Array.from({ length: text.length }, (_, at) => text.slice(0, text.length - at)).filter(
    (start) => !/^v[12]\//.test(start),
  );
}
