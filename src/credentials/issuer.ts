// How one credential comes to be: record, empty Secret, token, exchange, Secret, status. Each write is safe to repeat, so
// that death between any two is repaired by doing it again.
import { isProblem, Problem } from '../problem.ts';
import { isRecordOf, type PullCredentialRecord } from '../core/pull-credential-record.ts';
import { secretManifest } from '../core/pull-secret.ts';
import {
  isUsable,
  keyOf,
  refreshAt,
  tokenSecondsOf,
  type Credential,
  type Need,
} from '../core/pull-credential.ts';
import { writeInsistently } from './insistent-write.ts';
import { whileLeading } from './leader.ts';
import { createStatusWriter } from './status-writer.ts';
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
  const options = () => whileLeading(isLeading, clock, WRITE_MS);
  const status = createStatusWriter({ cluster, clock, options });
  /** Needs whose record is on its way: sixteen of one account begin before the first record is there. */
  const creating = new Set<Need>();
  const underWay = new Map<string, Promise<PullCredentialRecord>>();

  async function ensureRecord(need: Need): Promise<PullCredentialRecord> {
    const { namespace, account, uid } = need.identity;
    const known = view.record(namespace, need.secretName);
    if (known && isRecordOf(known, need)) return known;
    if (known && known.account !== account) {
      throw new Problem(
        'secret-not-ours',
        `Secret ${namespace}/${need.secretName} is that of ServiceAccount ${known.account}: give ${account} another name`,
      );
    }
    if (known) {
      const message = `an earlier PullCredential ${namespace}/${need.secretName} of ServiceAccount ${account} is not gone yet`;
      throw new Problem('cluster-conflict', message);
    }
    const there = view.recordsOf(namespace, account).filter((record) => record.accountUid === uid);
    const coming = [...creating].filter(
      (other) => other.identity.uid === uid && !view.record(namespace, other.secretName),
    );
    if (there.length + coming.length >= needsPerAccount()) {
      throw new Problem(
        'too-many-needs',
        `ServiceAccount ${namespace}/${account} has ${needsPerAccount()} credentials already, and no more are allowed`,
      );
    }
    creating.add(need);
    try {
      return await cluster.createRecord(need, options());
    } finally {
      creating.delete(need);
    }
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
    const { need, rule, principal } = planned;
    const signal = clock.deadline(ISSUE_MS);
    const wish = { need, audience: principal.audience, expirationSeconds: tokenSecondsOf(rule), secretUid };
    const attempt = async () => {
      const token = await cluster.mintToken(wish, options());
      return { token, credential: await exchange({ signal, clock }, { ...token, planned }) };
    };
    // What was called too old may have been; a second one, made just now, is a matter of clocks.
    const { token, credential } = await attempt().catch((error: unknown) => {
      if (!isProblem(error, 'exchange-stale')) throw error;
      return attempt();
    });
    if (!isUsable(credential.expiresAt, clock.now())) {
      throw new Problem(
        'credential-already-expired',
        `${need.host} answered with a credential that ends in less than a minute`,
      );
    }
    const filled = secretManifest(need, record.uid, { uid: secretUid, credential });
    await writeInsistently(clock, () => cluster.updateSecret(filled, options()));
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
      const another = await ensureSecret(planned.need, record);
      return await fillSecret(planned, record, another).catch(async (failure: unknown) => {
        // What the record calls good went with the Secret: nobody may be let go for it.
        if (another !== known) await status.writeLost(record, another).catch(() => undefined);
        throw failure;
      });
    }
  }

  /** Who asks while the need is being issued gets that: a repair and a renewal may fall together. */
  function issue(planned: PlannedNeed): Promise<PullCredentialRecord> {
    const key = keyOf(planned.need);
    const flying = underWay.get(key);
    if (flying) return flying;
    const started = issueNow(planned).finally(() => underWay.delete(key));
    underWay.set(key, started);
    return started;
  }

  async function issueNow(planned: PlannedNeed): Promise<PullCredentialRecord> {
    const { need } = planned;
    const record = await ensureRecord(need);
    const { token, credential, secretUid } = await fillCurrentSecret(planned, record);
    return await status.write(record, ({ status: before }) => ({
      isReady: true,
      reason: 'issued',
      message: `credential for ${need.host} is good until ${new Date(credential.expiresAt).toISOString()}`,
      changedAt: before?.isReady ? before.changedAt : clock.now(),
      issuedAt: credential.issuedAt,
      expiresAt: credential.expiresAt,
      refreshAt: refreshAt(credential.issuedAt, credential.expiresAt, clock.random()),
      digest: need.digest,
      tokenId: token.tokenId,
      tokenKeyId: token.keyId,
      secretUid,
      ...(before?.unusedSince && { unusedSince: before.unusedSince }),
    }));
  }

  return {
    issue,
    report: status.report,

    async empty(record, need) {
      const uid = record.status?.secretUid;
      if (uid) {
        const nothing = secretManifest(need, record.uid, { uid });
        await cluster.updateSecret(nothing, options()).catch((error: unknown) => {
          // A Secret that is gone, or another's by now, carries nothing of ours.
          if (!isProblem(error, 'cluster-missing', 'cluster-conflict', 'secret-not-ours')) throw error;
        });
      }
      await status.writeExpired(record);
    },
  };
}
