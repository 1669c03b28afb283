// A user's cluster that lists what a test has put into it, for migrate --plan.
import { listPages } from '../../../src/cluster/user-pages.ts';
import { parseAllDocuments, type Document } from 'yaml';
import { fieldsOf, textOf } from '../../../src/core/fields.ts';
import { createFakeUserCluster, refusal, type FakeUserCluster } from '../fake-user-cluster.ts';

const PLURALS: Readonly<Record<string, string>> = {
  Namespace: 'namespaces',
  ServiceAccount: 'serviceaccounts',
};

export interface PlanStage {
  readonly cluster: FakeUserCluster;
  /** Plurals that are answered 403. */
  readonly forbidden: Set<string>;
  /** Paths of the lists that were read. */
  readonly lists: string[];
}

export function createPlanStage(...texts: string[]): PlanStage {
  const cluster = createFakeUserCluster();
  const objects = texts
    .flatMap((text) => parseAllDocuments(text) as Document[])
    .map((document) => fieldsOf(document.toJS()));
  const stage: PlanStage = { cluster, forbidden: new Set(), lists: [] };
  const within = (object: object) => textOf(fieldsOf(fieldsOf(object)['metadata'])['namespace']);
  cluster.namespaceLabels = {};
  cluster.read = async (path) => {
    stage.lists.push(path);
    const [, namespace, plural = ''] = /(?:\/namespaces\/([^/]+))?\/([a-z]+)\?/.exec(path) ?? [];
    if (stage.forbidden.has(plural)) throw refusal();
    const all = objects.filter(
      (object) =>
        (PLURALS[textOf(object['kind'])] ?? `${textOf(object['kind']).toLowerCase()}s`) === plural &&
        (namespace === undefined || within(object) === namespace),
    );
    // In pages of one, so that they are all asked for.
    const at = Number(/continue=(\d+)/.exec(path)?.[1] ?? 0);
    const items = all.slice(at, at + 1).map(({ kind: _kind, apiVersion: _version, ...rest }) => rest);
    return { items, metadata: { ...(at + 1 < all.length && { continue: String(at + 1) }) } };
  };
  cluster.pages = (path, query) =>
    listPages(
      (wish) =>
        cluster.read(`${wish.path}?${new URLSearchParams(wish.query).toString()}`) as Promise<unknown>,
      path,
      query,
    );
  cluster.find = async (_collection, name) =>
    objects.find(({ kind, metadata }) => kind === 'Namespace' && fieldsOf(metadata)['name'] === name);
  cluster.pods = async (namespace) =>
    objects.filter(
      (object) => object['kind'] === 'Pod' && (namespace === undefined || within(object) === namespace),
    );
  return stage;
}
