// Reads a case: its header, its objects, and the world they make. The form is told in docs/testing.md.
import * as yaml from 'yaml';
import * as z from 'zod';
import { parseYaml, type Config } from '../../config.ts';
import { viewAccount, viewNamespace, viewPod } from '../../core/pod-view.ts';
import { Policy } from '../../core/pull-policy.ts';
import { Problem } from '../../problem.ts';
import { readText } from '../../text-file.ts';
import { valueOf } from '../objects/yaml-objects.ts';
import { CaseHeader, Rule } from './case-header.ts';
import { knownRecord } from './known-record.ts';
import { filledText, secretNames } from './secret-names.ts';

const DEFAULT_RULES = [
  {
    name: 'team-registry',
    hosts: ['registry.team.example:5000'],
    audience: 'https://registry.team.example',
    exchange: { kind: 'pass-through' },
  },
];
const DEFAULT_NEEDS_PER_POD = 8;

const GROUPS: Readonly<Record<string, string>> = {
  Pod: '',
  ServiceAccount: '',
  Deployment: 'apps',
  StatefulSet: 'apps',
  DaemonSet: 'apps',
  ReplicaSet: 'apps',
  Job: 'batch',
  CronJob: 'batch',
};

/** @param config its rules and policy, where the case has none */
export function readCase(path: string, config?: Config) {
  return caseOf(readText(path), path, config);
}

export type Case = ReturnType<typeof caseOf>;

/** @throws Problem config-invalid, with every fault of the header */
export function caseOf(text: string, path: string, config?: Config) {
  const refuse = (why: string) => invalid(path, why);
  const names = secretNames(namesIn(text, refuse), config === undefined);
  const filled = filledText(text, names);
  const documents = yaml.parseAllDocuments(filled) as yaml.Document[];
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault) throw invalid(path, `this is no YAML: ${fault.message.split('\n')[0]?.replace(/:$/, '')}`);
  const header = parseYaml(CaseHeader, filled.slice(0, documents[0]?.range?.[1] ?? 0), path);
  const objects = documents.slice(1).flatMap((document) => {
    const object = valueOf(document, refuse) as Record<string, unknown> | null;
    return object === null ? [] : [object];
  });
  const rules = header.rules ?? config?.rules ?? z.array(Rule).parse(DEFAULT_RULES);
  const { object, oldObject, kind } = judgedObjects(objects, path);
  const view = viewPod(object);
  // An account that is being changed is known as it was; one that is being created is not known.
  const seen = kind === 'ServiceAccount' ? (oldObject ? [oldObject] : []) : ofKind(objects, 'ServiceAccount');
  const accounts = seen.map((raw) => {
    const account = viewAccount(raw);
    return account.uid === '' ? { ...account, uid: `uid-of-${account.name}` } : account;
  });
  const now = Date.parse(header.now);
  return {
    path,
    text,
    names,
    header,
    rules,
    policy: header.policy ?? config?.policy ?? Policy.parse({}),
    needsPerPod: header.needsPerPod ?? config?.worker.needsPerPod ?? DEFAULT_NEEDS_PER_POD,
    group: GROUPS[kind] ?? '',
    kind,
    object,
    oldObject,
    view,
    accounts,
    namespaces: ofKind(objects, 'Namespace').map(viewNamespace),
    records: header.known.map((entry) => knownRecord(entry, view, accounts, rules, now)),
    now,
  };
}

type Objects = readonly Record<string, unknown>[];

function ofKind(objects: Objects, kind: string): Objects {
  return objects.filter((object) => object['kind'] === kind);
}

/** What is no pod and no workload is about the account itself. Two of a kind are before and after. */
function judgedObjects(objects: Objects, path: string) {
  const others = objects.filter(({ kind }) => kind !== 'Namespace' && kind !== 'ServiceAccount');
  const judged = others.length > 0 ? others : ofKind(objects, 'ServiceAccount');
  const [oldObject, object] = judged.length === 2 ? judged : [null, judged[0]];
  const kind = String(object?.['kind']);
  const isOne = judged.length <= 2 && judged.every((each) => each['kind'] === kind);
  if (object && isOne && Object.hasOwn(GROUPS, kind)) return { object, oldObject, kind };
  throw invalid(path, 'after the header come Namespace, ServiceAccount and Pod or workload documents');
}

function namesIn(text: string, refuse: (why: string) => Problem): Readonly<Record<string, unknown>> {
  const [document] = yaml.parseAllDocuments(text) as yaml.Document[];
  const head = document && (valueOf(document, refuse) as { readonly names?: unknown } | null);
  const { names } = head ?? {};
  return typeof names === 'object' && names !== null ? (names as Record<string, unknown>) : {};
}

function invalid(path: string, fault: string): Problem {
  return new Problem('config-invalid', `${path} is no case: ${fault}`);
}
