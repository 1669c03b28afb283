// What people are told of a credential's life: events on its account, and one log line each.
import { isProblem, type Problem } from '../problem.ts';
import type { Cluster, EventReason } from '../cluster/cluster.ts';
import type { Log } from '../log.ts';
import type { Need } from '../core/pull-credential.ts';
import type { RecordStatus } from '../core/pull-credential-record.ts';
import type { Attempt } from './attempt.ts';

export interface Teller {
  /** @param before the record's status when the attempt began */
  attempted(need: Need, before: RecordStatus | undefined, attempt: Attempt): void;
  /** @param reason what the record gave as reason while the credential was still good */
  expired(need: Need, reason: RecordStatus['reason']): void;
}

export function createTeller({
  cluster,
  log,
}: {
  readonly cluster: Pick<Cluster, 'emit'>;
  readonly log: Log;
}): Teller {
  function emit(need: Need, reason: EventReason, type: 'Normal' | 'Warning', note: string): void {
    const { namespace, account, uid } = need.identity;
    cluster.emit({
      reason,
      type,
      note,
      regarding: { kind: 'ServiceAccount', namespace, name: account, uid },
    });
  }

  return {
    attempted(need, before, attempt) {
      const { namespace, account: serviceAccount } = need.identity;
      const shown = { namespace, serviceAccount, rule: need.rule, registry: need.host };
      if (attempt.kind === 'failed') {
        const { problem, failures } = attempt;
        const isOurs = isOurOwnTrouble(problem);
        const level = isOurs || failures === 0 ? 'debug' : 'warn';
        log[level]({ ...shown, failures, error: problem }, 'credential not issued');
        if (isOurs || !isWorthTelling(problem, failures)) return;
        const reason = problem.code === 'secret-not-ours' ? 'SecretNotOurs' : 'CredentialRefused';
        return emit(
          need,
          reason,
          'Warning',
          `no credential for ${need.host} (${problem.code}): ${problem.message}`,
        );
      }
      if (!attempt.isNew) return;
      const isFirst = !before?.issuedAt;
      log.info(shown, isFirst ? 'credential issued' : 'credential renewed');
      if (before && before.reason !== 'issued') {
        emit(need, 'CredentialRecovered', 'Normal', `the credential for ${need.host} is good again`);
      } else if (isFirst) {
        emit(
          need,
          'CredentialIssued',
          'Normal',
          `the credential for ${need.host} is in Secret ${need.secretName}`,
        );
      }
    },
    expired(need, reason) {
      // Nobody tried to renew what no rule asks for any more.
      const why = reason === 'issued' ? '' : ` (${reason})`;
      const { namespace, account: serviceAccount } = need.identity;
      log.error(
        { namespace, serviceAccount, rule: need.rule, registry: need.host, reason },
        'credential expired',
      );
      emit(
        need,
        'CredentialExpired',
        'Warning',
        `the credential for ${need.host} has expired${why}: Secret ${need.secretName} is empty now`,
      );
    },
  };
}

/** The API server or the Lease stood in the way, not the need itself: nothing that the account's people could mend. */
function isOurOwnTrouble(problem: Problem): boolean {
  return isProblem(
    problem,
    'lease-lost',
    'cluster-unreachable',
    'cluster-throttled',
    'cluster-conflict',
    'deadline',
    // Whoever ended the namespace or took the label away knows.
    'namespace-refused',
  );
}

/** The first failure, and then each time the count of failures has doubled: an event is no heartbeat. */
function isWorthTelling(problem: Problem, failures: number): boolean {
  const patience = isProblem(problem, 'exchange-unreachable', 'cluster-missing') ? 4 : 1;
  return failures >= patience && Number.isInteger(Math.log2(failures / patience));
}
