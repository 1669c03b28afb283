// A worker in the test's own process, with the worker's identity and rights, over whatever connection the test gives it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { createKubeCluster, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { loadConfig } from '../../src/config.ts';
import { createWorker, type Worker } from '../../src/credentials/worker.ts';
import { createLog, type Log } from '../../src/log.ts';
import { createExchange } from '../../src/registry/exchange.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { awakeNow } from '../awake-clock.ts';
import type { ClusterChange } from '../../src/cluster/cluster.ts';
import type { Arena } from './arena.ts';

export interface Replica extends AsyncDisposable {
  readonly cluster: KubeCluster;
  readonly worker: Worker;
  readonly restarts: readonly WatchRestart[];
  /** All that its view has told, in order. */
  readonly changes: readonly ClusterChange[];
  /** Where its token is: what stands there by the next look counts. */
  readonly tokenFile: string;
}

export interface WatchRestart {
  readonly watch: string;
  /** By `awakeNow()`. */
  readonly at: number;
}

export interface ReplicaChoice {
  /** Where it reaches the API server; absent: at its own address. */
  readonly url?: string;
  /** File of the authority that it trusts; absent: the API server's own. */
  readonly certificateAuthorityFile?: string;
  /** With which it starts; absent: a fresh one. */
  readonly token?: string;
  /** False: it watches and does not work. */
  readonly works?: boolean;
  /** Absent: silent. */
  readonly log?: Log;
  /** Replaces calls of the cluster. */
  readonly change?: (cluster: KubeCluster) => Partial<KubeCluster>;
}

export async function startReplica(
  arena: Pick<Arena, 'controlPlane' | 'configFile'>,
  name: string,
  choice: ReplicaChoice = {},
): Promise<Replica> {
  const { controlPlane } = arena;
  const { url = controlPlane.url, works = true, change } = choice;
  const { certificateAuthorityFile = controlPlane.certificateAuthorityFile } = choice;
  const file = (ending: string, text: string) => {
    const path = join(controlPlane.folder, `${name}.${ending}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const fresh = () => serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
  const tokenFile = file('token', choice.token ?? (await fresh()));
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: url, 'certificate-authority': certificateAuthorityFile } }],
    users: [{ name, user: { tokenFile } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: OWN_NAMESPACE } }],
  };
  const { log = createLog('silent') } = choice;
  const restarts: WatchRestart[] = [];
  const changes: ClusterChange[] = [];
  const real = await createKubeCluster(
    { kubeconfig: file('kubeconfig', stringify(kubeconfig)), namespace: OWN_NAMESPACE },
    { pods: true },
    {
      clock: systemClock,
      log,
      onWatchRestart: (watch) => restarts.push({ watch, at: awakeNow() }),
    },
  );
  real.view.onChange((seen) => changes.push(seen));
  const cluster = { ...real, ...change?.(real) };
  const { rules, worker: limits } = loadConfig(arena.configFile);
  const worker = createWorker({
    cluster,
    exchange: createExchange({ http: createHttpCall() }),
    clock: systemClock,
    log,
    identity: name,
    settings: () => ({ rules, ...limits }),
  });
  const stop = new AbortController();
  const working = new AbortController();
  const running = real.run(stop.signal);
  const workerRuns = works ? worker.run(working.signal) : Promise.resolve();
  await waitUntil(`${name} has listed`, async () => real.view.unsynced().length === 0, {
    deadlineMs: 60_000,
  });
  return {
    cluster,
    worker,
    restarts,
    changes,
    tokenFile,
    async [Symbol.asyncDispose]() {
      working.abort();
      await workerRuns;
      stop.abort();
      await running;
      await real[Symbol.asyncDispose]();
    },
  };
}
