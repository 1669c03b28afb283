// Reads a case of test/cases: its header, its objects, and the world they make. The format is told in test/cases/README.md.
import { readFileSync } from 'node:fs';
import * as yaml from 'yaml';
import * as z from 'zod';
import { viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import { digestOf } from '../../src/core/pull-credential.ts';
import type { PullCredentialRecord, RecordStatus } from '../../src/core/pull-credential-record.ts';
import { Policy } from '../../src/core/pull-policy.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { RegistryRule } from '../../src/core/registry-rule.ts';
import type { ProblemCode } from '../../src/problem.ts';

const Known = z.strictObject({
  registry: z.string(),
  rule: z.string().default('team-registry'),
  account: z.string().optional(),
  /** `other-account`: of an account of this name that was deleted; `other-rule`: of the rule as it was before. */
  standing: z.enum(['ready', 'refused', 'last-minute', 'other-account', 'other-rule']),
  code: z.string().default('exchange-refused'),
  message: z.string().default('the registry said no'),
});

const Header = z.strictObject({
  case: z.string().min(10),
  path: z.enum(['/mutate', '/validate/enforce', '/validate/warn', '/validate/audit']).default('/mutate'),
  operation: z.string().default('CREATE'),
  subResource: z.string().default(''),
  dryRun: z.boolean().default(false),
  rules: z.array(RegistryRule).optional(),
  needsPerPod: z.int().default(8),
  policy: Policy.prefault({}),
  now: z.iso.datetime().default('2026-11-21T12:00:00Z'),
  worker: z.enum(['alive', 'dead']).default('alive'),
  /** Names of Secrets, for `$name` anywhere in the file: "account rule host". */
  names: z.record(z.string(), z.string()).default({}),
  known: z.array(Known).default([]),
  expect: z.strictObject({
    verdict: z.enum(['allowed', 'patched', 'denied']),
    reason: z.string().optional(),
    /** The whole patch. */
    patch: z.array(z.looseObject({})).optional(),
    /** Paths of the patch, in order. */
    paths: z.array(z.string()).optional(),
    /** What the pod has afterwards. */
    pullSecrets: z.array(z.string()).optional(),
    gates: z.array(z.string()).optional(),
    annotation: z.string().optional(),
    /** What the pod must contain afterwards, at least. */
    result: z.looseObject({}).optional(),
    /** Part of each warning, in order; all of them. */
    warnings: z.array(z.string()).default([]),
    /** Parts of the denial's message. */
    denied: z.array(z.string()).default([]),
    /** Parts of audit annotations, by key. */
    audit: z.record(z.string(), z.string()).default({}),
  }),
});
export type CaseHeader = z.output<typeof Header>;

const DEFAULT_RULES = [
  {
    name: 'team-registry',
    hosts: ['registry.team.example:5000'],
    audience: 'https://registry.team.example',
    exchange: { kind: 'pass-through' },
  },
];

export function readCase(path: string) {
  const text = readFileSync(path, 'utf8');
  const { names = {} } = (yaml.parseAllDocuments(text)[0]?.toJS() ?? {}) as {
    names?: Record<string, string>;
  };
  const known = { own: 'builder team-registry registry.team.example:5000', ...names };
  const filled = text.replaceAll(/\$([a-z]+)/g, (whole, name: string) => {
    const [account, rule, host] = (known as Record<string, string>)[name]?.split(' ') ?? [];
    return account && rule && host ? secretNameFor(account, rule, '', host) : whole;
  });
  const [head, ...objects] = yaml.parseAllDocuments(filled).map((document) => {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS() as Record<string, unknown>;
  });
  const header = Header.parse(head);
  const rules = header.rules ?? z.array(RegistryRule).parse(DEFAULT_RULES);
  const ofKind = (kind: string) => objects.filter((object) => object['kind'] === kind);
  const pods = ofKind('Pod');
  const [oldPod, pod] = pods.length === 2 ? pods : [null, pods[0]];
  if (!pod || objects.length !== pods.length + ofKind('Namespace').length + ofKind('ServiceAccount').length) {
    throw new Error(`${path}: after the header come Namespace, ServiceAccount and Pod documents`);
  }
  const view = viewPod(pod);
  const accounts = ofKind('ServiceAccount').map(viewAccount);
  const namespaces = ofKind('Namespace').map(viewNamespace);
  const now = Date.parse(header.now);
  const records = header.known.map((entry) => recordOf(entry, view, accounts, rules, now));
  return { header, rules, pod, oldPod, view, accounts, namespaces, records, now };
}

function recordOf(
  entry: z.output<typeof Known>,
  pod: ReturnType<typeof viewPod>,
  accounts: readonly ReturnType<typeof viewAccount>[],
  rules: readonly RegistryRule[],
  now: number,
): PullCredentialRecord {
  const name = entry.account ?? pod.serviceAccount;
  const rule = rules.find((candidate) => candidate.name === entry.rule);
  const secretName = secretNameFor(name, entry.rule, '', entry.registry);
  const uid = accounts.find((account) => account.name === name)?.uid ?? '';
  const isReady = entry.standing !== 'refused';
  const status: RecordStatus = {
    isReady,
    reason: isReady ? 'issued' : (entry.code as ProblemCode),
    message: isReady ? '' : entry.message,
    changedAt: now,
    issuedAt: now,
    expiresAt: now + (entry.standing === 'last-minute' ? 59_000 : 3_600_000),
    refreshAt: now + 30_000,
    digest: rule && entry.standing !== 'other-rule' ? digestOf(rule) : 'of-another-rule',
    tokenId: '',
    secretUid: '',
  };
  return {
    namespace: pod.namespace,
    name: secretName,
    uid: 'record-uid',
    resourceVersion: '1',
    isDeleting: false,
    account: name,
    accountUid: entry.standing === 'other-account' ? 'uid-of-an-earlier-life' : uid,
    rule: entry.rule,
    principal: '',
    host: entry.registry,
    secretName,
    status,
  };
}
