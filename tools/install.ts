// Installs webhook-config/, the very files a user applies, on a control plane that has no nodes: no Deployment, and the
// webhooks reached by URL. For tests and the demo.
import { readFileSync } from 'node:fs';
import { parse, parseAllDocuments } from 'yaml';
import { apiClient, serviceAccountToken } from './api-client.ts';
import type { ApiAnswer, ApiRequest } from './api-client.ts';
import type { ControlPlane } from './control-plane.ts';
import { runKubectl } from './kubectl.ts';
import { waitUntil } from './processes.ts';

/** A Kubernetes object as a manifest has it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Namespace and ServiceAccount of the worker in webhook-config/, and whom the API server takes it for. */
export const OWN_NAMESPACE = 'keyless-pull';
export const WORKER_ACCOUNT = 'keyless-pull';
export const WORKER_USER = `system:serviceaccount:${OWN_NAMESPACE}:${WORKER_ACCOUNT}`;

/** What may be installed by itself; `rights` are accounts and RBAC. */
export type InstallPart = 'crd' | 'rights' | 'webhooks' | 'fences';

export interface InstallOptions {
  /** Where the webhook listens, without a path: `https://127.0.0.1:8443`. Absent: no webhooks. */
  readonly webhookUrl?: string;
  /** PEM of the authority that signed the webhook's certificate; absent: the worker writes it. */
  readonly caBundle?: string;
  /** What the worker may ask tokens for: the audiences of all rules. */
  readonly audiences: readonly string[];
  /** All of them when absent. */
  readonly parts?: readonly InstallPart[];
}

const FOLDER = new URL('../webhook-config/', import.meta.url);

/** Files that belong to no part are for clusters with nodes. */
const PART_OF: Readonly<Record<string, InstallPart | 'always'>> = {
  'namespace.yaml': 'always',
  'crd.yaml': 'crd',
  'service-accounts.yaml': 'rights',
  'rbac.yaml': 'rights',
  'secret.yaml': 'rights',
  'webhooks.yaml': 'webhooks',
  'fences.yaml': 'fences',
};

const IN_FORCE_DEADLINE_MS = 60_000;

/** The files that kustomization.yaml lists, in its order. */
export function manifestFiles(): string[] {
  const kustomization: { resources: string[] } = parse(readManifestFile('kustomization.yaml'));
  return kustomization.resources;
}

/** Every object in a file of webhook-config/. */
export function readManifests(file: string): Manifest[] {
  return parseAllDocuments(readManifestFile(file)).map((document): Manifest => document.toJS());
}

/**
 * Applies the manifests as the administrator and resolves when they are in force: the CRD served, the fences standing.
 * May be called again, for example with other audiences. Throws with kubectl's own words when it refuses.
 */
export async function installManifests(controlPlane: ControlPlane, options: InstallOptions): Promise<void> {
  const { admin } = controlPlane;
  const parts = new Set<unknown>(options.parts ?? ['crd', 'rights', 'webhooks', 'fences']);
  if (options.webhookUrl === undefined) parts.delete('webhooks');
  parts.add('always');
  const manifests = manifestFiles()
    .filter((file) => parts.has(PART_OF[file]))
    .flatMap(readManifests)
    .map((manifest) => adapted(manifest, options));
  const before = parts.has('fences') ? await installedAudiences(admin) : [];

  await applyManifests(controlPlane, manifests);

  if (parts.has('crd')) await waitForRecords(admin);
  if (parts.has('fences')) await waitForFences(admin);
  if (parts.has('fences') && parts.has('rights')) {
    const removed = before.filter((audience) => !options.audiences.includes(audience));
    await waitForAudiences(controlPlane, options.audiences, removed);
  }
}

/** `kubectl apply --server-side` as the administrator, in the order given. */
export async function applyManifests(
  controlPlane: ControlPlane,
  manifests: readonly unknown[],
): Promise<void> {
  // One List: kubectl takes several documents that start with "{" for one broken one.
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests });
  const flags = ['apply', '--server-side', '--force-conflicts', '-f', '-'];
  const { code, stderr } = await runKubectl(controlPlane, flags, { input });
  if (code !== 0) throw new Error(`kubectl apply ended with ${code}: ${stderr}`);
}

/** The manifest as it is applied outside a cluster. */
function adapted(manifest: Manifest, options: InstallOptions): Manifest {
  if (manifest.kind.endsWith('WebhookConfiguration')) {
    // Our own files: each webhook reaches a Service.
    const hooks = manifest['webhooks'] as { clientConfig: { service: { path: string } } }[];
    const trust =
      options.caBundle === undefined ? {} : { caBundle: Buffer.from(options.caBundle).toString('base64') };
    return {
      ...manifest,
      webhooks: hooks.map((hook) => ({
        ...hook,
        clientConfig: { url: `${options.webhookUrl}${hook.clientConfig.service.path}`, ...trust },
      })),
    };
  }
  if (manifest.metadata.name !== TOKEN_FENCE || manifest.kind !== 'ValidatingAdmissionPolicy')
    return manifest;
  const spec = manifest['spec'] as TokenFence['spec'];
  const variables = spec.variables.map((variable) =>
    // A list in JSON is a list in CEL.
    variable.name === 'audiences' ? { ...variable, expression: JSON.stringify(options.audiences) } : variable,
  );
  return { ...manifest, spec: { ...spec, variables } };
}

const TOKEN_FENCE = 'keyless-pull-worker-token-requests';

interface TokenFence {
  readonly spec: { readonly variables: readonly { readonly name: string; readonly expression: string }[] };
}

/** What the fence on tokens allows now; empty where there is none. */
async function installedAudiences(admin: ApiRequest): Promise<string[]> {
  const path = `/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/${TOKEN_FENCE}`;
  const { status, body } = await admin<TokenFence>('GET', path);
  const list = status === 200 ? body.spec.variables.find(({ name }) => name === 'audiences') : undefined;
  return list === undefined ? [] : JSON.parse(list.expression);
}

/** Right after a CRD is created its lists answer 404, then 429 "storage is (re)initializing". */
async function waitForRecords(admin: ApiRequest): Promise<void> {
  const path = '/apis/keyless-pull.dev/v1alpha1/pullcredentials';
  await waitUntil('PullCredentials are served', async () => (await admin('GET', path)).status === 200, {
    deadlineMs: IN_FORCE_DEADLINE_MS,
  });
}

/**
 * The API server takes up policies about once a second, all that it knows at that moment: when the last of the file
 * stands, so do the others.
 */
async function waitForFences(admin: ApiRequest): Promise<void> {
  await waitUntil(
    'the last of the fences stands',
    async () => isRefusedBy(LAST_FENCE, await tryLastFence(admin)),
    { deadlineMs: IN_FORCE_DEADLINE_MS },
  );
}

/** A change of the list is taken up as late as a new policy. Nothing is minted: no token for our own account is allowed. */
async function waitForAudiences(
  { url, certificateAuthorityFile, admin }: ControlPlane,
  added: readonly string[],
  removed: readonly string[],
): Promise<void> {
  const token = await serviceAccountToken({ admin }, OWN_NAMESPACE, WORKER_ACCOUNT, {
    expirationSeconds: 600,
  });
  const worker = apiClient({ url, certificateAuthorityFile }, token);
  const isListed = async (audience: string) => {
    const answer = await worker<{ message?: string }>(
      'POST',
      `/api/v1/namespaces/${OWN_NAMESPACE}/serviceaccounts/${WORKER_ACCOUNT}/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [audience] } },
    );
    if (!isRefusedBy(TOKEN_FENCE, answer)) throw new Error(`${audience}: ${answer.status}`);
    return !String(answer.body.message).includes('exactly one audience');
  };
  const wanted = [
    ...added.map((each) => [each, true] as const),
    ...removed.map((each) => [each, false] as const),
  ];
  for (const [audience, isWanted] of wanted) {
    await waitUntil(
      `the fence on tokens ${isWanted ? 'knows' : 'has forgotten'} ${audience}`,
      async () => (await isListed(audience)) === isWanted,
      { deadlineMs: IN_FORCE_DEADLINE_MS },
    );
  }
}

const LAST_FENCE = 'keyless-pull-tenant-secrets';

function tryLastFence(admin: ApiRequest): Promise<ApiAnswer<{ message?: string }>> {
  return admin('POST', '/api/v1/namespaces/default/secrets?dryRun=All', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'keyless-pull-fence-probe' },
  });
}

/** True if this policy of ours said no; a missing right or another's policy does not count. */
export function isRefusedBy(policy: string, answer: ApiAnswer<{ message?: string }>): boolean {
  return (
    answer.status === 422 && String(answer.body.message).includes(`ValidatingAdmissionPolicy '${policy}'`)
  );
}

function readManifestFile(file: string): string {
  return readFileSync(new URL(file, FOLDER), 'utf8');
}
