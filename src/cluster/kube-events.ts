// Events on accounts and pods, as `kubectl describe` shows them. Best effort: a pull never waits for one.
import { fieldsOf } from '../core/fields.ts';
import { pathTo } from './kube-connection.ts';
import type { ClusterEvent } from './cluster.ts';
import type { KubeCallTools } from './kube-calls.ts';

const CONTROLLER = 'keyless-pull.dev/worker';
/** Beyond this many unwritten events the rest is dropped: a storm must not fill the memory. */
const MOST_WAITING = 2_000;
/** kubernetes/api events/v1: note is at most 1 kB. */
const LONGEST_NOTE = 1_000;

export function createEventWriter({ connection, clock, log }: KubeCallTools): (event: ClusterEvent) => void {
  let waiting = 0;

  async function write(event: ClusterEvent): Promise<void> {
    const { namespace, name } = event.regarding;
    const at = clock.now();
    await connection.call({
      method: 'POST',
      priority: 'idle',
      path: pathTo`/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
      signal: clock.deadline(30_000),
      body: {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { generateName: `${name.slice(0, 200)}-`, namespace },
        eventTime: new Date(at).toISOString().replace('Z', '000Z'),
        reportingController: CONTROLLER,
        reportingInstance: CONTROLLER,
        action: 'Credential',
        reason: event.reason,
        type: event.type,
        note: event.note.slice(0, LONGEST_NOTE),
        regarding: fieldsOf({ apiVersion: 'v1', ...event.regarding }),
      },
    });
  }

  return (event) => {
    if (waiting >= MOST_WAITING) return;
    waiting++;
    write(event)
      .catch((error: unknown) => log.debug({ reason: event.reason, error }, 'event not written'))
      .finally(() => waiting--);
  };
}
