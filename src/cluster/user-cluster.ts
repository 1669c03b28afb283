// The cluster as a person at a command line reaches it: kubectl's own flags, the person's rights, lists page by page. No
// watches, and of Secrets the metadata alone. What a command changes beyond our gate on a pod it says itself, by `call`.
import { Problem, isProblem } from '../problem.ts';
import { fieldsOf, instantOf, textOf } from '../core/fields.ts';
import { viewAccount, viewNamespace } from '../core/pod-view.ts';
import { viewRecord, type PullCredentialRecord } from '../core/pull-credential-record.ts';
import { API_GROUP, LEASE_NAME, RECORD_PLURAL } from '../core/vocabulary.ts';
import {
  createKubeConnection,
  findOne,
  pathTo,
  type KubeCall,
  type KubeConnection,
} from './kube-connection.ts';
import { readKubeServer, type KubeChoice } from './kube-cluster.ts';
import { ungating } from './kube-pods.ts';
import { viewEvent, type UserEvent } from './user-events.ts';
import { listPages, type ListPage } from './user-pages.ts';
import type { AccountView, NamespaceView, PodView } from '../core/pod-view.ts';
import type { Clock } from '../clock.ts';

export interface SignOfLife {
  readonly holder: string;
  readonly renewedAt: number;
}

/** A namespace left out: all of them. Every call throws a Problem like a KubeConnection's. */
export interface UserCluster extends AsyncDisposable {
  /** Where the user is: `--namespace`, else the context's, else `default`. */
  readonly namespace: string;
  /** Any document of the API server, by its path. */
  read(path: string): Promise<unknown>;
  /** Any call, for what no other method does. */
  call(wish: Omit<KubeCall, 'signal'>): Promise<unknown>;
  /** A collection in one piece, of whatever size. */
  list(path: string, query?: Readonly<Record<string, string>>): Promise<readonly unknown[]>;
  /** The same without spec, status and data, which never leave the API server. */
  listMetadata(path: string, query?: Readonly<Record<string, string>>): Promise<readonly unknown[]>;
  /** Reviews and tokens: what is made and not stored. `onRefused` sees the words of a no, which may not be shown. */
  ask(path: string, body: unknown, onRefused?: (message: string) => void): Promise<unknown>;
  /** The one object of that name in a collection: by name, else by a list of one, for a right to list has not the other. */
  find(collection: string, name: string): Promise<unknown>;
  /** A collection of any size, a page at a time. */
  pages(path: string, query?: Readonly<Record<string, string>>): AsyncIterable<ListPage>;
  /** A text, line by line: logs, metrics. */
  lines(path: string, query?: Readonly<Record<string, string>>): AsyncIterable<string>;
  /** As the API server has them: what a container waits for is in no view. */
  pods(namespace?: string, query?: Readonly<Record<string, string>>): Promise<readonly unknown[]>;
  records(namespace?: string): Promise<readonly PullCredentialRecord[]>;
  /** Of one object, oldest first. */
  events(namespace: string, kind: 'Pod' | 'ServiceAccount', name: string): Promise<readonly UserEvent[]>;
  findPod(namespace: string, name: string): Promise<unknown>;
  findAccount(namespace: string, name: string): Promise<AccountView | undefined>;
  findNamespace(name: string): Promise<NamespaceView | undefined>;
  /** Of the working worker. */
  findLease(namespace: string): Promise<SignOfLife | undefined>;
  /** `gone`: there was none any more, or it is another pod's by now. */
  releaseGate(pod: Pick<PodView, 'namespace' | 'name' | 'uid'>): Promise<'released' | 'gone'>;
  token(account: AccountView, spec: object, onRefused?: (message: string) => void): Promise<unknown>;
}

const METADATA_ALONE = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
/** A slow cluster's longest list; a person has broken off by then. */
const CALL_MS = 30_000;

/** @throws Problem config-invalid or file-unreadable for a kubeconfig that is none */
export async function openUserCluster(
  choice: KubeChoice,
  tools: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<UserCluster> {
  const server = await readKubeServer(choice);
  const connection = createKubeConnection(server, tools.clock);
  return createUserCluster(connection, choice.namespace ?? server.namespace ?? 'default', tools);
}

function createUserCluster(
  connection: KubeConnection,
  namespace: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): UserCluster {
  const deadline = () => clock.deadline(CALL_MS, signal);
  const call = (wish: Omit<KubeCall, 'signal'>) =>
    connection.call({ ...wish, signal: deadline() }).catch((error: unknown) => {
      throw isProblem(error, 'cluster-refused') && upstreamOf(error).startsWith('401')
        ? notLoggedIn(error)
        : error;
    });
  const read = (path: string, query: Readonly<Record<string, string>> = {}) =>
    call({ method: 'GET', path, query });

  async function list(
    path: string,
    query: Readonly<Record<string, string>> = {},
    accept?: string,
  ): Promise<readonly unknown[]> {
    const asked = (wish: Omit<KubeCall, 'signal'>) => call({ ...wish, ...(accept && { accept }) });
    try {
      const items: unknown[] = [];
      for await (const page of listPages(asked, path, query)) items.push(...page.items);
      return items;
    } catch (error) {
      if (!isProblem(error) || !upstreamOf(error).startsWith('410')) throw error;
      // The list has become too old to go on with: once more, in one piece, as kubectl does.
      const { items } = fieldsOf(await asked({ method: 'GET', path, query }));
      return Array.isArray(items) ? items : [];
    }
  }

  async function find(collection: string, name: string): Promise<unknown> {
    try {
      return await read(`${collection}${pathTo`/${name}`}`);
    } catch (error) {
      if (isProblem(error, 'cluster-missing')) return undefined;
      if (!isProblem(error, 'cluster-refused') || !upstreamOf(error).startsWith('403')) throw error;
      return findOne(connection, collection, name, deadline());
    }
  }

  const ask: UserCluster['ask'] = (path, body, onRefused) =>
    call({ method: 'POST', path, body, ...(onRefused && { onRefused }) });
  const within = (group: string, of: string | undefined, plural: string) =>
    of === undefined ? `${group}/${plural}` : `${group}${pathTo`/namespaces/${of}`}/${plural}`;

  return {
    namespace,
    read,
    call,
    list: (path, query) => list(path, query),
    listMetadata: (path, query) => list(path, query, METADATA_ALONE),
    ask,
    find,
    pages: (path, query) => listPages(call, path, query),
    lines: (path, query = {}) => connection.lines({ path, query, signal: deadline() }),
    pods: (of, query) => list(within('/api/v1', of, 'pods'), query),
    async records(of) {
      try {
        return (await list(within(`/apis/${API_GROUP}/v1alpha1`, of, RECORD_PLURAL))).map(viewRecord);
      } catch (cause) {
        if (!isProblem(cause, 'cluster-missing')) throw cause;
        const message = 'this cluster knows no PullCredentials: keyless-pull is not installed in it';
        throw new Problem('cluster-missing', message, { cause });
      }
    },
    async events(of, kind, name) {
      const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${name}`;
      const found = await list(pathTo`/api/v1/namespaces/${of}/events`, { fieldSelector });
      return found.map(viewEvent).sort((one, other) => one.at - other.at);
    },
    findPod: (of, name) => find(pathTo`/api/v1/namespaces/${of}/pods`, name),
    async findAccount(of, name) {
      const found = await find(pathTo`/api/v1/namespaces/${of}/serviceaccounts`, name);
      return found === undefined ? undefined : viewAccount(found);
    },
    async findNamespace(name) {
      const found = await find('/api/v1/namespaces', name);
      return found === undefined ? undefined : viewNamespace(found);
    },
    async findLease(of) {
      const found = await find(pathTo`/apis/coordination.k8s.io/v1/namespaces/${of}/leases`, LEASE_NAME);
      const { holderIdentity, renewTime } = fieldsOf(fieldsOf(found)['spec']);
      return found === undefined
        ? undefined
        : { holder: textOf(holderIdentity), renewedAt: instantOf(renewTime) };
    },
    async releaseGate(pod) {
      try {
        await call(ungating(pod));
        return 'released';
      } catch (error) {
        const isAnother = isProblem(error, 'cluster-refused') && /^422(?!.*policy)/.test(upstreamOf(error));
        if (isAnother || isProblem(error, 'cluster-missing', 'cluster-conflict')) return 'gone';
        throw error;
      }
    },
    token: ({ namespace: of, name, uid }, spec, onRefused) => {
      const path = pathTo`/api/v1/namespaces/${of}/serviceaccounts/${name}/token`;
      const kind = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' };
      return ask(path, { ...kind, metadata: { uid }, spec }, onRefused);
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

function notLoggedIn(cause: Problem): Problem {
  const message = 'the API server does not accept the credentials of your kubeconfig: log in again';
  return new Problem('cluster-refused', message, { cause, details: cause.details });
}

function upstreamOf(problem: Problem): string {
  return problem.details.upstream ?? '';
}
