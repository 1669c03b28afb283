// As much as the server can do: every connection sends its next review as soon as the last one is answered.
import type { Connection } from './connection.ts';
import type { LoadResult, Tally } from './tally.ts';

export function runClosedLoop(
  connections: readonly Connection[],
  tally: Tally,
  seconds: number,
): Promise<LoadResult> {
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  let busy = connections.length;

  return new Promise((resolve) => {
    const sendNext = (connection: Connection) => {
      connection.send((exchange) => {
        tally.note(exchange);
        const now = performance.now();
        if (now < endsAt) sendNext(connection);
        else if (--busy === 0) resolve(tally.result((now - startedAt) / 1000));
      });
    };
    connections.forEach(sendNext);
  });
}
