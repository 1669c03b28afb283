// The webhook on the wire: paths, limits, deadlines, and who is answered with what. The only express here.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import express from 'express';
import { isProblem, Problem, problemCodes } from '../problem.ts';
import { createBodyReader } from './review-body.ts';
import { LARGEST_REVIEW_BYTES, readReview, writeReview, type AdmissionRequest } from './review.ts';
import { verdictForFailure, type NoVerdict, type ReviewPath, type Verdict } from './verdict.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { MutatePod } from './mutate-pod.ts';
import type { Call } from './review-subject.ts';
import type { ValidatePod } from './validate-pod.ts';

export interface RouteTools {
  readonly mutatePod: MutatePod;
  readonly validatePod: ValidatePod;
  /** For GET /healthz and GET /readyz. */
  readonly health?: RequestListener;
  /** True once reviews are to go to another replica. */
  readonly isDraining: () => boolean;
  /** Told of every answer to a known path, for metrics. */
  readonly onAnswer: (path: ReviewPath, outcome: Outcome, reason: string, seconds: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export type Outcome = Verdict['kind'] | 'refused';

/** Nine of the largest reviews: what the heap of a small pod has room for besides its work. */
const LARGEST_TOGETHER_BYTES = 64 * 1024 * 1024;
/** A review is answered from memory; what waits for a live look longer than this is better asked again. */
const LONGEST_REVIEW_MS = 1_000;
/** The answer's way back, taken off the API server's own deadline. */
const ANSWER_MARGIN_MS = 250;

const PATHS: readonly ReviewPath[] = ['mutate', 'validate/enforce', 'validate/warn', 'validate/audit'];

/** A request listener; the express app behind it is nobody else's business. */
export function createRoutes(tools: RouteTools): RequestListener {
  const { mutatePod, validatePod, health, isDraining, onAnswer, clock, log } = tools;
  const readBody = createBodyReader({ bytes: LARGEST_REVIEW_BYTES, togetherBytes: LARGEST_TOGETHER_BYTES });
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');

  for (const path of PATHS) {
    app.post(`/${path}`, (request, response) => serve(path, request, response));
    app.all(`/${path}`, (_request, response) => {
      refuse(response, 405, new Problem('review-malformed', 'reviews are sent with POST'), { allow: 'POST' });
    });
  }
  if (health) app.get(['/healthz', '/readyz'], health);
  app.use((_request, response) => {
    refuse(response, 404, new Problem('review-malformed', `there is nothing here; reviews go to /${PATHS.join(', /')}`));
  });
  // Four parameters make it the error handler. What comes here is express's own, such as a path that cannot be decoded.
  app.use((error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
    log.error({ error }, 'request failed');
    if (response.headersSent) response.destroy();
    else refuse(response, 500, new Problem('review-malformed', 'the request could not be handled'));
  });

  async function serve(path: ReviewPath, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = clock.monotonic();
    const finish = (outcome: Outcome, reason: string) => onAnswer(path, outcome, reason, (clock.monotonic() - startedAt) / 1000);
    let review: AdmissionRequest;
    try {
      if (isDraining()) throw new Problem('not-ready', 'this replica is stopping');
      if (isEncoded(request)) throw new Problem('review-malformed', 'the body is compressed');
      review = readReview(await readBody(request));
    } catch (error) {
      if (!isProblem(error)) throw error;
      refuse(response, isEncoded(request) ? 415 : problemCodes[error.code].status, error);
      log.debug({ path, code: error.code }, 'review refused unread');
      finish('refused', error.code);
      return;
    }
    const verdict = await judge(path, callFor(request, startedAt, clock), review);
    if (verdict.kind === 'none') {
      refuse(response, 503, verdict.problem);
      log.warn({ ...namesOf(review), path, code: verdict.problem.code }, 'review sent back');
      finish('refused', verdict.problem.code);
      return;
    }
    answer(response, 200, writeReview(review, verdict));
    finish(verdict.kind, verdict.reason);
    note(path, review, verdict, clock.monotonic() - startedAt);
  }

  async function judge(path: ReviewPath, call: Call, review: AdmissionRequest): Promise<Verdict | NoVerdict> {
    try {
      switch (path) {
        case 'mutate':
          return await mutatePod(call, review);
        case 'validate/enforce':
          return await validatePod(call, review, 'enforce');
        case 'validate/warn':
          return await validatePod(call, review, 'warn');
        case 'validate/audit':
          return await validatePod(call, review, 'audit');
      }
    } catch (error) {
      if (!isProblem(error)) log.error({ ...namesOf(review), path, error }, 'review failed');
      return verdictForFailure(path, error);
    }
  }

  /** One line per pod that was touched; for the rest a line for who looks for it. */
  function note(path: ReviewPath, review: AdmissionRequest, verdict: Verdict, durationMs: number): void {
    const level = verdict.kind === 'allow' ? 'debug' : 'info';
    if (!log.isLevelEnabled(level)) return;
    const { dryRun } = review;
    const fields = { ...namesOf(review), ...verdict.facts, path, reason: verdict.reason, dryRun, durationMs };
    switch (verdict.kind) {
      case 'allow':
        return log.debug(fields, 'pod left alone');
      case 'patch':
        return log.info(fields, 'pod given its references');
      case 'deny':
        return log.info(fields, 'pod denied');
    }
  }

  return app;
}

function namesOf({ uid, namespace, operation }: AdmissionRequest): Readonly<Record<string, string>> {
  return { uid, namespace, operation };
}

/** inflate is nobody's need here, and a bomb's: the API server never compresses a review. */
function isEncoded({ headers }: IncomingMessage): boolean {
  const encoding = headers['content-encoding'];
  return encoding !== undefined && encoding.toLowerCase() !== 'identity';
}

/** The deadline is made when somebody first asks for it: on the warm path nobody does, and a timer per review costs. */
function callFor({ url }: IncomingMessage, startedAt: number, clock: Clock): Call {
  let signal: AbortSignal | undefined;
  return {
    get signal() {
      return (signal ??= clock.deadline(startedAt + timeFor(url ?? '') - clock.monotonic()));
    },
  };
}

/** The API server says how long it waits: `?timeout=5s`, whole seconds. */
function timeFor(url: string): number {
  const seconds = /[?&]timeout=(\d{1,3})s(?:&|$)/.exec(url)?.[1];
  if (seconds === undefined) return LONGEST_REVIEW_MS;
  return Math.min(LONGEST_REVIEW_MS, Math.max(0, Number(seconds) * 1000 - ANSWER_MARGIN_MS));
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** No verdict: the API server's failurePolicy decides, or it asks again where it is told when. */
function refuse(response: ServerResponse, status: number, { code, message }: Problem, headers: Record<string, string> = {}): void {
  // The client may be gone.
  if (response.headersSent || response.destroyed) return;
  const request = response.req;
  const text = JSON.stringify({ code, message });
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    // It asks again on the same connection, thus the same replica, unless that is closed; and 0 would spend all its
    // ten tries at once.
    ...(status === 503 && { 'retry-after': '1' }),
    ...((status === 503 || !request.complete) && { connection: 'close' }),
    ...headers,
  });
  if (request.complete) response.end(text);
  else endAfterBody(request, response, text);
}

/**
 * The whole answer goes out at once, but the connection ends only with the body: closing it while bytes come in would
 * take the answer back. As much as a review may have is thrown away, then the connection is cut.
 */
function endAfterBody(request: IncomingMessage, response: ServerResponse, text: string): void {
  response.write(text);
  let received = 0;
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received > LARGEST_REVIEW_BYTES) request.destroy();
  });
  request.on('error', () => undefined);
  request.once('end', () => response.end());
  request.resume();
}
