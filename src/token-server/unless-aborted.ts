// Waiting for what others wait for too: whoever leaves does not end it.
import { Problem } from '../problem.ts';

/** Waits as long as `signal` allows. @throws Problem `deadline`, with `sentence`, or what the promise rejects with */
export function unlessAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal,
  sentence: string,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new Problem('deadline', sentence));
    // Listened to in any case: a rejection that nobody hears ends the process.
    void promise.then(resolve, reject).then(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
  });
}
