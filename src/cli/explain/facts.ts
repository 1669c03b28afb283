// Everything that explain looks at, read once: the pod, its account and namespace, their records and events, the worker.
import { Problem } from '../../problem.ts';
import { fieldsOf } from '../../core/fields.ts';
import { viewPod, type AccountView, type NamespaceView, type PodView } from '../../core/pod-view.ts';
import { CREDENTIALS_ANNOTATION, SECRET_PREFIX } from '../../core/vocabulary.ts';
import { unlessRefused, workerLine, type WorkerLine } from '../status/snapshot.ts';
import type { Config } from '../../config.ts';
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';
import type { UserEvent } from '../../cluster/user-events.ts';

export interface PodFacts {
  readonly pod: PodView;
  /** As the API server has it: what containers wait for is in no view. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** Undefined: there is none, or `notSeen` says that the user may not look. */
  readonly account: AccountView | undefined;
  readonly namespace: NamespaceView | undefined;
  /** Those that the pod refers to, by the names of their Secrets. */
  readonly records: ReadonlyMap<string, PullCredentialRecord>;
  /** Secrets of ours, or with a record, in the pod's order. */
  readonly secrets: readonly string[];
  /** Of pod and account, oldest first. */
  readonly events: readonly UserEvent[];
  readonly worker: WorkerLine;
  readonly notSeen: readonly string[];
  readonly config: Config | undefined;
  readonly now: number;
}

/** @throws Problem cluster-missing if there is no such pod, and what a UserCluster throws */
export async function gatherFacts(
  cluster: UserCluster,
  name: string,
  wish: {
    readonly ownNamespace: string;
    readonly config: Config | undefined;
    readonly now: () => number;
  },
): Promise<PodFacts> {
  const within = cluster.namespace;
  const raw = await cluster.findPod(within, name);
  if (raw === undefined) throw new Problem('cluster-missing', `there is no pod ${within}/${name}`);
  const pod = viewPod(raw, within);
  const notSeen: string[] = [];
  const unlessNo = <Thing>(what: string, look: () => Promise<Thing>) => unlessRefused(what, notSeen, look);
  const [account, namespace, records, ofPod, ofAccount, lease] = await Promise.all([
    unlessNo('the ServiceAccount', () => cluster.findAccount(within, pod.serviceAccount)),
    unlessNo('the namespace', () => cluster.findNamespace(within)),
    unlessNo('PullCredentials', () => cluster.records(within)),
    unlessNo('events of the pod', () => cluster.events(within, 'Pod', name)),
    unlessNo('events of the ServiceAccount', () =>
      cluster.events(within, 'ServiceAccount', pod.serviceAccount),
    ),
    unlessNo('the Lease of the worker', () => cluster.findLease(wish.ownNamespace)),
  ]);
  const now = wish.now();
  const byName = new Map((records ?? []).map((record) => [record.secretName, record]));
  const secrets = pod.pullSecrets.filter((one) => one.startsWith(SECRET_PREFIX) || byName.has(one));
  // An earlier pod or account of that name had events of its own.
  const events = [
    ...(ofPod ?? []).filter(({ uid }) => uid === pod.uid),
    ...(ofAccount ?? []).filter(({ uid, controller }) => isOurs(controller) && uid === (account?.uid ?? uid)),
  ].sort((one, other) => one.at - other.at);
  return {
    pod,
    raw: fieldsOf(raw),
    account,
    namespace,
    records: new Map(
      (records ?? []).flatMap((one) =>
        secrets.includes(one.secretName) ? [[one.secretName, one] as const] : [],
      ),
    ),
    secrets,
    events,
    worker: workerLine(lease, notSeen, now),
    notSeen,
    config: wish.config,
    now,
  };
}

function isOurs(controller: string): boolean {
  return controller.startsWith('keyless-pull.dev/');
}

export interface AnnotatedRule {
  readonly rule: string;
  /** `kubelet`: the node's own credential provider serves it. */
  readonly secret: string;
}

/** What admission wrote down for people. */
export function annotatedRules(pod: PodView): AnnotatedRule[] {
  return (pod.annotations[CREDENTIALS_ANNOTATION] ?? '').split(',').flatMap((entry) => {
    const [rule = '', secret = ''] = entry.trim().split('=');
    return rule !== '' && secret !== '' ? [{ rule, secret }] : [];
  });
}
