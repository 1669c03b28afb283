// What status tells, taken at one moment: credentials, pods that wait, the worker.
import { isProblem } from '../../problem.ts';
import { isGated, viewPod, type PodView } from '../../core/pod-view.ts';
import { SECRET_PREFIX } from '../../core/vocabulary.ts';
import { timestampOf } from '../printable.ts';
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';

export interface CredentialLine {
  readonly namespace: string;
  readonly name: string;
  readonly account: string;
  readonly rule: string;
  readonly registry: string;
  readonly principal: string;
  readonly ready: boolean;
  /** `issued`, `pending` before the first attempt is over, or the code of what stands in the way. */
  readonly reason: string;
  readonly message: string;
  readonly expiresAt: string | null;
  readonly refreshAt: string | null;
}

export interface WaitingPod {
  readonly namespace: string;
  readonly name: string;
  readonly account: string;
  readonly since: string | null;
  readonly waitedSeconds: number;
  readonly waitsFor: readonly {
    readonly secret: string;
    readonly registry: string;
    readonly reason: string;
  }[];
}

export interface WorkerLine {
  /** `unknown`: the user may not read the Lease. */
  readonly state: 'alive' | 'silent' | 'absent' | 'unknown';
  readonly holder: string;
  readonly renewedSecondsAgo: number | null;
}

export interface Snapshot {
  readonly credentials: readonly CredentialLine[];
  readonly waiting: readonly WaitingPod[];
  readonly worker: WorkerLine;
  /** What the user may not see, and so is not judged. */
  readonly notSeen: readonly string[];
  readonly summary: {
    readonly credentials: number;
    readonly ready: number;
    readonly waiting: number;
    readonly waitingTooLong: number;
    readonly ok: boolean;
  };
}

/** A pod that is held waits for a second or two; after a minute somebody should look. */
export const LONG_WAIT_SECONDS = 60;
/** The worker renews every two seconds; clocks of people's machines may be a good deal off. */
const SILENT_SECONDS = 60;

/** @param namespace undefined: all of them. @throws Problem if the credentials cannot be listed */
export async function takeSnapshot(
  cluster: UserCluster,
  wish: { readonly namespace: string | undefined; readonly ownNamespace: string; readonly now: () => number },
): Promise<Snapshot> {
  const notSeen: string[] = [];
  const [records, pods, lease] = await Promise.all([
    cluster.records(wish.namespace),
    unlessRefused('pods', notSeen, () =>
      cluster.pods(wish.namespace, { fieldSelector: 'status.phase=Pending' }),
    ),
    unlessRefused('the Lease of the worker', notSeen, () => cluster.findLease(wish.ownNamespace)),
  ]);
  const now = wish.now();
  const byName = new Map(records.map((record) => [`${record.namespace}/${record.name}`, record]));
  const credentials = records.map((record) => credentialLine(record, now)).sort(inOrder);
  const waiting = (pods ?? [])
    .map((pod) => viewPod(pod))
    .filter((pod) => isGated(pod) && !pod.isDeleting)
    .map((pod) => waitingPod(pod, byName, now))
    .sort((one, other) => other.waitedSeconds - one.waitedSeconds);
  const worker = workerLine(lease, notSeen, now);
  const ready = credentials.filter((line) => line.ready).length;
  const waitingTooLong = waiting.filter(({ waitedSeconds }) => waitedSeconds > LONG_WAIT_SECONDS).length;
  const isWorked = worker.state === 'alive' || worker.state === 'unknown';
  const ok = ready === credentials.length && waitingTooLong === 0 && isWorked;
  const summary = { credentials: credentials.length, ready, waiting: waiting.length, waitingTooLong, ok };
  return { credentials, waiting, worker, notSeen, summary };
}

/** A tenant may see credentials and neither the worker's namespace nor, perhaps, pods. */
export async function unlessRefused<Thing>(
  what: string,
  notSeen: string[],
  look: () => Promise<Thing>,
): Promise<Thing | undefined> {
  try {
    return await look();
  } catch (error) {
    if (!isProblem(error, 'cluster-refused') || !error.details.upstream?.startsWith('403')) throw error;
    notSeen.push(what);
    return undefined;
  }
}

function inOrder(one: CredentialLine, other: CredentialLine): number {
  const of = (line: CredentialLine) => `${line.namespace}/${line.account}/${line.rule}/${line.registry}`;
  return of(one) < of(other) ? -1 : 1;
}

function credentialLine(record: PullCredentialRecord, now: number): CredentialLine {
  const { namespace, name, account, rule, host: registry, principal, status } = record;
  const isOver = status?.isReady === true && status.expiresAt <= now;
  // Nobody was there to write it down.
  const reason = isOver && status.reason === 'issued' ? 'credential-expired' : (status?.reason ?? 'pending');
  return {
    namespace,
    name,
    account,
    rule,
    registry,
    principal,
    ready: status?.isReady === true && !isOver,
    reason,
    message: reason === 'issued' ? '' : (status?.message ?? ''),
    expiresAt: timestampOf(status?.expiresAt ?? 0),
    refreshAt: timestampOf(status?.refreshAt ?? 0),
  };
}

function waitingPod(
  pod: PodView,
  records: ReadonlyMap<string, PullCredentialRecord>,
  now: number,
): WaitingPod {
  const waitsFor = pod.pullSecrets.flatMap((secret) => {
    const record = records.get(`${pod.namespace}/${secret}`);
    if (!record && !secret.startsWith(SECRET_PREFIX)) return [];
    if (!record) return [{ secret, registry: '', reason: 'no PullCredential yet' }];
    const { ready, reason, registry } = credentialLine(record, now);
    // What is there is not waited for: the worker takes the gate away with its next look.
    return ready ? [] : [{ secret, registry, reason }];
  });
  return {
    namespace: pod.namespace,
    name: pod.name,
    account: pod.serviceAccount,
    since: timestampOf(pod.createdAt),
    waitedSeconds: Math.max(0, Math.round((now - pod.createdAt) / 1000)),
    waitsFor,
  };
}

export function workerLine(
  lease: { readonly holder: string; readonly renewedAt: number } | undefined,
  notSeen: readonly string[],
  now: number,
): WorkerLine {
  if (notSeen.includes('the Lease of the worker'))
    return { state: 'unknown', holder: '', renewedSecondsAgo: null };
  if (!lease || lease.holder === '') return { state: 'absent', holder: '', renewedSecondsAgo: null };
  const renewedSecondsAgo = Math.max(0, Math.round((now - lease.renewedAt) / 1000));
  const state = renewedSecondsAgo > SILENT_SECONDS ? 'silent' : 'alive';
  return { state, holder: lease.holder, renewedSecondsAgo };
}
