// Events as a person reads them, of either of Kubernetes' two kinds.
import { fieldsOf, instantOf, textOf } from '../core/fields.ts';

export interface UserEvent {
  /** When it was last seen, epoch milliseconds. */
  readonly at: number;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly count: number;
  /** Who wrote it: ours are of `keyless-pull.dev/worker`. */
  readonly controller: string;
}

/** core/v1 has both kinds: those of events.k8s.io, as ours, carry `eventTime`, the older ones `lastTimestamp`. */
export function viewEvent(raw: unknown): UserEvent {
  const event = fieldsOf(raw);
  const about = fieldsOf(event['involvedObject']);
  const series = fieldsOf(event['series']);
  return {
    at: instantOf(series['lastObservedTime'] ?? event['lastTimestamp'] ?? event['eventTime']),
    kind: textOf(about['kind']),
    name: textOf(about['name']),
    uid: textOf(about['uid']),
    type: textOf(event['type']),
    reason: textOf(event['reason']),
    note: textOf(event['message']),
    count: Number(series['count'] ?? event['count'] ?? 1) || 1,
    controller: textOf(event['reportingComponent']) || textOf(fieldsOf(event['source'])['component']),
  };
}
