// What the image-pull-secrets-provisioner has left in a cluster: accounts annotated for it, its entries in their
// imagePullSecrets, its controller. https://github.com/pfnet/image-pull-secrets-provisioner
import { fieldsOf, textOf } from '../../../core/fields.ts';
import { viewAccount, viewNamespace } from '../../../core/pod-view.ts';
import type { Manifest } from '../../manifests.ts';

const VOCABULARY = 'imagepullsecrets.preferred.jp/';
/** On its Secrets: the name of their account. */
export const PROVISIONER_LABEL = `${VOCABULARY}service-account`;

/** Names that the provisioner has written into the account: `<name>`, and `<name>-<number>` where it has several principals. */
export function isProvisioners(account: Manifest, secret: string): boolean {
  const { annotations, name } = viewAccount(account.object);
  if (!Object.keys(annotations).some((key) => key.startsWith(VOCABULARY))) return false;
  const base = annotations[`${VOCABULARY}secret-name`] ?? `imagepullsecret-${name}`;
  return secret === base || (secret.startsWith(`${base}-`) && /^\d+$/.test(secret.slice(base.length + 1)));
}

export interface ProvisionerController {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  /** False: its own default is named, for nothing like it was seen. */
  readonly isSeen: boolean;
}

/** As its own Kustomize app installs it, wherever that was. */
export function provisionerController(manifests: readonly Manifest[]): ProvisionerController {
  for (const { kind, namespace, name, object } of manifests) {
    const { labels } = viewNamespace(object);
    const isIt =
      labels['app.kubernetes.io/part-of'] === 'image-pull-secrets-provisioner' ||
      `${namespace}/${name}`.includes('image-pull-secrets-provisioner');
    if (kind !== 'Deployment' || !isIt) continue;
    const replicas = fieldsOf(object['spec'])['replicas'];
    return { namespace, name, replicas: typeof replicas === 'number' ? replicas : 1, isSeen: true };
  }
  return {
    namespace: 'image-pull-secrets-provisioner-system',
    name: 'controller-manager',
    replicas: 1,
    isSeen: false,
  };
}

/** What a GitOps tool or Helm would write back; empty: nobody is known to. */
export function managerOf({ object }: Manifest): string {
  const { labels } = viewNamespace(object);
  const { annotations } = viewAccount(object);
  if ('kustomize.toolkit.fluxcd.io/name' in labels || 'helm.toolkit.fluxcd.io/name' in labels) return 'Flux';
  if ('argocd.argoproj.io/tracking-id' in annotations || 'argocd.argoproj.io/instance' in labels)
    return 'Argo CD';
  return textOf(labels['app.kubernetes.io/managed-by']) === 'Helm' ? 'Helm' : '';
}
