// What is ours in a cluster, found by name and label, and how one of it is deleted: that very one, or not at all.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { API_GROUP, MANAGED_LABEL, RECORD_PLURAL } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { isProblem } from '../../problem.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';

export interface OurObject {
  /** For people: `Secret shop/keyless-pull-web`. */
  readonly told: string;
  readonly path: string;
  readonly uid: string;
}

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
export const RECORDS = `/apis/${API_GROUP}/v1alpha1/${RECORD_PLURAL}`;
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const LABEL = 'app.kubernetes.io/name';

const isNamedOurs = (raw: unknown) => {
  const { name, labels } = fieldsOf(fieldsOf(raw)['metadata']);
  return /^keyless-pull(-|$)/.test(textOf(name)) || fieldsOf(labels)[LABEL] === 'keyless-pull';
};
const hasOurHook = (raw: unknown) =>
  JSON.stringify(fieldsOf(raw)['webhooks'] ?? []).includes(`.${API_GROUP}"`);

export function findWebhooks(cluster: UserCluster): Promise<OurObject[]> {
  return findAll(
    cluster,
    [`${ADMISSION}/mutatingwebhookconfigurations`, `${ADMISSION}/validatingwebhookconfigurations`],
    hasOurHook,
  );
}

export function findFences(cluster: UserCluster): Promise<OurObject[]> {
  // Bindings first: a policy that is bound no more refuses nothing.
  const kinds = ['validatingadmissionpolicybindings', 'validatingadmissionpolicies'];
  return findAll(
    cluster,
    kinds.map((kind) => `${ADMISSION}/${kind}`),
    isNamedOurs,
  );
}

export function findReplicas(cluster: UserCluster, ownNamespace: string): Promise<OurObject[]> {
  const within = pathTo`/namespaces/${ownNamespace}`;
  const paths = [`/apis/apps/v1${within}/deployments`, `/apis/policy/v1${within}/poddisruptionbudgets`];
  return findAll(cluster, paths, isNamedOurs);
}

/** Bindings before roles, and those that a namespace was given for itself too. */
export function findRights(cluster: UserCluster): Promise<OurObject[]> {
  const kinds = ['clusterrolebindings', 'rolebindings', 'clusterroles'];
  return findAll(
    cluster,
    kinds.map((kind) => `${RBAC}/${kind}`),
    isNamedOurs,
  );
}

export async function findCrd(cluster: UserCluster): Promise<OurObject[]> {
  const found = await cluster.find(CRDS, `${RECORD_PLURAL}.${API_GROUP}`);
  return found === undefined ? [] : [objectOf(CRDS, found)];
}

/** None where the CRD is gone already. */
export async function findRecords(cluster: UserCluster): Promise<OurObject[]> {
  return findAll(cluster, [RECORDS], () => true).catch((error: unknown) => {
    if (!isProblem(error, 'cluster-missing')) throw error;
    return [];
  });
}

/** Metadata alone. */
export async function findSecrets(cluster: UserCluster): Promise<OurObject[]> {
  const secrets = await cluster.listMetadata('/api/v1/secrets', { labelSelector: `${MANAGED_LABEL}=true` });
  return secrets.map((raw) => objectOf('/api/v1/secrets', raw));
}

async function findAll(
  cluster: UserCluster,
  paths: readonly string[],
  isOurs: (raw: unknown) => boolean,
): Promise<OurObject[]> {
  const found: OurObject[] = [];
  for (const path of paths)
    for (const raw of await cluster.list(path)) if (isOurs(raw)) found.push(objectOf(path, raw));
  return found;
}

function objectOf(collection: string, raw: unknown): OurObject {
  const { name, namespace, uid } = fieldsOf(fieldsOf(raw)['metadata']);
  const at = collection.lastIndexOf('/');
  const [root, plural] = [collection.slice(0, at), collection.slice(at + 1)];
  const isWithin = root.includes('/namespaces/') || textOf(namespace) === '';
  const place = isWithin ? collection : `${root}${pathTo`/namespaces/${textOf(namespace)}`}/${plural}`;
  const named = [textOf(namespace), textOf(name)].filter(Boolean).join('/');
  return { told: `${plural} ${named}`, path: `${place}${pathTo`/${textOf(name)}`}`, uid: textOf(uid) };
}

/** Somebody was faster, or another life of the name is there: either is as good. */
export async function remove(cluster: UserCluster, { path, uid }: OurObject): Promise<void> {
  const body = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    preconditions: { uid },
    propagationPolicy: 'Background',
  };
  await cluster.call({ method: 'DELETE', path, body }).catch((error: unknown) => {
    if (!isProblem(error, 'cluster-missing', 'cluster-conflict')) throw error;
  });
}

/** Its record may go then, and it stays, byte for byte. The answer has no content either. */
export async function letGo(cluster: UserCluster, { path, uid }: OurObject): Promise<void> {
  await cluster
    .call({
      method: 'PATCH',
      path,
      contentType: 'application/merge-patch+json',
      accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
      body: { metadata: { uid, ownerReferences: null } },
    })
    .catch((error: unknown) => {
      if (!isProblem(error, 'cluster-missing', 'cluster-conflict')) throw error;
    });
}
