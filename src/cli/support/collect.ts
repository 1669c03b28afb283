// What goes into a support bundle: each thing asked for with the user's rights, redacted, and, where it could not be had, why.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { LEASE_NAME, MANAGED_LABEL } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { isProblem } from '../../problem.ts';
import { metricsPortOf } from '../system/step.ts';
import { RECORDS } from '../uninstall/objects.ts';
import { redactObject, redactText } from './redact.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';
import type { TarFile } from './tar.ts';

export interface Taken {
  readonly file: string;
  readonly what: string;
  readonly bytes: number;
  /** Why it is not there. */
  readonly missing?: string;
}

export interface Collection {
  readonly files: readonly TarFile[];
  readonly contents: readonly Taken[];
}

interface Source {
  readonly file: string;
  readonly what: string;
  take(): Promise<unknown>;
}

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const OUR_PODS = { labelSelector: 'app.kubernetes.io/name=keyless-pull' };
/** Enough for a bad hour, and small enough to be sent. */
const LOG = { tailLines: '5000', limitBytes: '4000000' };

const isOurs = (raw: unknown) =>
  JSON.stringify(fieldsOf(raw)['metadata'] ?? {}).includes('keyless-pull') ||
  JSON.stringify(fieldsOf(raw)['webhooks'] ?? []).includes('keyless-pull');

/** @param more of the command's own: versions, what doctor says. @throws Problem where nothing at all can be asked */
export async function collect(
  cluster: UserCluster,
  ownNamespace: string,
  more: readonly Source[],
): Promise<Collection> {
  const pods = await cluster.pods(ownNamespace, OUR_PODS).catch((error: unknown) => {
    if (!isProblem(error, 'cluster-refused')) throw error;
    return [];
  });
  const sources = [
    ...more,
    ...objectSources(cluster, ownNamespace),
    ...pods.flatMap((pod) => podSources(cluster, ownNamespace, pod)),
  ];
  const files: TarFile[] = [];
  const contents: Taken[] = [];
  for (const { file, what, take } of sources) {
    try {
      const found = await take();
      const text =
        typeof found === 'string'
          ? redactText(found)
          : `${JSON.stringify(redactObject(found), undefined, 2)}\n`;
      files.push({ name: file, text });
      contents.push({ file, what, bytes: Buffer.byteLength(text) });
    } catch (error) {
      if (!isProblem(error)) throw error;
      contents.push({ file, what, bytes: 0, missing: `${error.message} (${error.code})` });
    }
  }
  return { files, contents };
}

function objectSources(cluster: UserCluster, ownNamespace: string): Source[] {
  const within = pathTo`/namespaces/${ownNamespace}`;
  const list = (
    file: string,
    what: string,
    path: string,
    keep: (raw: unknown) => boolean = () => true,
  ): Source => ({
    file: `objects/${file}.json`,
    what,
    take: async () => (await cluster.list(path)).filter(keep),
  });
  const one = (file: string, what: string, path: string): Source => ({
    file: `objects/${file}.json`,
    what,
    take: () => cluster.read(path),
  });
  const mentionsUs = (raw: unknown) => JSON.stringify(raw).includes('keyless-pull');
  return [
    list('deployments', 'our Deployments', `/apis/apps/v1${within}/deployments`, isOurs),
    list('pods', 'pods of our namespace', `/api/v1${within}/pods`),
    list('services', 'Services of our namespace', `/api/v1${within}/services`),
    one('config', 'the ConfigMap with the rules', `/api/v1${within}/configmaps/keyless-pull-config`),
    one('lease', "the working worker's Lease", `/apis/coordination.k8s.io/v1${within}/leases/${LEASE_NAME}`),
    one(
      'crd',
      'the definition of PullCredential',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pullcredentials.keyless-pull.dev',
    ),
    list(
      'mutating-webhooks',
      'all mutating webhook configurations: others may undo ours',
      `${ADMISSION}/mutatingwebhookconfigurations`,
    ),
    list(
      'validating-webhooks',
      'our validating webhook configuration',
      `${ADMISSION}/validatingwebhookconfigurations`,
      isOurs,
    ),
    list('fences', 'our admission policies', `${ADMISSION}/validatingadmissionpolicies`, isOurs),
    list('fence-bindings', 'and their bindings', `${ADMISSION}/validatingadmissionpolicybindings`, isOurs),
    list('cluster-roles', 'our ClusterRoles', `${RBAC}/clusterroles`, isOurs),
    list(
      'cluster-role-bindings',
      'ClusterRoleBindings that name us',
      `${RBAC}/clusterrolebindings`,
      mentionsUs,
    ),
    list('roles', 'Roles of our namespace', `${RBAC}${within}/roles`),
    list('role-bindings', 'RoleBindings that name us', `${RBAC}/rolebindings`, mentionsUs),
    list('namespaces', 'namespaces with a label of ours', '/api/v1/namespaces', (raw) =>
      JSON.stringify(fieldsOf(fieldsOf(raw)['metadata'])['labels'] ?? {}).includes('keyless-pull.dev/'),
    ),
    list('pullcredentials', 'every PullCredential', RECORDS),
    list('events', 'events that we wrote', '/api/v1/events', (raw) =>
      textOf(fieldsOf(raw)['reportingComponent']).startsWith('keyless-pull.dev/'),
    ),
    list('own-events', 'events of our namespace', `/api/v1${within}/events`),
    {
      file: 'objects/secrets-metadata.json',
      what: 'names, labels and owners of our Secrets; their content was never asked for',
      take: async () =>
        (await cluster.listMetadata('/api/v1/secrets', { labelSelector: `${MANAGED_LABEL}=true` })).map(
          withoutNotes,
        ),
    },
  ];
}

/** A tool may have written the whole of a Secret into one of its annotations. */
function withoutNotes(raw: unknown): unknown {
  const { annotations, managedFields: _, ...metadata } = fieldsOf(fieldsOf(raw)['metadata']);
  return { metadata: { ...metadata, annotations: Object.keys(fieldsOf(annotations)) } };
}

function podSources(cluster: UserCluster, ownNamespace: string, pod: unknown): Source[] {
  const name = textOf(fieldsOf(fieldsOf(pod)['metadata'])['name']);
  const within = pathTo`/api/v1/namespaces/${ownNamespace}/pods`;
  const lines = async (path: string, query: Readonly<Record<string, string>> = {}) => {
    const all: string[] = [];
    for await (const line of cluster.lines(path, query)) all.push(line);
    return `${all.join('\n')}\n`;
  };
  const log = `${within}${pathTo`/${name}`}/log`;
  const short = name.slice(0, 60);
  return [
    { file: `logs/${short}.log`, what: `log of ${name}`, take: () => lines(log, LOG) },
    {
      file: `logs/${short}.previous.log`,
      what: `log of ${name} before its last restart`,
      take: () => lines(log, { ...LOG, previous: 'true' }),
    },
    {
      file: `metrics/${short}.txt`,
      what: `metrics of ${name}`,
      take: () => lines(`${within}${pathTo`/${name}`}:${metricsPortOf(pod)}/proxy/metrics`),
    },
  ];
}
