// One HTTPS call to an issuer or its API server: no redirects, a bounded answer, and every failure a Problem.
import type { Agent } from 'undici';
import { fetch as undiciFetch } from 'undici';
import type * as z from 'zod';
import { Problem } from '../problem.ts';
import type { SecretText } from '../secret-text.ts';

export type Fetch = typeof undiciFetch;

/** For one login's worth of calls. A client waits for this when nothing is known yet, and kubelets give up after a minute. */
export const CALL_DEADLINE_MS = 5000;

/** Two keys are 2 KiB, a review 4; this is room for a hundred rotations nobody cleaned up, and a bound on what a hostile host can send. */
const LARGEST_ANSWER_BYTES = 256 * 1024;

export interface JsonCall {
  /** Replaced in tests. */
  readonly fetch?: Fetch | undefined;
  readonly agent: Agent;
  readonly signal: AbortSignal;
  readonly bearer: SecretText | undefined;
  readonly accept: string;
  /** What to do when the other side answers 401 or 403. */
  readonly cure: string;
}

/**
 * GET, or POST of `body` where there is one, which may hold what a SecretText held: it goes nowhere else.
 * @throws Problem `exchange-unreachable`, `exchange-refused` or `exchange-malformed`
 */
export async function callJson(call: JsonCall, url: URL, body?: object): Promise<unknown> {
  const { fetch = undiciFetch, agent, signal, bearer, accept } = call;
  const where = `${url.host}${url.pathname}`;
  try {
    const answer = await fetch(url, {
      dispatcher: agent,
      signal,
      redirect: 'manual',
      headers: {
        accept,
        ...(bearer && { authorization: `Bearer ${bearer.reveal()}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    const isGood = answer.status === 200 || (body !== undefined && answer.status === 201);
    if (!isGood) {
      await answer.body?.cancel();
      throw statusProblem(answer.status, where, call.cure);
    }
    return JSON.parse(await readBounded(answer.body ?? [], where));
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (error instanceof SyntaxError) throw malformed(`${where} answered with something that is no JSON`);
    const why = signal.aborted ? `no answer in ${CALL_DEADLINE_MS / 1000} s` : causeCode(error);
    throw new Problem('exchange-unreachable', `${where} cannot be reached: ${why}`, { cause: error });
  }
}

/** `what` completes "what the issuer answered is no …". @throws Problem `exchange-malformed` */
export function parseAnswer<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw malformed(`what the issuer answered is no ${what}`);
}

export function malformed(sentence: string): Problem {
  return new Problem('exchange-malformed', sentence);
}

async function readBounded(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  where: string,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > LARGEST_ANSWER_BYTES)
      throw malformed(`${where} answered with more than ${LARGEST_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function statusProblem(status: number, where: string, cure: string): Problem {
  const details = { upstream: String(status) };
  if (status === 401 || status === 403)
    return new Problem('exchange-refused', `${where} answered ${status}: ${cure}`, { details });
  const code = status >= 500 || status === 429 ? 'exchange-unreachable' : 'exchange-malformed';
  return new Problem(code, `${where} answered ${status}, wanted was 200`, { details });
}

/** The code of a network or TLS error, such as ECONNREFUSED; fetch hides it one cause down. */
function causeCode(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : 'network error';
}
