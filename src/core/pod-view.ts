// The few fields of pods, accounts and namespaces that we read, with Kubernetes' defaults. Views never go back to the
// API server: patches are made on the raw object, so that fields nobody here has heard of survive.
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
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly priorityClass: string;
  readonly ownedByDaemonSet: boolean;
  readonly isMirror: boolean;
  /** Not yet scheduled, or its images are not all there. */
  readonly isPending: boolean;
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
  readonly isDeleting: boolean;
}

export interface NamespaceView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isTerminating: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

const NOTHING: Fields = {};

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : NOTHING;
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

const NO_TEXTS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/** Only string values; the result has no prototype, so that a key named `__proto__` is a key like any other. */
function textMapOf(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return NO_TEXTS;
  const map: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(fieldsOf(value))) if (typeof text === 'string') map[key] = text;
  return map;
}

function namesOf(value: unknown): string[] {
  return listOf(value)
    .map((entry) => textOf(entry['name']))
    .filter((name) => name !== '');
}

/** @param namespace the request's namespace: an object in admission may lack its own */
export function viewPod(raw: unknown, namespace?: string): PodView {
  const pod = fieldsOf(raw);
  const metadata = fieldsOf(pod['metadata']);
  const spec = fieldsOf(pod['spec']);
  const name = textOf(metadata['name']);
  const annotations = textMapOf(metadata['annotations']);
  return {
    namespace: namespace ?? textOf(metadata['namespace']),
    name: name || `${textOf(metadata['generateName'])}*`,
    uid: textOf(metadata['uid']),
    // The older name of the field: the API server fills in the newer, a manifest on disk may have this one alone.
    serviceAccount: textOf(spec['serviceAccountName']) || textOf(spec['serviceAccount']) || 'default',
    images: imagesOf(spec),
    pullSecrets: namesOf(spec['imagePullSecrets']),
    gates: namesOf(spec['schedulingGates']),
    labels: textMapOf(metadata['labels']),
    annotations,
    nodeName: textOf(spec['nodeName']),
    priorityClass: textOf(spec['priorityClassName']),
    ownedByDaemonSet: listOf(metadata['ownerReferences']).some((owner) => owner['kind'] === 'DaemonSet'),
    isMirror: MIRROR_ANNOTATION in annotations,
    isPending: (textOf(fieldsOf(pod['status'])['phase']) || 'Pending') === 'Pending',
    isDeleting: textOf(metadata['deletionTimestamp']) !== '',
    createdAt: instantOf(metadata['creationTimestamp']),
  };
}

/** Every image that the kubelet pulls for this pod, image volumes (KEP-4639) and ephemeral containers included. */
function imagesOf(spec: Fields): PodImage[] {
  const images: PodImage[] = [];
  const take = (origin: ImageOrigin, name: unknown, image: unknown) => {
    if (typeof image === 'string' && image !== '') images.push({ origin, name: textOf(name), image });
  };
  for (const container of listOf(spec['initContainers'])) take('init', container['name'], container['image']);
  for (const container of listOf(spec['containers']))
    take('container', container['name'], container['image']);
  for (const container of listOf(spec['ephemeralContainers']))
    take('ephemeral', container['name'], container['image']);
  for (const volume of listOf(spec['volumes']))
    take('volume', volume['name'], fieldsOf(volume['image'])['reference']);
  return images;
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

/** An RFC 3339 timestamp as epoch milliseconds; 0 when absent or unreadable. */
export function instantOf(value: unknown): number {
  const at = Date.parse(textOf(value));
  return Number.isNaN(at) ? 0 : at;
}

/** The opt-in of a namespace: `enabled`, `draining`, or neither. */
export function injectionOf(namespace: NamespaceView | undefined): 'enabled' | 'draining' | 'off' {
  const value = namespace?.labels[INJECT_LABEL];
  return value === 'enabled' || value === 'draining' ? value : 'off';
}

export function isGated(pod: PodView): boolean {
  return pod.gates.includes(GATE);
}
