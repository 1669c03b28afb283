// The webhook on the wire: paths, limits, deadlines, and who is answered with what. The only express here.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import express from 'express';
import { isProblem, Problem, problemCodes } from '../problem.ts';
import { answer, refuse } from './http-answer.ts';
import { createBodyReader } from './review-body.ts';
import { LARGEST_REVIEW_BYTES, readReview, writeReview, type AdmissionRequest } from './review.ts';
import { createReviewRoom } from './review-room.ts';
import { verdictForFailure, type ReviewPath, type Verdict } from './verdict.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { MutatePod } from './mutate-pod.ts';
import type { Call } from './review-subject.ts';
import type { ValidatePod } from './validate-pod.ts';

export interface RouteTools {
  readonly mutatePod: MutatePod;
  readonly validate: ValidatePod;
  /** For GET /healthz and GET /readyz. */
  readonly health?: RequestListener;
  /** True once reviews are to go to another replica. */
  readonly isDraining: () => boolean;
  /** Why this replica takes no more reviews now, if it does not. */
  readonly isOverloaded?: () => string | undefined;
  /** Told of every answer to a known path, for metrics. */
  readonly onAnswer: (path: ReviewPath, outcome: Outcome, reason: string, seconds: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export type Outcome = Verdict['kind'] | 'refused';

/** Nine of the largest reviews: what a small pod has room for besides its work, as long as they are mere bytes. */
const LARGEST_TOGETHER_BYTES = 64 * 1024 * 1024;
/** One of the largest reviews, or eight hundred usual ones; and what may wait for them. */
const ROOM = { bytes: 8 * 1024 * 1024, waitingBytes: 32 * 1024 * 1024 };
/** A review is answered from memory; what waits for a live look longer than this is better asked again. */
const LONGEST_REVIEW_MS = 1_000;
/** The answer's way back, taken off the API server's own deadline. */
const ANSWER_MARGIN_MS = 250;

const PATHS: readonly ReviewPath[] = ['mutate', 'validate/enforce', 'validate/warn', 'validate/audit'];

/** A request listener; the express app behind it is nobody else's business. */
export function createRoutes(tools: RouteTools): RequestListener {
  const { mutatePod, validate, health, isDraining, isOverloaded, onAnswer, clock, log } = tools;
  const readBody = createBodyReader({ bytes: LARGEST_REVIEW_BYTES, togetherBytes: LARGEST_TOGETHER_BYTES });
  const room = createReviewRoom(ROOM);
  // The fields of a pod's line are flat, so the paths into nested ones, half of a line's cost, have nothing to find there.
  const podLog = log.child({}, { redact: ['token', 'password', 'secret', 'authorization'] });
  let turn: Promise<void> | undefined;
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
    refuse(
      response,
      404,
      new Problem('review-malformed', `there is nothing here; reviews go to /${PATHS.join(', /')}`),
    );
  });
  // Four parameters make it the error handler. What comes here is express's own, such as a path that cannot be decoded.
  app.use(
    (error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      log.error({ error }, 'request failed');
      if (response.headersSent) response.destroy();
      else refuse(response, 500, new Problem('review-malformed', 'the request could not be handled'));
    },
  );

  /** Resolves once all that came in together has been read; one promise for all who wait for it. */
  function endOfTurn(): Promise<void> {
    turn ??= new Promise((resolve) => {
      clock.afterTurn(() => {
        turn = undefined;
        resolve();
      });
    });
    return turn;
  }

  async function serve(path: ReviewPath, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = clock.monotonic();
    const sendBack = (status: number, problem: Problem) => {
      refuse(response, status, problem);
      log.debug({ path, status, code: problem.code }, 'review refused');
      onAnswer(path, 'refused', problem.code, (clock.monotonic() - startedAt) / 1000);
    };
    if (isDraining()) return sendBack(503, new Problem('not-ready', 'this replica is stopping'));
    const overload = isOverloaded?.();
    if (overload !== undefined) return sendBack(503, new Problem('not-ready', overload));
    if (isEncoded(request)) return sendBack(415, new Problem('review-malformed', 'the body is compressed'));
    const call = callFor(request, startedAt, clock);
    let place: Disposable | undefined;
    let review: AdmissionRequest;
    try {
      const body = await readBody(request);
      // Reviews that came in together are judged, answered and written down together, one step of all before the next:
      // code that runs many times in a row costs half of what it costs between all the rest.
      await endOfTurn();
      const entering = room.enter(body.length, call.signal);
      place = entering instanceof Promise ? await entering : entering;
      review = readReview(body);
    } catch (error) {
      place?.[Symbol.dispose]();
      if (!isProblem(error)) throw error;
      return sendBack(problemCodes[error.code].status, error);
    }
    using _place = place;
    const verdict = await judge(path, call, review).catch((error: unknown) => {
      if (!isProblem(error)) log.error({ ...namesOf(review), path, error }, 'review failed');
      return verdictForFailure(path, error, review.kind);
    });
    if (verdict.kind === 'none') {
      log.warn({ ...namesOf(review), path, code: verdict.problem.code }, 'review sent back');
      return sendBack(503, verdict.problem);
    }
    answer(response, writeReview(review, verdict));
    const durationMs = clock.monotonic() - startedAt;
    // The others of this turn are answered first.
    await Promise.resolve();
    onAnswer(path, verdict.kind, verdict.reason, durationMs / 1000);
    note(path, review, verdict, durationMs);
  }

  function judge(path: ReviewPath, call: Call, review: AdmissionRequest): Promise<Verdict> {
    switch (path) {
      case 'mutate':
        return mutatePod(call, review);
      case 'validate/enforce':
        return validate(call, review, 'enforce');
      case 'validate/warn':
        return validate(call, review, 'warn');
      case 'validate/audit':
        return validate(call, review, 'audit');
    }
  }

  /** One line per object that was touched; for the rest a line for who looks for it. */
  function note(path: ReviewPath, review: AdmissionRequest, verdict: Verdict, durationMs: number): void {
    const isPod = review.kind === 'Pod';
    const level = verdict.kind === 'allow' ? 'debug' : 'info';
    if (!podLog.isLevelEnabled(level)) return;
    const { uid, namespace, dryRun } = review;
    const fields = {
      uid,
      namespace,
      ...verdict.facts,
      path,
      reason: verdict.reason,
      ...(dryRun && { dryRun }),
      durationMs,
    };
    switch (verdict.kind) {
      case 'allow':
        return podLog.debug(fields, isPod ? 'pod left alone' : 'object left alone');
      case 'patch':
        return podLog.info(fields, 'pod given its references');
      case 'deny':
        return podLog.info(fields, isPod ? 'pod denied' : 'account denied');
    }
  }

  return app;
}

function namesOf({ uid, namespace, operation }: AdmissionRequest): Readonly<Record<string, string>> {
  return { uid, namespace, operation };
}

/** The API server never compresses a review; what unpacks to a thousand times its size is somebody else's. */
function isEncoded({ headers }: IncomingMessage): boolean {
  const encoding = headers['content-encoding'];
  return encoding !== undefined && encoding.toLowerCase() !== 'identity';
}

/** The deadline is made when somebody first asks for it: on the warm path nobody does. */
function callFor({ url }: IncomingMessage, startedAt: number, clock: Clock): Call {
  let signal: AbortSignal | undefined;
  return { signal: () => (signal ??= clock.deadline(startedAt + timeFor(url ?? '') - clock.monotonic())) };
}

/** The API server says how long it waits: `?timeout=5s`, whole seconds. */
function timeFor(url: string): number {
  const seconds = /[?&]timeout=(\d{1,3})s(?:&|$)/.exec(url)?.[1];
  if (seconds === undefined) return LONGEST_REVIEW_MS;
  return Math.min(LONGEST_REVIEW_MS, Math.max(0, Number(seconds) * 1000 - ANSWER_MARGIN_MS));
}
