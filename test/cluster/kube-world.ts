// The world of the cluster contract on a real API server: the worker's own account, the shipped rights and fences.
import { systemClock } from '../../src/clock.ts';
import { createKubeCluster, type KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { createLog } from '../../src/log.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import type { ContractWorld, SeenEvent } from '../cluster-contract.ts';
import {
  TEST_AUDIENCE,
  accountManifest,
  foreignSecret,
  namespaceManifest,
  podManifest,
} from '../fakes/builders.ts';
import {
  OWN_NAMESPACE,
  WORKER_ACCOUNT,
  WORKER_USER,
  applyManifests,
  installManifests,
  readManifests,
} from '../../tools/install.ts';

export interface KubeWorld extends ContractWorld {
  readonly cluster: KubeCluster;
  readonly controlPlane: ControlPlane;
  /** Names of the watches that had to be restarted so far. */
  readonly restarts: readonly string[];
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
type Raw = Record<string, unknown> & {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
};

const POLL_MS = 10;

/** A control plane with CRD, rights and fences, and the cluster of src/ as the worker, watching. */
export async function openKubeWorld(): Promise<KubeWorld> {
  const controlPlane = await startControlPlane();
  const stop = new AbortController();
  try {
    await installManifests(controlPlane, { audiences: [TEST_AUDIENCE], parts: ['crd', 'rights', 'fences'] });
    const token = await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
    const restarts: string[] = [];
    const cluster = await createKubeCluster(
      { kubeconfig: controlPlane.kubeconfigFor({ token }, OWN_NAMESPACE) },
      { pods: true },
      { clock: systemClock, log: createLog('silent'), onWatchRestart: (name) => restarts.push(name) },
    );
    const running = cluster.run(stop.signal);
    return {
      ...peopleOf(controlPlane),
      cluster,
      clock: systemClock,
      namespace: OWN_NAMESPACE,
      controlPlane,
      restarts,
      async [Symbol.asyncDispose]() {
        stop.abort();
        await running;
        await cluster[Symbol.asyncDispose]();
        await controlPlane.stop();
      },
    };
  } catch (error) {
    stop.abort();
    await controlPlane.stop();
    throw error;
  }
}

/** Everything that others than the worker do, as the administrator. */
function peopleOf(
  controlPlane: ControlPlane,
): Omit<ContractWorld, 'cluster' | 'clock' | 'namespace' | typeof Symbol.asyncDispose> {
  const { admin } = controlPlane;
  async function must(method: Method, path: string, body?: unknown): Promise<Raw> {
    const answer = await admin<Raw & { message?: string }>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body.message}`);
    return answer.body;
  }
  async function find(path: string): Promise<Raw | undefined> {
    const answer = await admin<Raw>('GET', path);
    return answer.status === 200 ? answer.body : undefined;
  }
  const core = (namespace: string, plural: string, name = '') =>
    `/api/v1/namespaces/${namespace}/${plural}${name && `/${name}`}`;
  const record = (namespace: string, name: string) =>
    `/apis/keyless-pull.dev/v1alpha1/namespaces/${namespace}/pullcredentials/${name}`;

  return {
    addNamespace: async (name, wish) =>
      void (await must('POST', '/api/v1/namespaces', namespaceManifest(name, wish))),
    async labelNamespace(name, labels) {
      const { metadata } = await must('GET', `/api/v1/namespaces/${name}`);
      const gone = Object.fromEntries(Object.keys(metadata.labels ?? {}).map((key) => [key, null]));
      const kept = { 'kubernetes.io/metadata.name': name };
      await must('PATCH', `/api/v1/namespaces/${name}`, {
        metadata: { labels: { ...gone, ...kept, ...labels } },
      });
    },
    async terminateNamespace(name) {
      const held = { metadata: { name: 'held', finalizers: ['test.example/held'] } };
      await must('POST', core(name, 'configmaps'), held);
      await must('DELETE', `/api/v1/namespaces/${name}`);
      const late = { metadata: { generateName: 'late-' } };
      await eventually('nothing is created in the namespace any more', async () =>
        (await admin('POST', core(name, 'configmaps'), late)).status === 403 ? true : undefined,
      );
    },
    addAccount: async (namespace, name, wish) =>
      viewAccount(
        await must('POST', core(namespace, 'serviceaccounts'), accountManifest(namespace, name, wish)),
      ),
    annotateAccount: async (namespace, name, annotations) =>
      void (await must('PATCH', core(namespace, 'serviceaccounts', name), { metadata: { annotations } })),
    deleteAccount: async (namespace, name) =>
      void (await must('DELETE', core(namespace, 'serviceaccounts', name))),
    addPod: async (namespace, name, wish) =>
      viewPod(await must('POST', core(namespace, 'pods'), podManifest(namespace, name, wish))),
    async gatesOf(namespace, name) {
      const pod = await find(core(namespace, 'pods', name));
      return pod && viewPod(pod).gates;
    },
    startPod: async (namespace, name) =>
      void (await must('PATCH', `${core(namespace, 'pods', name)}/status`, { status: { phase: 'Running' } })),
    holdPods: async (namespace) =>
      void (await must('POST', `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`, {
        metadata: { name: 'all' },
        spec: { minAvailable: 5, selector: {} },
      })),
    async allowEvictions() {
      await applyManifests(controlPlane, readManifests('evictions/rbac.yaml'));
      const resourceAttributes = {
        resource: 'pods',
        subresource: 'eviction',
        verb: 'create',
        namespace: 'team',
      };
      const review = { spec: { user: WORKER_USER, resourceAttributes } };
      await eventually('the right is in force', async () => {
        const { status } = await must('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', review);
        return (status as { allowed: boolean }).allowed || undefined;
      });
    },
    deletePod: async (namespace, name) => void (await must('DELETE', core(namespace, 'pods', name))),
    addOpaqueSecret: async (namespace, name, data) =>
      void (await must('POST', core(namespace, 'secrets'), {
        ...foreignSecret(namespace, name),
        stringData: data,
      })),
    async secret(namespace, name) {
      const found = await find(core(namespace, 'secrets', name));
      const decoded = Object.entries((found?.['data'] ?? {}) as Record<string, string>).map(
        ([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')] as const,
      );
      if (!found) return undefined;
      const { uid, resourceVersion, labels = {} } = found.metadata;
      return { uid, resourceVersion, labels, data: Object.fromEntries(decoded) };
    },
    deleteSecret: async (namespace, name) => void (await must('DELETE', core(namespace, 'secrets', name))),
    annotateRecord: async (namespace, name) =>
      void (await must('PATCH', record(namespace, name), { metadata: { annotations: { seen: 'yes' } } })),
    hasRecord: async (namespace, name) => (await find(record(namespace, name))) !== undefined,
    deleteRecord: async (namespace, name) => void (await must('DELETE', record(namespace, name))),
    deleteLease: async (name) =>
      void (await must('DELETE', `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/${name}`)),
    async events(namespace) {
      const list = await must('GET', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`);
      return (list['items'] as SeenEvent[]).map(({ reason, type, note, regarding: { kind, name, uid } }) => ({
        reason,
        type,
        note,
        regarding: { kind, name, uid },
      }));
    },
    eventually,
  };
}

async function eventually<Seen>(
  what: string,
  look: () => Seen | undefined | Promise<Seen | undefined>,
  withinMs = 60_000,
): Promise<Seen> {
  const startedAt = performance.now();
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() - startedAt > withinMs)
      throw new Error(`did not happen in ${withinMs} ms: ${what}`);
    await systemClock.sleep(POLL_MS);
  }
}
