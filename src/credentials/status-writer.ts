// What the worker says in a record: after an issue, after a failure, after the end. Nothing is written that is there.
import { Problem } from '../problem.ts';
import {
  isRecordOf,
  statusAfterProblem,
  type PullCredentialRecord,
  type RecordStatus,
} from '../core/pull-credential-record.ts';
import { writeInsistently } from './insistent-write.ts';
import type { Clock } from '../clock.ts';
import type { CallOptions, Cluster } from '../cluster/cluster.ts';
import type { Need } from '../core/pull-credential.ts';

export interface StatusWriter {
  /** A conflict means that the record has changed: it is taken from the watch again, if it is still the same life. */
  write(
    record: PullCredentialRecord,
    statusFor: (now: PullCredentialRecord) => RecordStatus,
  ): Promise<PullCredentialRecord>;
  /** What went wrong, if the record does not say so already; what is still good stays ready. */
  report(need: Need, problem: Problem): Promise<void>;
  /** That the Secret is empty now. */
  writeExpired(record: PullCredentialRecord): Promise<void>;
  /** That the Secret which the record speaks of is gone, and an empty one is in its place. */
  writeLost(record: PullCredentialRecord, secretUid: string): Promise<void>;
}

export interface StatusWriterTools {
  readonly cluster: Pick<Cluster, 'view' | 'updateRecordStatus'>;
  readonly clock: Clock;
  /** @throws Problem lease-lost */
  options(): CallOptions;
}

export function createStatusWriter({ cluster, clock, options }: StatusWriterTools): StatusWriter {
  const { view } = cluster;

  const write: StatusWriter['write'] = (record, statusFor) => {
    const attempt = () => {
      const current = view.record(record.namespace, record.name) ?? record;
      if (current.uid !== record.uid) {
        throw new Problem(
          'cluster-missing',
          `PullCredential ${record.namespace}/${record.name} was deleted meanwhile`,
        );
      }
      return cluster.updateRecordStatus(current, statusFor(current), options());
    };
    return writeInsistently(clock, attempt, 'cluster-conflict');
  };

  function statusFor(before: RecordStatus | undefined, problem: Problem): RecordStatus {
    const now = clock.now();
    if (problem.code !== 'secret-not-ours') return statusAfterProblem(before, problem, now);
    // What was good was in a Secret that is another's now.
    return statusAfterProblem(before && { ...before, ...NOTHING_LEFT, secretUid: '' }, problem, now);
  }

  return {
    write,

    async report(need, problem) {
      const record = view.record(need.identity.namespace, need.secretName);
      if (!record || !isRecordOf(record, need)) return;
      const { status } = record;
      const says = statusFor(status, problem);
      const isSaid =
        status?.reason === says.reason && status.message === says.message && status.isReady === says.isReady;
      if (!isSaid) await write(record, (current) => statusFor(current.status, problem));
    },

    async writeExpired(record) {
      const expired = new Problem(
        'credential-expired',
        `the credential for ${record.host} has expired and could not be renewed`,
      );
      await write(record, ({ status }) =>
        statusAfterProblem(status && { ...status, ...NOTHING_LEFT }, expired, clock.now()),
      );
    },

    async writeLost(record, secretUid) {
      const lost = new Problem('cluster-missing', `Secret ${record.secretName} was deleted by somebody`);
      await write(record, ({ status }) =>
        statusAfterProblem(status && { ...status, ...NOTHING_LEFT, secretUid }, lost, clock.now()),
      );
    },
  };
}

const NOTHING_LEFT = { expiresAt: 0, refreshAt: 0 } as const;
