// Manifests as a user has them: documents of a file or of stdin, and the pod that each of them makes.
import * as yaml from 'yaml';
import { readText } from '../config.ts';
import { Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/pod-view.ts';
import type { CommandIo } from './output.ts';

export interface Manifest {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: Readonly<Record<string, unknown>>;
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

/** @param file a path, or `-` for stdin. @throws Problem file-unreadable or usage */
export async function readManifests(file: string, namespace: string, io: CommandIo): Promise<Manifest[]> {
  const text = file === '-' ? await io.readStdin() : readText(file);
  const documents = yaml.parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault)
    throw new Problem('usage', `${file} is no YAML: ${fault.message.split('\n')[0]?.replace(/:$/, '')}`);
  return documents.flatMap((document) => expand(document.toJS(), namespace));
}

/** A `List`, as `kubectl get -o yaml` prints it, is its items. */
function expand(raw: unknown, fallback: string): Manifest[] {
  const object = fieldsOf(raw);
  const { kind, items } = object;
  if (typeof kind !== 'string') return [];
  if (kind === 'List' && Array.isArray(items)) return items.flatMap((item) => expand(item, fallback));
  const { namespace, name, generateName } = fieldsOf(object['metadata']);
  return [
    {
      kind,
      namespace: typeof namespace === 'string' && namespace ? namespace : fallback,
      name: textOf(name) || `${textOf(generateName)}*`,
      object,
    },
  ];
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
