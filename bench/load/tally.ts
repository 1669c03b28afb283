// What became of the reviews of one measurement: counted all, looked into one in so many.
import { isDeepStrictEqual } from 'node:util';
import type { Exchange } from './connection.ts';

export interface LoadResult {
  readonly answered: number;
  readonly seconds: number;
  /** Answers that were looked into whole. */
  readonly sampled: number;
  /** Reviews without a 200, or whose answer was looked into and is not the expected one. */
  readonly errors: number;
  /** What went wrong first. */
  readonly firstError?: string;
  /** Those that were noted, in no order. */
  readonly latenciesMs: readonly number[];
}

/** Parsing every answer would make the client the slower side. */
const ONE_IN = 50;

export interface Tally {
  /** `latencyMs` where it means something. */
  note(exchange: Exchange, latencyMs?: number): void;
  result(seconds: number): LoadResult;
}

/** @param expected the patch that every answer must carry */
export function createTally(expected: readonly object[]): Tally {
  const latenciesMs: number[] = [];
  let answered = 0;
  let sampled = 0;
  let errors = 0;
  let firstError: string | undefined;

  return {
    note({ uid, answer }, latencyMs) {
      answered++;
      if (latencyMs !== undefined) latenciesMs.push(latencyMs);
      let fault: string | undefined;
      if (answer instanceof Error) fault = answer.message;
      else if (answer.status !== 200) fault = `status ${answer.status}: ${answer.body.toString()}`;
      else if (answered % ONE_IN === 1) {
        sampled++;
        fault = faultOf(answer.body, uid, expected);
      }
      if (fault === undefined) return;
      errors++;
      firstError ??= fault;
    },
    result: (seconds) => ({
      answered,
      seconds,
      sampled,
      errors,
      ...(firstError !== undefined && { firstError }),
      latenciesMs,
    }),
  };
}

/** What is wrong with an answer; undefined if it is the right one. */
export function faultOf(body: Buffer, uid: string, expected: readonly object[]): string | undefined {
  const { response } = JSON.parse(body.toString());
  if (response.uid !== uid) return `the answer to ${uid} carries uid ${response.uid}`;
  if (response.allowed !== true || response.patchType !== 'JSONPatch') return 'the pod was not given a patch';
  const operations: unknown = JSON.parse(Buffer.from(response.patch, 'base64').toString());
  if (!isDeepStrictEqual(operations, expected)) return `unexpected patch ${JSON.stringify(operations)}`;
  return undefined;
}
