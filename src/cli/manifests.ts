// Manifests as a user has them: documents of a file or of stdin, and the pod that each of them makes.
import * as yaml from 'yaml';
import { readText } from '../text-file.ts';
import { Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { itemsOf, valueOf } from './objects/yaml-objects.ts';
import type { RawObject } from './objects/json-objects.ts';
import type { CommandIo } from './output.ts';

export interface Manifest {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: RawObject;
}

/** Where a workload keeps its pod. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** Where objects of a kind keep their `imagePullSecrets`; undefined for kinds that have none. */
export function pullSecretsPath(kind: string): readonly string[] | undefined {
  if (kind === 'ServiceAccount') return [];
  if (kind === 'Pod') return ['spec'];
  const template = TEMPLATES[kind];
  return template && [...template, 'spec'];
}

/** @param file a path, or `-` for stdin. @throws Problem file-unreadable */
export async function readManifests(file: string, namespace: string, io: CommandIo): Promise<Manifest[]> {
  const text = file === '-' ? await io.readStdin() : readText(file);
  const documents = yaml.parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  const unreadable = (why: string) => new Problem('file-unreadable', `${file}: ${why}`);
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault) throw unreadable(`this is no YAML: ${fault.message.split('\n')[0]?.replace(/:$/, '')}`);
  return documents.flatMap((document) => expand(valueOf(document, unreadable), namespace));
}

/** A `List`, as `kubectl get -o yaml` prints it, is its items. */
export function expand(raw: unknown, fallback: string): Manifest[] {
  return [...itemsOf(raw)].map((object) => manifestOf(object, fallback));
}

/** @param fallback the namespace of objects that name none */
export function manifestOf(object: RawObject, fallback: string): Manifest {
  const { namespace, name, generateName } = fieldsOf(object['metadata']);
  return {
    kind: textOf(object['kind']),
    namespace: textOf(namespace) || fallback,
    name: textOf(name) || `${textOf(generateName)}*`,
    object,
  };
}

/** The pod that the object is or makes, with namespace and owner as its controller would write them; undefined for others. */
export function podOf(manifest: Manifest): Record<string, unknown> | undefined {
  const { kind, namespace, name, object } = manifest;
  if (kind === 'Pod')
    return structuredClone({ ...object, metadata: { ...fieldsOf(object['metadata']), namespace } });
  const steps = TEMPLATES[kind];
  if (!steps) return undefined;
  const template = fieldsOf(steps.reduce<unknown>((at, step) => fieldsOf(at)[step], object));
  const owner = { apiVersion: object['apiVersion'], kind, name, controller: true };
  return structuredClone({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: `${name}-`,
      ...fieldsOf(template['metadata']),
      namespace,
      ownerReferences: [owner],
    },
    spec: fieldsOf(template['spec']),
  });
}
