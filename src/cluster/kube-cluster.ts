// The cluster over a real API server. Who and where comes from client-node's KubeConfig (contexts, exec plugins, token
// files), which client-node.ts alone loads; every call goes through the one connection.
import { errnoText, readText } from '../text-file.ts';
import { Problem } from '../problem.ts';
import { createKubeCalls } from './kube-calls.ts';
import { createCertificateStore } from './kube-certificates.ts';
import { createKubeConnection } from './kube-connection.ts';
import { createKubeView } from './kube-view.ts';
import { loadKubeConfig } from './kubectl-config.ts';
import { claimsOf } from './token-parts.ts';
import type { KubeConfig } from './client-node.ts';
import type { KubeServer } from './kube-standing.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { CertificateStore } from './certificate-store.ts';
import type { Cluster } from './cluster.ts';

export interface KubeChoice {
  readonly kubeconfig?: string;
  /** What KUBECONFIG says, for where no kubeconfig is named. */
  readonly usual?: string | undefined;
  readonly context?: string;
  /** Our own namespace; absent: the pod's, or the context's. */
  readonly namespace?: string;
  /** Somebody else to act as, where we may impersonate. */
  readonly as?: string;
}

export interface KubeCluster extends Cluster, CertificateStore, AsyncDisposable {
  readonly server: string;
  readonly namespace: string;
  /** True where a kubelet runs us: other replicas may stand behind the same Service. */
  readonly isInCluster: boolean;
  /** The audiences and the issuer of our own token: the API server's, which no rule may use. Empty without a token. */
  readonly ownAudiences: readonly string[];
  /** Seconds since the API server was last heard, by watch. */
  silences(): ReadonlyMap<string, number>;
  /** Runs the watches until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Where a pod finds its own namespace: kubernetes.io/docs/tasks/run-application/access-api-from-pod */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
const DEFAULT_NAMESPACE = 'keyless-pull';

export interface KubeClusterTools {
  readonly clock: Clock;
  readonly log: Log;
  onWatchRestart(watch: string): void;
}

/** @throws Problem config-invalid if there is no usable kubeconfig and we are in no cluster; file-unreadable */
export async function createKubeCluster(
  choice: KubeChoice,
  wants: { readonly pods: boolean },
  tools: KubeClusterTools,
): Promise<KubeCluster> {
  const server = await readKubeServer(choice);
  const connection = createKubeConnection(server, tools.clock);
  const view = createKubeView(wants, {
    connection,
    clock: tools.clock,
    log: tools.log,
    onRestart: tools.onWatchRestart,
  });
  const namespace = choice.namespace ?? server.namespace ?? DEFAULT_NAMESPACE;
  const ownAudiences = audiencesOf((await server.credentials(false)).authorization);
  const calls = createKubeCalls({
    connection,
    view,
    namespace,
    ownAudiences,
    clock: tools.clock,
    log: tools.log,
  });
  return {
    ...calls,
    ...createCertificateStore(connection, namespace),
    view,
    server: server.url,
    namespace,
    ownAudiences,
    isInCluster: ownNamespace() !== undefined,
    silences: () => view.silences(),
    run: (signal) => view.run(signal),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

/** @throws Problem like `createKubeCluster` */
export async function readKubeServer(choice: KubeChoice): Promise<KubeServer> {
  let config = loadKubeConfig(choice);
  const cluster = config.getCurrentCluster();
  if (!cluster)
    throw new Problem('config-invalid', 'the kubeconfig names no cluster: pass --kubeconfig and --context');
  if (!/^https:/.test(cluster.server)) {
    throw new Problem(
      'config-invalid',
      `no kubeconfig with an https server was found, only ${cluster.server}: pass --kubeconfig, or run in a pod`,
    );
  }
  const { headers } = await readCredentials(config);
  const { proxyUrl } = cluster;
  if (proxyUrl && !/^https?:/.test(proxyUrl))
    throw new Problem('config-invalid', 'the kubeconfig names a proxy that is no http or https one');
  const user = choice.as ?? headers?.['Impersonate-User'];
  return {
    url: cluster.server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? ownNamespace(),
    ...(proxyUrl && { proxy: proxyUrl }),
    ...(typeof user === 'string' && user !== '' && { impersonated: user }),
    async credentials(anew) {
      // client-node remembers token files for a minute, and what a kubeconfig says for ever.
      if (anew) config = loadKubeConfig(choice);
      const { ca, cert, key, rejectUnauthorized, servername, ...told } = await readCredentials(config);
      const tls = Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(
        ([, value]) => value !== undefined,
      );
      const bearer = told.headers?.['Authorization'];
      const basic = told.auth && `Basic ${Buffer.from(told.auth).toString('base64')}`;
      return {
        tls: Object.fromEntries(tls),
        authorization: typeof bearer === 'string' ? bearer.trim() : basic,
      };
    },
  };
}

type HttpsOptions = Parameters<KubeConfig['applyToHTTPSOptions']>[0];

/** Reads token and certificate files anew and runs exec plugins, as client-node does for its own calls. */
async function readCredentials(
  config: KubeConfig,
): Promise<Record<string, unknown> & { headers?: Record<string, unknown>; auth?: string }> {
  const options: Record<string, unknown> = { headers: {} };
  try {
    await config.applyToHTTPSOptions(options as HttpsOptions);
  } catch (cause) {
    throw new Problem(
      'file-unreadable',
      `cannot read the credentials that the kubeconfig names: ${errnoText(cause)}${pathOf(cause)}`,
      { cause },
    );
  }
  return options;
}

/** A file, or the program of a login plugin: the kubeconfig's own words. */
function pathOf(error: unknown): string {
  return error instanceof Error && 'path' in error ? `: ${String(error.path)}` : '';
}

function ownNamespace(): string | undefined {
  try {
    return readText(NAMESPACE_FILE).trim() || undefined;
  } catch {
    return undefined;
  }
}

function audiencesOf(authorization: string | undefined): string[] {
  const { aud, iss } = claimsOf(authorization?.replace(/^Bearer /, '') ?? '');
  return [aud, iss].flat().filter((audience) => typeof audience === 'string');
}
