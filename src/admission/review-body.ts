// Reads a request's body up to a limit. Not express.raw: it answers an oversized body only after its last byte, which
// may never come.
import type { IncomingMessage } from 'node:http';
import { Problem } from '../problem.ts';

export interface BodyLimits {
  /** Of one body. */
  readonly bytes: number;
  /** Of all bodies that are being read. */
  readonly togetherBytes: number;
}

export type ReadBody = (request: IncomingMessage) => Promise<Buffer>;

/**
 * A body that is refused stays where it is, half read and paused; who answers decides on the rest.
 * @throws Problem `review-too-large`, at the first byte too many; `not-ready`, when all bodies together are too large;
 *   `deadline`, when the client is gone
 */
export function createBodyReader({ bytes: limit, togetherBytes }: BodyLimits): ReadBody {
  let together = 0;

  return (request) =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let kept = 0;
      let isWhole = false;

      const release = () => {
        together -= kept;
        kept = 0;
        chunks.length = 0;
      };
      const refuse = (problem: Problem) => {
        request.off('data', take).pause();
        release();
        reject(problem);
      };
      const take = (chunk: Buffer) => {
        if (kept + chunk.length > limit) return refuse(tooLarge(limit));
        if (together + chunk.length > togetherBytes) {
          return refuse(new Problem('not-ready', 'too many large reviews at once'));
        }
        chunks.push(chunk);
        kept += chunk.length;
        together += chunk.length;
      };

      if (Number(request.headers['content-length']) > limit) return refuse(tooLarge(limit));
      request.on('data', take);
      request.once('end', () => {
        const [first] = chunks;
        const body = chunks.length === 1 && first ? first : Buffer.concat(chunks);
        isWhole = true;
        release();
        resolve(body);
      });
      request.once('close', () => {
        if (isWhole) return;
        release();
        reject(new Problem('deadline', 'the client went away before its review was whole'));
      });
      // Without a listener, a connection that breaks off would end the process; `close` follows.
      request.on('error', () => undefined);
    });
}

function tooLarge(limit: number): Problem {
  return new Problem('review-too-large', `a review has at most ${limit} bytes`);
}
