// The config file: one schema, every fault at once with its line, and the only place that reads the environment.
import { readFileSync } from 'node:fs';
import * as yaml from 'yaml';
import * as z from 'zod';
import { Problem } from './problem.ts';
import { Policy } from './core/pull-policy.ts';
import { RegistryRule } from './core/registry-rule.ts';

const Worker = z.strictObject({
  gateSeconds: z.int().min(1).max(600).default(30).meta({ description: 'how long the gate holds a pod whose credential fails to come' }),
  unusedHours: z.int().min(1).max(8760).default(72).meta({ description: 'after which an unused credential is dropped' }),
  heal: z.enum(['report', 'evict']).default('report').meta({ description: 'pods that a credential would cure: report them, or evict them' }),
  needsPerAccount: z.int().min(1).max(256).default(16).meta({ description: 'credentials that one account may have' }),
  needsPerPod: z.int().min(1).max(64).default(8).meta({ description: 'credentials that one pod may be given' }),
  ratePerEndpoint: z.number().positive().max(1000).default(10).meta({ description: 'exchanges per second and endpoint' }),
  burst: z.int().min(1).max(10_000).default(50).meta({ description: 'exchanges at once and endpoint' }),
});

export const Config = z.strictObject({
  apiVersion: z.literal('keyless-pull.dev/v1'),
  kind: z.literal('Config'),
  rules: z.array(RegistryRule).min(1),
  policy: Policy.prefault({}),
  worker: Worker.prefault({}),
  fences: z.enum(['required', 'optional']).default('required').meta({ description: 'whether readiness fails when a fence is missing; optional only for trials' }),
});
export type Config = z.output<typeof Config>;

/** A fault and where it is; `key` where the fault is a key of the object at `path`. */
export interface Fault {
  readonly path: readonly PropertyKey[];
  readonly key?: string;
  readonly message: string;
}

/** @throws Problem `file-unreadable` or `config-invalid`, the latter with every fault as `file:line: path: sentence` */
export function loadConfig(path: string): Config {
  return parseConfig(readText(path), path);
}

export function parseConfig(text: string, source: string): Config {
  return parseYaml(Config, text, source, crossFaults);
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Problem('file-unreadable', `cannot read ${path}: ${errnoText(cause)}`, { cause });
  }
}

/** Parses one YAML document with a schema, and with `crossFaults` on the raw data, so that no kind of fault hides another. */
export function parseYaml<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  source: string,
  findCrossFaults: (raw: unknown) => Fault[] = () => [],
): z.output<Schema> {
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw invalid(source, document.errors.map((error) => `${source}:${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]}`));
  }
  const raw: unknown = document.toJS();
  const result = schema.safeParse(raw);
  const faults = [...(result.error ? result.error.issues.flatMap(faultsOf) : []), ...findCrossFaults(raw)];
  if (faults.length === 0 && result.success) return result.data;
  const located = faults.map((fault) => ({ ...fault, line: lineOf(document, lines, fault) }));
  located.sort((one, other) => one.line - other.line);
  throw invalid(source, located.map(({ line, path, key, message }) => `${source}:${line}: ${pathText(path, key)}${message}`));
}

function invalid(source: string, faults: string[]): Problem {
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new Problem('config-invalid', `${source} has ${count}`, { details: { faults } });
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: issue.path, key, message: 'is not a known key' }));
  }
  return [{ path: issue.path, message: issue.message }];
}

function pathText(path: readonly PropertyKey[], key?: string): string {
  const text = [...path, ...(key === undefined ? [] : [key])]
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at > 0 ? '.' : ''}${String(step)}`))
    .join('');
  return text && `${text}: `;
}

/** The line of the value, of the offending key, or of the nearest parent that the file has. */
function lineOf(document: yaml.Document, lines: yaml.LineCounter, { path, key }: Fault): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (!yaml.isNode(node)) continue;
    const pair = key !== undefined && yaml.isMap(node) ? node.items.find((item) => String(item.key) === key) : undefined;
    const range = (pair && yaml.isNode(pair.key) ? pair.key : node).range;
    if (range) return lines.linePos(range[0]).line;
  }
  return 1;
}

const RawRule = z.object({
  name: z.string().catch(''),
  hosts: z.array(z.string().catch('')).catch([]),
  audience: z.string().catch(''),
  exchange: z.object({ kind: z.string().catch('') }).catch({ kind: '' }),
  delivery: z.array(z.string().catch('')).catch([]),
  audienceRights: z.string().catch(''),
  token: z.object({ inject: z.string().catch('') }).catch({ inject: '' }),
});
const RawRules = z.object({ rules: z.array(RawRule.catch(RawRule.parse({}))).catch([]) }).catch({ rules: [] });

/** What no single field can tell: rules that would answer for one another, or let one registry replay another's token. */
function crossFaults(raw: unknown): Fault[] {
  const faults: Fault[] = [];
  const { rules } = RawRules.parse(raw);
  for (const [at, rule] of rules.entries()) {
    const path = ['rules', at];
    const earlier = rules.slice(0, at);
    if (rule.name && earlier.some((other) => other.name === rule.name)) {
      faults.push({ path: [...path, 'name'], message: `another rule is called ${rule.name}` });
    }
    for (const [index, host] of rule.hosts.entries()) {
      const taken = host && earlier.find((other) => other.hosts.includes(host));
      if (taken) faults.push({ path: [...path, 'hosts', index], message: `rule ${taken.name} has the same host` });
    }
    if (rule.exchange.kind === 'pass-through') faults.push(...passThroughFaults(rules, at));
    if (rule.delivery.includes('kubelet') && rule.token.inject === 'none' && rule.audienceRights !== 'rbac') {
      faults.push({ path: [...path, 'token', 'inject'], message: 'delivery kubelet needs the token volume, or audienceRights: rbac' });
    }
    faults.push(...notBuilt(raw, at));
  }
  return faults;
}

function passThroughFaults(rules: z.output<typeof RawRules>['rules'], at: number): Fault[] {
  const faults: Fault[] = [];
  const rule = rules[at];
  for (const [index, host] of (rule?.hosts ?? []).entries()) {
    if (host.includes('*')) {
      faults.push({ path: ['rules', at, 'hosts', index], message: 'pass-through hands the token to the host: name it whole, without "*"' });
    }
  }
  const sharer = rules.find((other, index) => index !== at && other.audience !== '' && other.audience === rule?.audience);
  if (sharer) {
    faults.push({
      path: ['rules', at, 'audience'],
      message: `rule ${sharer.name} uses the same audience: a registry that is given the token itself could replay it there`,
    });
  }
  return faults;
}

/** Parts of the schema that this version only parses. Each is refused by its own name, never ignored. */
function notBuilt(raw: unknown, at: number): Fault[] {
  const rule = z.object({ rules: z.array(z.looseObject({})).catch([]) }).catch({ rules: [] }).parse(raw).rules[at] ?? {};
  const faults: Fault[] = [];
  const refuse = (path: readonly PropertyKey[], what: string) => {
    faults.push({ path: ['rules', at, ...path], message: `${what} is not built in this version` });
  };
  const exchange = z.looseObject({}).catch({}).parse(rule['exchange']);
  const kind = exchange['kind'];
  if (typeof kind === 'string' && kind !== 'pass-through') refuse(['exchange', 'kind'], `exchange kind ${kind}`);
  if (kind === 'pass-through') {
    for (const key of ['endpoint', 'certificateAuthorityFile']) {
      if (key in exchange) faults.push({ path: ['rules', at, 'exchange', key], message: 'pass-through calls no endpoint' });
    }
  }
  for (const key of ['acceptAudiences', 'parameters', 'registries', 'inPod']) if (key in rule) refuse([key], key);
  if (rule['prewarm'] === true) refuse(['prewarm'], 'prewarm');
  if (rule['secretName'] === 'annotation') refuse(['secretName'], 'secretName: annotation');
  const delivery: unknown = rule['delivery'];
  if (Array.isArray(delivery) && delivery.includes('kubelet')) refuse(['delivery'], 'delivery kubelet');
  if (z.looseObject({}).catch({}).parse(rule['token'])['inject'] === 'mount') refuse(['token', 'inject'], 'inject: mount');
  return faults;
}

/** The text of a system error's code, for sentences: never its message, which repeats the path and more. */
export function errnoText(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a folder';
    case 'EADDRINUSE':
      return 'another program listens there';
    default:
      return typeof code === 'string' ? code : 'unknown error';
  }
}

/** What only the pod itself can know. */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>> = process.env): {
  namespace: string | undefined;
  podName: string | undefined;
  logLevel: string | undefined;
  noColor: boolean;
} {
  return {
    namespace: environment['KEYLESS_PULL_NAMESPACE'],
    podName: environment['KEYLESS_PULL_POD_NAME'],
    logLevel: environment['KEYLESS_PULL_LOG_LEVEL'],
    noColor: environment['NO_COLOR'] !== undefined,
  };
}
