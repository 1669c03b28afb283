// How one credential comes to be: record, empty Secret, token, exchange, Secret, status. Each write is safe to repeat, so
// that death between any two is repaired by doing it again.
import { isProblem, Problem, type ProblemCode } from '../problem.ts';
import {
  isRecordOf,
  statusAfterProblem,
  type PullCredentialRecord,
  type RecordStatus,
} from '../core/pull-credential-record.ts';
import { secretManifest } from '../core/pull-secret.ts';
import { refreshAt, type Credential, type Need } from '../core/pull-credential.ts';
import type { Clock } from '../clock.ts';
import type { Cluster, MintedToken } from '../cluster/cluster.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { Exchange } from '../registry/exchange.ts';

export interface Issuer {
  /** Makes or renews the credential of a need. @returns the record with its new status */
  issue(planned: PlannedNeed): Promise<PullCredentialRecord>;
  /** Says in the record what went wrong, if it does not say so already; what is still good stays ready. */
  report(need: Need, problem: Problem): Promise<void>;
  /** Empties the Secret of a dead credential: a dead entry would block anonymous pulls. */
  empty(record: PullCredentialRecord, need: Need): Promise<void>;
}

export interface IssuerTools {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly clock: Clock;
  /** Asked before every write: who has lost the Lease writes nothing more. */
  isLeading(): boolean;
  needsPerAccount(): number;
}

/** All of one issue: the kubelet's plugins have a minute, and so has the patience of a person who waits for a pod. */
const ISSUE_MS = 60_000;
/** One write, with its wait behind a thousand pods that are being released. */
const WRITE_MS = 30_000;

interface Filled {
  readonly token: MintedToken;
  readonly credential: Credential;
  readonly secretUid: string;
}

export function createIssuer({ cluster, exchange, clock, isLeading, needsPerAccount }: IssuerTools): Issuer {
  const { view } = cluster;
  const options = () => {
    if (!isLeading()) throw new Problem('lease-lost', 'another worker leads');
    return { signal: clock.deadline(WRITE_MS) };
  };

  async function ensureRecord(need: Need): Promise<PullCredentialRecord> {
    const { namespace, account, uid } = need.identity;
    const known = view.record(namespace, need.secretName);
    if (known && isRecordOf(known, need)) return known;
    if (known)
      throw new Problem(
        'cluster-conflict',
        `PullCredential ${namespace}/${need.secretName} is of an earlier ServiceAccount ${account} and not gone yet`,
      );
    const others = view.recordsOf(namespace, account).filter((record) => record.accountUid === uid);
    if (others.length >= needsPerAccount()) {
      throw new Problem(
        'too-many-needs',
        `ServiceAccount ${namespace}/${account} has ${others.length} credentials already, and no more are allowed`,
      );
    }
    return cluster.createRecord(need, options());
  }

  /** @returns the uid of the need's Secret, made empty if there is none. @throws Problem secret-not-ours */
  async function ensureSecret(need: Need, record: PullCredentialRecord): Promise<string> {
    const wanted = secretManifest(need, record.uid);
    try {
      return (await cluster.createSecret(wanted, options())).uid;
    } catch (error) {
      if (!isProblem(error, 'cluster-conflict')) throw error;
    }
    // Who may not read learns the uid by trying, and by 422 whether the Secret is another's.
    return (await cluster.updateSecret(wanted, { ...options(), dryRun: true })).uid;
  }

  async function fillSecret(
    planned: PlannedNeed,
    record: PullCredentialRecord,
    secretUid: string,
  ): Promise<Filled> {
    const { need, rule } = planned;
    const token = await cluster.mintToken(
      { need, audience: rule.audience, expirationSeconds: rule.token.expirationSeconds, secretUid },
      options(),
    );
    const credential = await exchange({ signal: clock.deadline(ISSUE_MS), clock }, { ...token, planned });
    const filled = secretManifest(need, record.uid, { uid: secretUid, credential });
    await insistently(() => cluster.updateSecret(filled, options()));
    return { token, credential, secretUid };
  }

  async function fillCurrentSecret(planned: PlannedNeed, record: PullCredentialRecord): Promise<Filled> {
    const known = record.status?.secretUid;
    if (!known) return fillSecret(planned, record, await ensureSecret(planned.need, record));
    try {
      return await fillSecret(planned, record, known);
    } catch (error) {
      // The Secret that the record speaks of is gone or has another uid: somebody deleted it by hand.
      if (!isProblem(error, 'cluster-missing', 'cluster-conflict')) throw error;
      return fillSecret(planned, record, await ensureSecret(planned.need, record));
    }
  }

  /** A conflict means that the record has changed: it is taken from the watch again, if it is still the same life. */
  function writeStatus(
    record: PullCredentialRecord,
    statusFor: (now: PullCredentialRecord) => RecordStatus,
  ): Promise<PullCredentialRecord> {
    return insistently(() => {
      const current = view.record(record.namespace, record.name) ?? record;
      if (current.uid !== record.uid) {
        throw new Problem(
          'cluster-missing',
          `PullCredential ${record.namespace}/${record.name} was deleted meanwhile`,
        );
      }
      return cluster.updateRecordStatus(current, statusFor(current), options());
    }, 'cluster-conflict');
  }

  /** What has been exchanged is not thrown away because the API server stumbled: a write is repeated while we lead. */
  async function insistently<T>(write: () => Promise<T>, ...alsoAfter: ProblemCode[]): Promise<T> {
    const until = clock.now() + ISSUE_MS;
    for (let wait = 100; ; wait = Math.min(2 * wait, 2_000)) {
      try {
        return await write();
      } catch (error) {
        const passes = isProblem(error, 'cluster-unreachable', 'cluster-throttled', 'deadline', ...alsoAfter);
        if (!passes || clock.now() + wait > until) throw error;
        await clock.sleep(wait);
      }
    }
  }

  return {
    async issue(planned) {
      const { need } = planned;
      const record = await ensureRecord(need);
      const { token, credential, secretUid } = await fillCurrentSecret(planned, record);
      return await writeStatus(record, ({ status }) => ({
        isReady: true,
        reason: 'issued',
        message: `credential for ${need.host} is good until ${new Date(credential.expiresAt).toISOString()}`,
        changedAt: status?.isReady ? status.changedAt : clock.now(),
        issuedAt: credential.issuedAt,
        expiresAt: credential.expiresAt,
        refreshAt: refreshAt(credential.issuedAt, credential.expiresAt, clock.random()),
        digest: need.digest,
        tokenId: token.tokenId,
        secretUid,
      }));
    },

    async report(need, problem) {
      const record = view.record(need.identity.namespace, need.secretName);
      if (!record || !isRecordOf(record, need)) return;
      const says = statusAfterProblem(record.status, problem, clock.now());
      const { status } = record;
      if (
        status?.reason === says.reason &&
        status.message === says.message &&
        status.isReady === says.isReady
      )
        return;
      await writeStatus(record, (current) => statusAfterProblem(current.status, problem, clock.now()));
    },

    async empty(record, need) {
      const uid = record.status?.secretUid;
      if (uid) await cluster.updateSecret(secretManifest(need, record.uid, { uid }), options());
      const expired = new Problem(
        'credential-expired',
        `the credential for ${record.host} has expired and could not be renewed`,
      );
      await writeStatus(record, ({ status }) => ({
        ...statusAfterProblem(status, expired, clock.now()),
        isReady: false,
        expiresAt: 0,
        refreshAt: 0,
      }));
    },
  };
}
