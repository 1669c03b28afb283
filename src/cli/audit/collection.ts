// Everything an audit keeps of the objects that go by, one at a time and in any order: shapes, names and counts, never an object.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { viewAccount, viewNamespace, viewPod } from '../../core/pod-view.ts';
import { viewRecord } from '../../core/pull-credential-record.ts';
import { RECORD_API_VERSION, RECORD_KIND } from '../../core/vocabulary.ts';
import { manifestOf, podOf } from '../manifests.ts';
import { controllerOf, deploymentOf, isWorkload, keyOf, type OwnerRef } from './owners.ts';
import { shapeOf, type PodShape } from './pod-shape.ts';
import { secretFacts, type SecretFacts } from './secret-facts.ts';
import type { AccountView, NamespaceView } from '../../core/pod-view.ts';
import type { RawObject } from '../objects/json-objects.ts';

export interface WorkloadFacts {
  readonly namespace: string;
  readonly ref: OwnerRef;
  /** Of another kind than Kubernetes' own: an operator's. */
  readonly controller?: OwnerRef;
  readonly template: PodShape;
}

/** Pods of one controller and one shape; a pod without a controller is a group of its own. */
export interface PodGroup {
  readonly shape: PodShape;
  readonly controller?: OwnerRef;
  /** Of the pod, where it is one of its own, or of a controller that is no workload. */
  readonly name: string;
  /** An API server has it: its account's Secrets are in its list already. */
  readonly isStored: boolean;
  pods: number;
}

export interface RecordFacts {
  readonly accountUid: string;
  readonly secretName: string;
  readonly host: string;
  /** It says that the Secret of that name is not ours. */
  readonly isForeign: boolean;
}

export interface Collection {
  readonly namespaces: Map<string, NamespaceView>;
  /** By `namespace/name`, as the next two. */
  readonly accounts: Map<string, AccountView>;
  readonly secrets: Map<string, SecretFacts>;
  readonly records: Map<string, RecordFacts[]>;
  readonly workloads: Map<string, WorkloadFacts>;
  /** What workloads are controlled by, by `keyOf`. */
  readonly controllers: Map<string, OwnerRef>;
  readonly pods: Map<string, PodGroup>;
  readonly counts: { objects: number; pods: number };
}

export interface Collector {
  readonly collection: Collection;
  add(object: RawObject): void;
}

/** @param wish.namespace of objects that name none */
export function createCollector(wish: {
  readonly namespace: string;
  readonly withSecrets: boolean;
}): Collector {
  const collection: Collection = {
    namespaces: new Map(),
    accounts: new Map(),
    secrets: new Map(),
    records: new Map(),
    workloads: new Map(),
    controllers: new Map(),
    pods: new Map(),
    counts: { objects: 0, pods: 0 },
  };

  const shapes = new Map<string, { readonly id: number; readonly shape: PodShape }>();

  function addPod(object: RawObject, namespace: string): void {
    const pod = viewPod(object, namespace);
    const phase = fieldsOf(object['status'])['phase'];
    // Pulls nothing any more.
    if (phase === 'Succeeded' || phase === 'Failed') return;
    collection.counts.pods++;
    const { id, shape } = shared(shapeOf(pod));
    const given = controllerOf(object);
    const guessed =
      given && !hasSeen(namespace, given)
        ? deploymentOf(given, pod.labels['pod-template-hash'] ?? '')
        : undefined;
    if (given && guessed) collection.controllers.set(keyOf(namespace, given), guessed);
    const isOne = !given || !isWorkload(given);
    const isStored = pod.uid !== '' || pod.createdAt !== 0;
    const key = JSON.stringify([id, given?.kind, given?.name, isOne ? pod.name : '']);
    const group = collection.pods.get(key) ?? {
      shape,
      ...(given && { controller: given }),
      name: isOne ? pod.name : '',
      isStored,
      pods: 0,
    };
    group.pods++;
    collection.pods.set(key, group);
  }

  /** Pods of one shape are many, and each is in its own object. */
  function shared(shape: PodShape): { readonly id: number; readonly shape: PodShape } {
    const key = JSON.stringify(shape);
    const known = shapes.get(key) ?? { id: shapes.size, shape };
    shapes.set(key, known);
    return known;
  }

  function hasSeen(namespace: string, ref: OwnerRef): boolean {
    const key = keyOf(namespace, ref);
    return collection.controllers.has(key) || collection.workloads.has(key);
  }

  function addWorkload(object: RawObject): void {
    const manifest = manifestOf(object, wish.namespace);
    const { kind, name, namespace } = manifest;
    const ref = { apiVersion: textOf(object['apiVersion']), kind, name };
    const controller = controllerOf(object);
    if (controller) collection.controllers.set(keyOf(namespace, ref), controller);
    // Made by another one: its template is that one's, or an older one of it.
    if (controller && isWorkload(controller)) return;
    const template = shapeOf(viewPod(podOf(manifest), namespace));
    collection.workloads.set(keyOf(namespace, ref), {
      namespace,
      ref,
      template,
      ...(controller && { controller }),
    });
  }

  function addRecord(object: RawObject): void {
    const { namespace, account, accountUid, secretName, host, status } = viewRecord(object);
    const key = `${namespace}/${account}`;
    const isForeign = status?.reason === 'secret-not-ours';
    const facts = { accountUid, secretName, host, isForeign };
    collection.records.set(key, [...(collection.records.get(key) ?? []), facts]);
  }

  return {
    collection,
    add(object) {
      const apiVersion = textOf(object['apiVersion']);
      const kind = textOf(object['kind']);
      const { namespace, name } = manifestOf(object, wish.namespace);
      collection.counts.objects++;
      if (isWorkload({ apiVersion, kind })) addWorkload(object);
      else if (apiVersion === RECORD_API_VERSION && kind === RECORD_KIND) addRecord(object);
      if (apiVersion !== 'v1') return;
      if (kind === 'Pod') addPod(object, namespace);
      else if (kind === 'Namespace') collection.namespaces.set(name, viewNamespace(object));
      else if (kind === 'ServiceAccount')
        collection.accounts.set(`${namespace}/${name}`, { ...viewAccount(object), namespace });
      else if (kind === 'Secret' && wish.withSecrets) {
        const facts = secretFacts(object);
        if (facts) collection.secrets.set(`${namespace}/${name}`, facts);
      }
    },
  };
}
