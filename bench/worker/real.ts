// A cold start on a real API server: a thousand accounts with a pod each, the real program as the worker, and one endpoint.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { RECORD_API_VERSION, RECORD_PLURAL } from '../../src/core/vocabulary.ts';
import { AUDIENCE, openArena } from '../../test/cluster/arena.ts';
import { startGateway } from './gateway.ts';

export interface ColdStart {
  /** From the worker's start, which is when it leads, to the last Secret. */
  readonly seconds: number;
  readonly credentials: number;
  readonly exchanges: number;
  /** The worker's own, of the audit log: without watches, lists and the Lease. */
  readonly requests: number;
  readonly throttled: number;
  readonly idleBytes: number;
  readonly heldBytes: number;
}

export interface ColdStartWish {
  readonly accounts: number;
  readonly ratePerEndpoint: number;
  readonly burst: number;
  readonly progress: (line: string) => void;
}

const NAMESPACE = 'cold';
const RULE = 'gateway';
const OBJECTS_AT_ONCE = 20;
const LOOK_MS = 250;
/** Of needs / rate. */
const PATIENCE = 6;

/** @throws where the real parts are neither there nor can be built */
export async function startCold({
  accounts,
  ratePerEndpoint,
  burst,
  progress,
}: ColdStartWish): Promise<ColdStart> {
  await using gateway = await startGateway();
  await using arena = await openArena();
  const host = arena.host;
  const authorityFile = `${arena.controlPlane.folder}/gateway.crt`;
  writeFileSync(authorityFile, gateway.certificateAuthority);
  const rule = {
    name: RULE,
    hosts: [host],
    audience: AUDIENCE,
    exchange: { kind: 'token-realm', endpoint: gateway.url, certificateAuthorityFile: authorityFile },
  };
  writeFileSync(
    arena.configFile,
    stringify({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      fences: 'optional',
      worker: { ratePerEndpoint, burst },
      rules: [rule],
    }),
  );
  const { admin } = arena.controlPlane;
  const must = async (path: string, body: object) => {
    const { status } = await admin('POST', path, body);
    if (status >= 300) throw new Error(`POST ${path} was answered with ${status}`);
  };
  // It writes the reference into the pods; no gate, for there is no worker yet.
  await arena.start('webhook', 'webhook');
  await arena.addNamespace(NAMESPACE);
  progress(`making ${accounts} accounts and pods`);
  const numbers = Array.from({ length: accounts }, (_, nth) => nth).values();
  const make = async () => {
    for (const nth of numbers) {
      const name = `account-${nth}`;
      await must(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name } });
      await must(`/api/v1/namespaces/${NAMESPACE}/pods`, {
        metadata: { name: `app-${nth}` },
        spec: { serviceAccountName: name, containers: [{ name: 'app', image: `${host}/app:1` }] },
      });
    }
  };
  await Promise.all(Array.from({ length: OBJECTS_AT_ONCE }, make));

  const readReady = async () => {
    const path = `/apis/${RECORD_API_VERSION}/namespaces/${NAMESPACE}/${RECORD_PLURAL}`;
    const { body } = await admin<{ items?: { status?: { issuedAt?: string } }[] }>('GET', path);
    return (body.items ?? []).filter(({ status }) => status?.issuedAt !== undefined).length;
  };
  const worker = await arena.start('worker', 'worker');
  while (!worker.isLeading()) await sleep(LOOK_MS / 10);
  const from = performance.now();
  const idleBytes = residentOf(worker.pid);
  const lastAt = () =>
    arena.calls().findLast(({ resource, verb }) => resource === 'secrets' && verb === 'update');
  const until = from + PATIENCE * (accounts / ratePerEndpoint) * 1_000;
  let ready = 0;
  while (ready < accounts && performance.now() < until) {
    // A list of a thousand costs the API server as much as issuing ten.
    await sleep(Math.max(LOOK_MS, gateway.logins.length < accounts ? 2_000 : 0));
    ready = await readReady();
    progress(`${ready} of ${accounts}`);
  }
  const startedAt = Date.now() - (performance.now() - from);
  const calls = arena
    .calls()
    .filter(({ namespace, verb }) => namespace === NAMESPACE && verb !== 'watch' && verb !== 'list');
  return {
    seconds: ((lastAt()?.receivedAt ?? Infinity) - startedAt) / 1000,
    credentials: ready,
    exchanges: gateway.logins.length,
    requests: calls.filter(({ resource }) => resource !== 'events').length,
    throttled: calls.filter(({ status }) => status === 429).length,
    idleBytes,
    heldBytes: residentOf(worker.pid),
  };
}

function residentOf(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
