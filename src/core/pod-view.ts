// The few fields of pods, accounts and namespaces that we read, with Kubernetes' defaults. Views never go back to the
// API server: patches are made on the raw object, so that fields nobody here has heard of survive.
import { fieldsOf, instantOf, kept, listOf, namesOf, textMapOf, textOf, type Fields } from './fields.ts';
import { GATE, INJECT_LABEL, MIRROR_ANNOTATION } from './vocabulary.ts';

/** Where in a pod an image is named. */
export type ImageOrigin = 'init' | 'container' | 'ephemeral' | 'volume';

export interface PodImage {
  readonly origin: ImageOrigin;
  /** Name of the container or volume. */
  readonly name: string;
  readonly image: string;
}

export interface PodView {
  readonly namespace: string;
  /** The name, or `generateName` with a star while the API server has not made one. */
  readonly name: string;
  /** Empty until the API server has stored the pod. */
  readonly uid: string;
  readonly serviceAccount: string;
  readonly images: readonly PodImage[];
  /** Names in `imagePullSecrets`, in order; entries without a name are left out, as the kubelet does. */
  readonly pullSecrets: readonly string[];
  readonly gates: readonly string[];
  /** Whether it wants the API server's token; absent: as its account says. */
  readonly automountsToken?: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly priorityClass: string;
  readonly ownedByDaemonSet: boolean;
  /** What makes another such pod when this one goes; absent for a bare one. */
  readonly controller?: { readonly kind: string; readonly uid: string };
  readonly isMirror: boolean;
  /** Not yet scheduled, or its images are not all there. */
  readonly isPending: boolean;
  /** Has ended, and starts no container any more. */
  readonly isOver: boolean;
  /** Images that the kubelet has tried to pull in vain, as far as the status says. */
  readonly failedImages: readonly string[];
  readonly isDeleting: boolean;
  /** Epoch milliseconds; 0 until stored. */
  readonly createdAt: number;
}

export interface AccountView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly pullSecrets: readonly string[];
  /** Whether its pods want the API server's token; absent: they do. */
  readonly automountsToken?: boolean;
  readonly isDeleting: boolean;
}

export interface NamespaceView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isTerminating: boolean;
}

const automountOf = ({ automountServiceAccountToken: asked }: Fields): { automountsToken?: boolean } =>
  typeof asked === 'boolean' ? { automountsToken: asked } : {};

/** @param namespace the request's namespace: an object in admission may lack its own */
export function viewPod(raw: unknown, namespace?: string): PodView {
  const pod = fieldsOf(raw);
  const metadata = fieldsOf(pod['metadata']);
  const spec = fieldsOf(pod['spec']);
  const status = fieldsOf(pod['status']);
  const phase = textOf(status['phase']) || 'Pending';
  const images = imagesOf(spec);
  const owners = listOf(metadata['ownerReferences']);
  const controller = owners.find((owner) => owner['controller'] === true);
  const annotations = textMapOf(metadata['annotations']);
  return {
    namespace: namespace ?? textOf(metadata['namespace']),
    name: textOf(metadata['name']) || `${textOf(metadata['generateName'])}*`,
    uid: textOf(metadata['uid']),
    // The older name of the field: the API server fills in the newer, a manifest on disk may have this one alone.
    serviceAccount: textOf(spec['serviceAccountName']) || textOf(spec['serviceAccount']) || 'default',
    images,
    pullSecrets: namesOf(spec['imagePullSecrets']),
    gates: namesOf(spec['schedulingGates']),
    ...automountOf(spec),
    labels: textMapOf(metadata['labels']),
    annotations,
    nodeName: textOf(spec['nodeName']),
    priorityClass: textOf(spec['priorityClassName']),
    ownedByDaemonSet: owners.some((owner) => owner['kind'] === 'DaemonSet'),
    ...(controller && { controller: { kind: textOf(controller['kind']), uid: textOf(controller['uid']) } }),
    isMirror: MIRROR_ANNOTATION in annotations,
    isPending: phase === 'Pending',
    isOver: phase === 'Succeeded' || phase === 'Failed',
    failedImages: failedImagesOf(spec, status, images),
    isDeleting: textOf(metadata['deletionTimestamp']) !== '',
    createdAt: instantOf(metadata['creationTimestamp']),
  };
}

const ORIGINS = { initContainer: 'init', container: 'container', ephemeralContainer: 'ephemeral' } as const;
const PULL_FAILURES: readonly unknown[] = ['ErrImagePull', 'ImagePullBackOff'];

/** A container that waits for an image volume says the same as one that waits for its own image, so both count. */
function failedImagesOf(spec: Fields, status: Fields, images: readonly PodImage[]): readonly string[] {
  const kinds = Object.keys(ORIGINS);
  const reasonOf = ({ state }: Fields) => fieldsOf(fieldsOf(state)['waiting'])['reason'];
  const statuses = kinds.flatMap((kind) => listOf(status[`${kind}Statuses`]));
  const names = new Set(namesOf(statuses.filter((one) => PULL_FAILURES.includes(reasonOf(one)))));
  const failing = kinds
    .flatMap((kind) => listOf(spec[`${kind}s`]))
    .filter(({ name }) => names.has(textOf(name)));
  const mounts = new Set(failing.flatMap(({ volumeMounts }) => namesOf(volumeMounts)));
  const isFailing = ({ origin, name }: PodImage) => (origin === 'volume' ? mounts : names).has(name);
  return kept(images.filter(isFailing).map(({ image }) => image));
}

/** Every image that the kubelet pulls for this pod, image volumes (KEP-4639) and ephemeral containers included. */
function imagesOf(spec: Fields): readonly PodImage[] {
  const images: PodImage[] = [];
  const take = (origin: ImageOrigin, name: unknown, image: unknown) => {
    if (typeof image === 'string' && image !== '') images.push({ origin, name: textOf(name), image });
  };
  for (const [key, origin] of Object.entries(ORIGINS))
    for (const { name, image } of listOf(spec[`${key}s`])) take(origin, name, image);
  for (const volume of listOf(spec['volumes']))
    take('volume', volume['name'], fieldsOf(volume['image'])['reference']);
  return kept(images);
}

export function viewAccount(raw: unknown): AccountView {
  const account = fieldsOf(raw);
  const metadata = fieldsOf(account['metadata']);
  return {
    namespace: textOf(metadata['namespace']),
    name: textOf(metadata['name']),
    uid: textOf(metadata['uid']),
    annotations: textMapOf(metadata['annotations']),
    pullSecrets: namesOf(account['imagePullSecrets']),
    ...automountOf(account),
    isDeleting: textOf(metadata['deletionTimestamp']) !== '',
  };
}

export function viewNamespace(raw: unknown): NamespaceView {
  const namespace = fieldsOf(raw);
  const metadata = fieldsOf(namespace['metadata']);
  return {
    name: textOf(metadata['name']),
    labels: textMapOf(metadata['labels']),
    isTerminating:
      textOf(metadata['deletionTimestamp']) !== '' ||
      fieldsOf(namespace['status'])['phase'] === 'Terminating',
  };
}

/** The opt-in of a namespace: `enabled`, `draining`, or neither. */
export function injectionOf(namespace: NamespaceView | undefined): 'enabled' | 'draining' | 'off' {
  const value = namespace?.labels[INJECT_LABEL];
  return value === 'enabled' || value === 'draining' ? value : 'off';
}

export function isGated(pod: PodView): boolean {
  return pod.gates.includes(GATE);
}
