// What the API server answers, read with a bound: one JSON document, or a watch's lines.
import type { Dispatcher } from 'undici';
import { Problem } from '../problem.ts';
import { transportProblem } from './kube-problem.ts';

/** A page of 500 stored objects of at most 1.5 MiB each would be more; nobody has those. */
const LARGEST_ANSWER = 256 * 1024 * 1024;

/** Undefined for an empty body, or for an error page that is no JSON: its status still tells. @throws Problem */
export async function readBody(response: Dispatcher.ResponseData, signal: AbortSignal): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body) {
      size += (chunk as Buffer).length;
      if (size > LARGEST_ANSWER)
        throw new Problem('cluster-unreachable', 'the API server sent an answer over the limit');
      chunks.push(chunk as Buffer);
    }
    return size === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    if (cause instanceof SyntaxError && response.statusCode >= 300) return undefined;
    throw transportProblem(cause, signal);
  }
}

export async function* splitLines(body: AsyncIterable<Buffer>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
}
