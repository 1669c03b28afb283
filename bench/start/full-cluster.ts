// A real API server that already holds many PullCredentials with their accounts: what a replica finds when it starts.
import { apiClient, serviceAccountToken } from '../../tools/api-client.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { RECORD_API_VERSION, RECORD_PLURAL } from '../../src/core/vocabulary.ts';
import { recordManifest, statusManifest } from '../../src/core/pull-credential-record.ts';
import { needOf, ruleFrom } from '../../test/fakes/builders.ts';
import { AUDIENCE, HOST, openArena, type Arena } from '../../test/cluster/arena.ts';

const PER_NAMESPACE = 100;
const AT_ONCE = 24;
const DAY_MS = 24 * 3_600_000;

interface Stored {
  readonly metadata: { readonly uid: string };
}

/** @throws where the real parts are neither there nor can be built */
export async function openFullCluster(records: number, progress: (line: string) => void): Promise<Arena> {
  await using opened = new AsyncDisposableStack();
  const arena = opened.use(await openArena());
  const { url, certificateAuthorityFile, admin } = arena.controlPlane;
  // Nobody but the worker writes PullCredentials: that is fenced.
  const worker = apiClient(
    { url, certificateAuthorityFile },
    await serviceAccountToken(arena.controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT, {
      expirationSeconds: 7_200,
    }),
  );
  const must = async (ask: typeof admin, method: 'POST' | 'PUT', path: string, body: object) => {
    const answer = await ask<Stored>(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const rule = ruleFrom({ name: 'team', hosts: [HOST], audience: AUDIENCE });
  const now = Date.now();

  async function add(nth: number): Promise<void> {
    const namespace = namespaceOf(nth);
    const name = `account-${nth}`;
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    const { uid } = (await must(admin, 'POST', path, { metadata: { name } })).metadata;
    const need = needOf({ namespace, name, uid }, rule);
    const list = `/apis/${RECORD_API_VERSION}/namespaces/${namespace}/${RECORD_PLURAL}`;
    const record = await must(worker, 'POST', list, recordManifest(need));
    const status = statusManifest({
      isReady: true,
      reason: 'issued',
      message: `credential for ${HOST} is good until ${new Date(now + DAY_MS).toISOString()}`,
      changedAt: now,
      issuedAt: now,
      expiresAt: now + DAY_MS,
      refreshAt: now + 0.65 * DAY_MS,
      digest: need.digest,
      tokenId: uid,
      secretUid: uid,
    });
    await must(worker, 'PUT', `${list}/${need.secretName}/status`, { ...record, status });
  }

  for (let nth = 0; nth < records; nth += PER_NAMESPACE) await arena.addNamespace(namespaceOf(nth));
  const numbers = Array.from({ length: records }, (_, nth) => nth).values();
  const fill = async () => {
    for (const nth of numbers) {
      await add(nth);
      if ((nth + 1) % 1_000 === 0) progress(`${nth + 1} of ${records} PullCredentials`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, fill));
  const owned = opened.move();
  return { ...arena, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function namespaceOf(nth: number): string {
  return `team-${Math.floor(nth / PER_NAMESPACE)}`;
}
