// How much of what is sent is parsed at once: an object takes up to 25 times the room of its text, and four of the largest
// together would be more than the heap of a small pod.
import { Problem } from '../problem.ts';

export interface ReviewRoom {
  /**
   * A place for a text of so many bytes until it is given back; a promise only where others must leave first, in order.
   * One that is larger than all the room has it alone.
   * @throws Problem `not-ready`, perhaps in the promise: too much is waiting, or `signal` ended
   */
  enter(bytes: number, signal: () => AbortSignal): Disposable | Promise<Disposable>;
}

export interface RoomLimits {
  readonly bytes: number;
  readonly waitingBytes: number;
}

export function createReviewRoom(limits: RoomLimits): ReviewRoom {
  let used = 0;
  let waiting = 0;
  const line = new Set<{ readonly bytes: number; readonly take: (place: Disposable) => void }>();

  const fits = (bytes: number) => used === 0 || used + bytes <= limits.bytes;

  function place(bytes: number): Disposable {
    used += bytes;
    return {
      [Symbol.dispose]() {
        used -= bytes;
        for (const next of line) {
          if (!fits(next.bytes)) break;
          leaveLine(next);
          next.take(place(next.bytes));
        }
      },
    };
  }

  function leaveLine(one: Parameters<typeof line.delete>[0]): void {
    if (line.delete(one)) waiting -= one.bytes;
  }

  return {
    enter(bytes, signal) {
      if (line.size === 0 && fits(bytes)) return place(bytes);
      if (waiting + bytes > limits.waitingBytes) throw tooMany();
      const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
      const one = { bytes, take: resolve };
      line.add(one);
      waiting += bytes;
      const ended = signal();
      const giveUp = () => {
        leaveLine(one);
        reject(tooMany());
      };
      if (ended.aborted) giveUp();
      else ended.addEventListener('abort', giveUp, { once: true });
      return promise;
    },
  };
}

function tooMany(): Problem {
  return new Problem('not-ready', 'too many large reviews at once');
}
