// What an audit reads of a pod, without what differs between pods of one make: a hundred thousand pods have a few thousand shapes.
import { hostOfImage } from '../../core/image-reference.ts';
import { viewPod, type PodView } from '../../core/pod-view.ts';
import {
  DOCKER_CONFIG_ANNOTATION,
  INJECT_LABEL,
  MANAGED_LABEL,
  MOUNT_ANNOTATION,
} from '../../core/vocabulary.ts';

export interface PodShape {
  readonly namespace: string;
  readonly account: string;
  /** In order: what the ServiceAccount brought is told by it. */
  readonly pullSecrets: readonly string[];
  /** Registry hosts of its images, each once; what is no image reference names none. */
  readonly hosts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export function shapeOf(pod: PodView): PodShape {
  return {
    namespace: pod.namespace,
    account: pod.serviceAccount,
    // The kubelet asks a static pod's file, not its mirror.
    pullSecrets: pod.isMirror ? [] : pod.pullSecrets,
    hosts: [...new Set(pod.images.flatMap(({ image }) => hostOfImage(image) ?? []))],
    labels: pick(pod.labels, INJECT_LABEL, MANAGED_LABEL),
    annotations: pick(pod.annotations, MOUNT_ANNOTATION, DOCKER_CONFIG_ANNOTATION),
  };
}

/** A pod of that shape, as the core reads pods. */
export function podOfShape(shape: PodShape, name: string): PodView {
  return viewPod({
    metadata: { name, namespace: shape.namespace, labels: shape.labels, annotations: shape.annotations },
    spec: {
      serviceAccountName: shape.account,
      imagePullSecrets: shape.pullSecrets.map((secret) => ({ name: secret })),
      containers: shape.hosts.map((host) => ({ name: '', image: `${host}/image` })),
    },
  });
}

function pick(from: Readonly<Record<string, string>>, ...keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));
}
