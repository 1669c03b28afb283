// What the drills on the connection to a real API server share: one arena with its webhook, and hands that change things.
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { apiClient, serviceAccountToken, type ApiRequest } from '../../tools/api-client.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena } from '../cluster/arena.ts';
import type { Replica } from '../cluster/replica.ts';

export const NAME = secretNameFor('account-0', 'team', '', HOST);

interface StoredRecord {
  readonly metadata: { readonly uid: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: {
    readonly tokenID: string;
    readonly refreshAt: string;
    readonly expiresAt: string;
  };
}

export interface StoredCredential {
  readonly uid: string;
  /** The registry password, which is the ServiceAccount's token; empty while there is none. */
  readonly token: string;
  readonly claims: { readonly jti?: string; readonly exp?: number };
}

export interface DrillStage extends AsyncDisposable {
  readonly arena: Arena;
  must(method: Parameters<ApiRequest>[0], path: string, body?: unknown): Promise<unknown>;
  /** A namespace with one account and one pod, whose credential is there. Needs a worker that leads. */
  openTeam(namespace: string): Promise<void>;
  record(namespace: string): Promise<StoredRecord>;
  credential(namespace: string): Promise<StoredCredential>;
  annotate(namespace: string): Promise<void>;
  /** The credential of the namespace's account is renewed from then on: epoch milliseconds. */
  makeDue(namespace: string, at: number): Promise<void>;
  /** From now on new pods are held: the webhook has seen that a worker lives. */
  waitForGates(): Promise<void>;
}

export async function openDrillStage(): Promise<DrillStage> {
  const arena = await openArena();
  try {
    await arena.start('webhook', 'webhook');
  } catch (error) {
    await arena[Symbol.asyncDispose]();
    throw error;
  }
  const { controlPlane } = arena;
  const { admin } = controlPlane;

  const must: DrillStage['must'] = async (method, path, body) => {
    const answer = await admin(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const recordPath = (namespace: string) =>
    `/apis/keyless-pull.dev/v1alpha1/namespaces/${namespace}/pullcredentials/${NAME}`;
  const record: DrillStage['record'] = async (namespace) =>
    (await must('GET', recordPath(namespace))) as StoredRecord;

  async function credential(namespace: string): Promise<StoredCredential> {
    const path = `/api/v1/namespaces/${namespace}/secrets/${NAME}`;
    const { metadata, data } = (await must('GET', path)) as {
      metadata: { uid: string };
      data: Record<string, string>;
    };
    const config = JSON.parse(Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString());
    const token = String(config.auths[HOST]?.password ?? '');
    const claims = token && JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return { uid: metadata.uid, token, claims: claims || {} };
  }

  const waitForGates = () => arena.waitForGates('asked');

  await arena.addNamespace('asked');
  await arena.addAccounts('asked', 1);
  return {
    arena,
    must,
    record,
    credential,
    async openTeam(namespace) {
      await arena.addNamespace(namespace);
      await arena.addAccounts(namespace, 1);
      await waitForGates();
      await arena.addPods(namespace, 1, 1);
      const isFilled = async () => {
        const { status } = await record(namespace);
        return status !== undefined && (await credential(namespace)).claims.jti === status.tokenID;
      };
      await waitUntil(`${namespace} has its credential`, isFilled, { deadlineMs: 60_000 });
      await arena.waitForRelease(namespace, 60);
    },
    async annotate(namespace) {
      await must('PATCH', recordPath(namespace), { metadata: { annotations: { drill: 'was here' } } });
    },
    async makeDue(namespace, at) {
      // Nobody but the worker may: a fence.
      const worker = apiClient(
        controlPlane,
        await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT),
      );
      const { status, ...others } = await record(namespace);
      // Who has issued it remembers when it wanted to renew it, but trusts no credential in its last minute.
      const [refreshAt, expiresAt] = [at, at + 60_000].map((instant) => new Date(instant).toISOString());
      const body = { ...others, status: { ...status, refreshAt, expiresAt } };
      const answer = await worker('PUT', `${recordPath(namespace)}/status`, body);
      if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
    },
    waitForGates,
    [Symbol.asyncDispose]: () => arena[Symbol.asyncDispose](),
  };
}

export const leads = (replica: Replica) =>
  waitUntil('the replica leads', async () => replica.worker.isLeading(), { deadlineMs: 30_000 });
