// The cluster over a real API server. Who and where comes from client-node's KubeConfig (contexts, exec plugins, token
// files), and nothing else imports that library; every call goes through the one connection.
import { KubeConfig } from '@kubernetes/client-node';
import { errnoText, readText } from '../config.ts';
import { Problem } from '../problem.ts';
import { claimsOf, createKubeCalls } from './kube-calls.ts';
import { createKubeConnection, type KubeServer } from './kube-connection.ts';
import { createKubeView } from './kube-view.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Cluster } from './cluster.ts';

export interface KubeChoice {
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Our own namespace; absent: the pod's, or the context's. */
  readonly namespace?: string;
}

export interface KubeCluster extends Cluster, AsyncDisposable {
  readonly server: string;
  readonly namespace: string;
  /** True where a kubelet runs us: other replicas may stand behind the same Service. */
  readonly isInCluster: boolean;
  /** The audiences and the issuer of our own token: the API server's, which no rule may use. Empty without a token. */
  readonly ownAudiences: readonly string[];
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
  const ownAudiences = audiencesOf(await server.authorization(false));
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
    view,
    server: server.url,
    namespace,
    ownAudiences,
    isInCluster: ownNamespace() !== undefined,
    run: (signal) => view.run(signal),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

async function readKubeServer(choice: KubeChoice): Promise<KubeServer> {
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
  const { ca, cert, key, rejectUnauthorized, servername } = await readCredentials(config);
  const tls = Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(
    ([, value]) => value !== undefined,
  );
  return {
    url: cluster.server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? ownNamespace(),
    tls: Object.fromEntries(tls),
    async authorization(anew) {
      // client-node remembers token files for a minute, and what a kubeconfig says for ever.
      if (anew) config = loadKubeConfig(choice);
      const { headers, auth } = await readCredentials(config);
      const bearer = headers?.['Authorization'];
      if (typeof bearer === 'string') return bearer.trim();
      return auth ? `Basic ${Buffer.from(auth).toString('base64')}` : undefined;
    },
  };
}

function loadKubeConfig({ kubeconfig, context }: KubeChoice): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) readText(kubeconfig);
  try {
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
    else config.loadFromDefault();
  } catch (cause) {
    throw new Problem(
      'config-invalid',
      `the kubeconfig ${kubeconfig ?? 'of this user'} cannot be read as one`,
      { cause },
    );
  }
  if (context === undefined) return config;
  const known = config.getContexts().map(({ name }) => name);
  if (!known.includes(context)) {
    throw new Problem(
      'config-invalid',
      `the kubeconfig has no context ${JSON.stringify(context)}: it knows ${known.join(', ') || 'none'}`,
    );
  }
  config.setCurrentContext(context);
  return config;
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
      `cannot read the credentials that the kubeconfig names: ${errnoText(cause)}`,
      { cause },
    );
  }
  return options;
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
