// Bounds the calls in flight; the urgent go first.
import { Problem } from '../problem.ts';

export interface CallGate {
  /** Resolves to what gives the place back. @throws Problem deadline */
  enter(urgent: boolean, signal: AbortSignal): Promise<Disposable>;
}

/** Bounds what is in flight; the urgent wait in a queue of their own that goes first. */
export function createCallGate(places: number): CallGate {
  let free = places;
  const urgentQueue = new Set<() => void>();
  const queue = new Set<() => void>();
  const leave = () => {
    const [next] = urgentQueue.size > 0 ? urgentQueue : queue;
    if (next) {
      urgentQueue.delete(next);
      queue.delete(next);
      next();
    } else free++;
  };
  return {
    async enter(urgent, signal) {
      if (signal.aborted) throw new Problem('deadline', 'the call to the API server came too late');
      if (free > 0) free--;
      else {
        const line = urgent ? urgentQueue : queue;
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const giveUp = () => {
          line.delete(resolve);
          reject(
            new Problem(
              'deadline',
              'the call to the API server ran out of time while it waited for its turn',
            ),
          );
        };
        line.add(resolve);
        signal.addEventListener('abort', giveUp, { once: true });
        try {
          await promise;
        } finally {
          signal.removeEventListener('abort', giveUp);
        }
      }
      return { [Symbol.dispose]: leave };
    },
  };
}
