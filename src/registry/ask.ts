// One step of an exchange: the request, tried again where its failure class allows, and its answer read; every way to
// fail becomes a Problem with one sentence, and nothing of a body is ever shown.
import type * as z from 'zod';
import { Problem } from '../problem.ts';
import { AnswerTooLarge, type HttpAnswer, type HttpCall } from './http-call.ts';
import { classify, cureFor, reactions, type FailureClass } from './refusal.ts';
import { encodeRequest } from './request-body.ts';
import type { Clock } from '../clock.ts';
import type { Answer, Step } from './registry-family.ts';

export interface AskTools {
  readonly http: HttpCall;
  readonly clock: Clock;
  /** Ends the whole exchange. */
  readonly signal: AbortSignal;
  readonly certificateAuthority: string | undefined;
  /** Told how far the other side's clock is ahead of ours, in milliseconds. */
  onDate(skewMs: number): void;
}

/** The kubelet gives its plugins a minute for everything; a token service that works answers in one or two seconds. */
const REQUEST_MS = 10_000;
const FIRST_PAUSE_MS = 250;
/** A longer Retry-After is for the keeper: nothing waits that long with a connection in its hand. */
const LONGEST_PAUSE_MS = 5_000;
/** What a server may ask for at most: one that says "next year" is asked again in an hour. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

export async function ask<Schema extends z.ZodType>(
  tools: AskTools,
  step: Step<Schema>,
): Promise<Answer<z.output<Schema>>> {
  for (let tried = 1; ; tried++) {
    const outcome = await tryOnce(tools, step);
    if (outcome.kind === 'answer') return outcome.answer;
    const { failure, problem } = outcome;
    const ownPause = FIRST_PAUSE_MS * 2 ** tried * (0.5 + tools.clock.random() / 2);
    const pause = Math.max(problem.details.retryAfterMs ?? 0, ownPause);
    if (tried >= reactions[failure].tries || pause > LONGEST_PAUSE_MS || tools.signal.aborted) throw problem;
    await tools.clock.sleep(pause, tools.signal).catch(() => undefined);
    if (tools.signal.aborted) throw problem;
  }
}

type Outcome<Data> =
  | { readonly kind: 'answer'; readonly answer: Answer<Data> }
  | { readonly kind: 'failure'; readonly failure: FailureClass; readonly problem: Problem };

async function tryOnce<Schema extends z.ZodType>(
  tools: AskTools,
  step: Step<Schema>,
): Promise<Outcome<z.output<Schema>>> {
  const { http, clock, certificateAuthority } = tools;
  const { host } = step.url;
  const startedAt = clock.now();
  const encoded = encodeRequest(step);
  const headers = { ...encoded.headers, ...(await step.sign?.()) };
  let answer: HttpAnswer;
  try {
    const signal = clock.deadline(REQUEST_MS, tools.signal);
    answer = await http({ ...encoded, headers, url: step.url, certificateAuthority, signal });
  } catch (error) {
    if (error instanceof AnswerTooLarge) throw malformed(host, 'more than it should be', '');
    const reason = tools.signal.aborted ? 'the time for the whole exchange was up' : networkReason(error);
    return failed('transient', `${host} cannot be reached: ${reason}`, {}, error);
  }
  const midway = (startedAt + clock.now()) / 2;
  const date = Date.parse(answer.header('date') ?? '');
  if (!Number.isNaN(date)) tools.onDate(date - midway);
  const isGood = answer.status === 200 || answer.status === 201 || step.alsoGood?.includes(answer.status);
  if (!isGood || step.refusal.isNo?.(jsonOf(answer.text))) {
    // A date in Retry-After is by the clock that wrote it.
    return refusedBy(step, host, answer, Number.isNaN(date) ? clock.now() : date);
  }
  return { kind: 'answer', answer: { data: readAnswer(step, host, answer), startedAt } };
}

function readAnswer<Schema extends z.ZodType>(
  step: Step<Schema>,
  host: string,
  { text, header }: HttpAnswer,
): z.output<Schema> {
  const named = requestIdOf(header);
  let raw: unknown;
  try {
    raw = step.read ? step.read(text, header) : JSON.parse(text);
  } catch {
    // The reader's own message would quote the body.
    throw malformed(
      host,
      /^\s*</.test(text) ? 'a web page (is a proxy in between?)' : 'something unreadable',
      named,
    );
  }
  const result = step.answer.safeParse(raw);
  if (result.success) return result.data;
  const where = result.error.issues[0]?.path.join('.') ?? '';
  throw malformed(host, `an answer without a proper ${where || 'content'}`, named);
}

function refusedBy(step: Step<z.ZodType>, host: string, answer: HttpAnswer, now: number): Outcome<never> {
  const body = jsonOf(answer.text);
  const code = printable(step.refusal.codeOf(body ?? answer.text, answer.header));
  const failure = classify(step.refusal, answer.status, code, body ?? answer.text);
  const retryAfterMs = failure === 'permanent' ? undefined : retryAfter(answer.header('retry-after'), now);
  const told = [String(answer.status), code].filter((part) => part !== '').join(' ');
  // What is cured without a code is a no, and not a service that is down.
  const isNo = reactions[failure].tries === 1;
  const cure = code !== '' || isNo ? cureFor(step.refusal, code) : undefined;
  const message = `${host} ${reactions[failure].means} (${told}${requestIdOf(answer.header)})${cure ? `: ${cure}` : ''}`;
  return failed(failure, message, { upstream: told, ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

function failed(
  failure: FailureClass,
  message: string,
  details: Problem['details'],
  cause?: unknown,
): Outcome<never> {
  const problem = new Problem(reactions[failure].code, message, { details, cause });
  return { kind: 'failure', failure, problem };
}

function malformed(host: string, what: string, named: string): Problem {
  return new Problem('exchange-malformed', `${host} answered with ${what}${named && ` (${named.slice(2)})`}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Seconds or an HTTP date (RFC 9110 section 10.2.3), which begins with a weekday: `Date.parse` reads `-5` as a month. */
function retryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined || !/^(?:\d+$|[A-Z][a-z]{2})/.test(value)) return undefined;
  const at = /^\d/.test(value) ? now + Number(value) * 1000 : Date.parse(value);
  if (Number.isNaN(at)) return undefined;
  return Math.min(Math.max(at - now, 0), LONGEST_RETRY_AFTER_MS);
}

/** What support asks for first: AWS, Entra and ACR, Google, and most others, in this order. */
const REQUEST_IDS = [
  'x-amzn-requestid',
  'x-ms-request-id',
  'x-ms-correlation-request-id',
  'x-acs-request-id',
  'x-request-id',
];

function requestIdOf(header: HttpAnswer['header']): string {
  const id = REQUEST_IDS.map((name) => printable(header(name) ?? '')).find((text) => text !== '');
  return id ? `, request ${id}` : '';
}

/** Foreign text is shown only if it looks like a code or an id, and never if it could be part of a token. */
function printable(text: string): string {
  const isCode = /^[A-Za-z0-9][A-Za-z0-9_.:#-]{0,63}$/.test(text) && !/^eyJ/.test(text);
  // Codes have no digits or are short, ids are hexadecimal in one case: what is long and has all three is cut from a token.
  const isToken = text.length >= 24 && [/[a-z]/, /[A-Z]/, /[0-9]/].every((kind) => kind.test(text));
  return isCode && !isToken ? text : '';
}

function networkReason(error: unknown): string {
  if (error instanceof Error && ['AbortError', 'TimeoutError'].includes(error.name))
    return `no answer in ${REQUEST_MS / 1000} s`;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : 'the connection broke';
}
