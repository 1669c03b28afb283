// Bounds the calls in flight, and says who goes first when a place is free.
import { Problem } from '../problem.ts';

/** Releasing a pod comes before issuing for the next, and both before telling people about it. */
const callPriorities = ['urgent', 'ordinary', 'idle'] as const;
export type CallPriority = (typeof callPriorities)[number];

export interface CallGate {
  /** Resolves to what gives the place back. @throws Problem deadline */
  enter(priority: CallPriority, signal: AbortSignal): Promise<Disposable>;
}

export function createCallGate(places: number): CallGate {
  let free = places;
  const lines = {
    urgent: new Set<() => void>(),
    ordinary: new Set<() => void>(),
    idle: new Set<() => void>(),
  };

  function leave(): void {
    for (const priority of callPriorities) {
      const [next] = lines[priority];
      if (!next) continue;
      lines[priority].delete(next);
      return next();
    }
    free++;
  }

  return {
    async enter(priority, signal) {
      if (signal.aborted) throw new Problem('deadline', 'the call to the API server came too late');
      if (free > 0) free--;
      else {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const giveUp = () => {
          lines[priority].delete(resolve);
          reject(
            new Problem(
              'deadline',
              'the call to the API server ran out of time while it waited for its turn',
            ),
          );
        };
        lines[priority].add(resolve);
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
