// PullCredential, the custom resource: everything about a credential except the credential.
import { fieldsOf, instantOf, listOf, textOf } from './fields.ts';
import { isUsable, type Need } from './pull-credential.ts';
import { MANAGED_LABEL, RECORD_API_VERSION, RECORD_KIND } from './vocabulary.ts';
import type { OwnerReference } from './pull-secret.ts';
import type { Problem, ProblemCode } from '../problem.ts';

/** What the record says of the credential. Instants are epoch milliseconds, 0 when absent. */
export interface RecordStatus {
  /** A credential that is good is in the Secret. */
  readonly isReady: boolean;
  /** `issued`, or the code of the problem that stands in the way now (also while an older credential is still good). */
  readonly reason: 'issued' | ProblemCode;
  readonly message: string;
  /** When `isReady` last changed. */
  readonly changedAt: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly refreshAt: number;
  readonly digest: string;
  /** `jti` of the ServiceAccount token behind the credential: what the API server's audit log calls credential-id. */
  readonly tokenId: string;
  /** `kid` of that token: the key that signed it. Absent in what earlier versions wrote. */
  readonly tokenKeyId?: string;
  readonly secretUid: string;
  /** Since when no pod names the Secret, once that has lasted; absent or 0 while one does. */
  readonly unusedSince?: number;
}

export interface PullCredentialRecord {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly isDeleting: boolean;
  readonly account: string;
  readonly accountUid: string;
  readonly rule: string;
  readonly principal: string;
  readonly host: string;
  readonly secretName: string;
  /** Absent until the first attempt is over. */
  readonly status?: RecordStatus;
}

export function viewRecord(raw: unknown): PullCredentialRecord {
  const record = fieldsOf(raw);
  const metadata = fieldsOf(record['metadata']);
  const spec = fieldsOf(record['spec']);
  const account = fieldsOf(spec['serviceAccount']);
  const status = viewStatus(record['status']);
  return {
    namespace: textOf(metadata['namespace']),
    name: textOf(metadata['name']),
    uid: textOf(metadata['uid']),
    resourceVersion: textOf(metadata['resourceVersion']),
    isDeleting: typeof metadata['deletionTimestamp'] === 'string',
    account: textOf(account['name']),
    accountUid: textOf(account['uid']),
    rule: textOf(spec['rule']),
    principal: textOf(spec['principal']),
    host: textOf(spec['registry']),
    secretName: textOf(spec['secretName']),
    ...(status && { status }),
  };
}

function viewStatus(raw: unknown): RecordStatus | undefined {
  const status = fieldsOf(raw);
  const conditions = listOf(status['conditions']);
  const ready = conditions.find((condition) => condition['type'] === 'Ready');
  if (!ready) return undefined;
  const used = conditions.find((condition) => condition['type'] === 'Used');
  const unusedSince = used?.['status'] === 'False' ? instantOf(used['lastTransitionTime']) : 0;
  const tokenKeyId = textOf(status['tokenKeyID']);
  return {
    isReady: ready['status'] === 'True',
    // The fence keeps everybody but our worker from writing a status, so the reason is one of ours.
    reason: textOf(ready['reason']) as RecordStatus['reason'],
    message: textOf(ready['message']),
    changedAt: instantOf(ready['lastTransitionTime']),
    issuedAt: instantOf(status['issuedAt']),
    expiresAt: instantOf(status['expiresAt']),
    refreshAt: instantOf(status['refreshAt']),
    digest: textOf(status['digest']),
    tokenId: textOf(status['tokenID']),
    ...(tokenKeyId && { tokenKeyId }),
    secretUid: textOf(status['secretUID']),
    ...(unusedSince && { unusedSince }),
  };
}

/** A new record, owned by its account, so that both go together. */
export function recordManifest(need: Need): Record<string, unknown> {
  const owner: OwnerReference & { apiVersion: 'v1' } = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    name: need.identity.account,
    uid: need.identity.uid,
    controller: false,
    blockOwnerDeletion: false,
  };
  return {
    apiVersion: RECORD_API_VERSION,
    kind: RECORD_KIND,
    metadata: {
      name: need.secretName,
      namespace: need.identity.namespace,
      labels: { [MANAGED_LABEL]: 'true' },
      ownerReferences: [owner],
    },
    spec: {
      serviceAccount: { name: need.identity.account, uid: need.identity.uid },
      rule: need.rule,
      ...(need.principal && { principal: need.principal }),
      registry: need.host,
      secretName: need.secretName,
    },
  };
}

/** The `status` subresource's content, in the API conventions' shape. */
export function statusManifest(status: RecordStatus): Record<string, unknown> {
  return {
    conditions: [
      {
        type: 'Ready',
        status: status.isReady ? 'True' : 'False',
        reason: status.reason,
        message: status.message.slice(0, 1024),
        lastTransitionTime: timestamp(status.changedAt),
      },
      ...(status.unusedSince ? [unusedCondition(status.unusedSince)] : []),
    ],
    ...(status.issuedAt && { issuedAt: timestamp(status.issuedAt) }),
    ...(status.expiresAt && { expiresAt: timestamp(status.expiresAt) }),
    ...(status.refreshAt && { refreshAt: timestamp(status.refreshAt) }),
    ...(status.digest && { digest: status.digest }),
    ...(status.tokenId && { tokenID: status.tokenId }),
    ...(status.tokenKeyId && { tokenKeyID: status.tokenKeyId }),
    ...(status.secretUid && { secretUID: status.secretUid }),
  };
}

function unusedCondition(since: number): Record<string, unknown> {
  const message = 'no pod names the Secret';
  return { type: 'Used', status: 'False', reason: 'unused', message, lastTransitionTime: timestamp(since) };
}

/** The status after a failure: what is still good stays ready, and the reason says what stands in the way. */
export function statusAfterProblem(
  before: RecordStatus | undefined,
  problem: Problem,
  now: number,
): RecordStatus {
  const isReady = before !== undefined && before.isReady && isUsable(before.expiresAt, now);
  return {
    issuedAt: 0,
    expiresAt: 0,
    refreshAt: 0,
    digest: '',
    tokenId: '',
    secretUid: '',
    ...before,
    isReady,
    reason: problem.code,
    message: problem.message,
    changedAt: before?.isReady === isReady ? before.changedAt : now,
  };
}

/** True if the record is of this account's present life and of nobody else's need. */
export function isRecordOf(record: PullCredentialRecord, need: Need): boolean {
  return (
    record.accountUid === need.identity.uid &&
    record.account === need.identity.account &&
    record.rule === need.rule &&
    record.principal === need.principal &&
    record.host === need.host &&
    !record.isDeleting
  );
}

/** True if a pod with this need may start pulling now: the gate's question. */
export function isReadyFor(record: PullCredentialRecord | undefined, need: Need, now: number): boolean {
  const status = record?.status;
  if (!record || !status) return false;
  return (
    isRecordOf(record, need) &&
    status.isReady &&
    status.digest === need.digest &&
    isUsable(status.expiresAt, now)
  );
}

/** Whole seconds, as Kubernetes writes its timestamps. */
function timestamp(at: number): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
