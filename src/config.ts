// The config file: one schema, every fault at once with its line, and the only place that reads the environment.
import * as yaml from 'yaml';
import * as z from 'zod';
import { Problem } from './problem.ts';
import { readText } from './text-file.ts';
import { Policy } from './core/pull-policy.ts';
import { registryRule } from './core/registry-rule.ts';
import { crossFaults } from './cross-faults.ts';
import { faultSentence } from './fault-sentence.ts';
import { families } from './registry/families.ts';
import type { FamilyFacts } from './core/registry-family.ts';

const Worker = z.strictObject({
  gateSeconds: z
    .int()
    .min(1)
    .max(600)
    .default(30)
    .meta({ description: 'how long the gate holds a pod whose credential fails to come' }),
  unusedHours: z
    .int()
    .min(1)
    .max(8760)
    .default(72)
    .meta({ description: 'after which an unused credential is dropped' }),
  heal: z
    .enum(['report', 'evict'])
    .default('report')
    .meta({ description: 'pods that a credential would cure: report them, or evict them' }),
  needsPerAccount: z
    .int()
    .min(1)
    .max(256)
    .default(16)
    .meta({ description: 'credentials that one account may have' }),
  needsPerPod: z
    .int()
    .min(1)
    .max(64)
    .default(8)
    .meta({ description: 'credentials that one pod may be given' }),
  ratePerEndpoint: z.number().positive().max(1000).default(10).meta({
    description:
      'exchanges per second at one endpoint: a cloud region, an endpoint of a rule, or a registry host',
  }),
  burst: z
    .int()
    .min(1)
    .max(10_000)
    .default(50)
    .meta({ description: 'exchanges that one endpoint may see at once, before that rate holds' }),
});

/** The schema over the families that there are; tests add one of their own. */
function configSchema<Family extends FamilyFacts>(known: Readonly<Record<string, Family>>) {
  return z.strictObject({
    apiVersion: z.literal('keyless-pull.dev/v1').meta({ description: 'version of this format' }),
    kind: z.literal('Config').meta({ description: 'tells this file from its neighbours' }),
    rules: z.array(registryRule(known)).min(1).meta({ description: 'which registries, and how pods get in' }),
    policy: Policy.prefault({}).meta({ description: 'what happens to static pull secrets' }),
    worker: Worker.prefault({}).meta({ description: 'how credentials are issued and kept' }),
    fences: z
      .enum(['required', 'optional'])
      .default('required')
      .meta({ description: 'whether readiness fails when a fence is missing; optional only for trials' }),
  });
}

export const Config = configSchema<FamilyFacts>(families);
export type Config = z.output<typeof Config>;

/** A fault and where it is. */
export interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** @throws Problem `file-unreadable` or `config-invalid`, the latter with every fault as `file:line: path: sentence` */
export function loadConfig(path: string): Config {
  return parseConfig(readText(path), path);
}

export function parseConfig(
  text: string,
  source: string,
  known: Readonly<Record<string, FamilyFacts>> = families,
): Config {
  const schema = known === families ? Config : configSchema(known);
  return parseYaml(schema, text, source, (raw) => crossFaults(raw, known));
}

/** Parses one YAML document with a schema, and with `findCrossFaults` on the raw data, so that no kind of fault hides another. */
export function parseYaml<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  source: string,
  findCrossFaults: (raw: unknown) => Fault[] = () => [],
): z.output<Schema> {
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const located = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    sentence: yamlSentence(error),
  }));
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) throw invalid(source, located);
  if (document.contents === null) throw invalid(source, [{ line: 1, sentence: 'the file is empty' }]);
  const raw = dataOf(document, source);
  const result = schema.safeParse(raw, { error: faultSentence });
  const faults = [...(result.error ? result.error.issues.flatMap(faultsOf) : []), ...findCrossFaults(raw)];
  for (const fault of faults) {
    located.push({ line: lineOf(document, lines, fault), sentence: `${pathText(fault)}${fault.message}` });
  }
  if (located.length === 0 && result.success) return result.data;
  throw invalid(source, located);
}

/** @throws Problem `config-invalid` for aliases that name nothing, or grow to more than any config needs */
function dataOf(document: yaml.Document, source: string): unknown {
  try {
    return document.toJS();
  } catch {
    throw invalid(source, [
      { line: 1, sentence: 'an alias (*name) in this file names no anchor, or too many follow one another' },
    ]);
  }
}

function yamlSentence(error: yaml.YAMLError): string {
  if (error.code === 'DUPLICATE_KEY') return 'another key of this map has the same name';
  if (error.code === 'MULTIPLE_DOCS') return 'a second document begins here: one file holds one';
  return `this is no YAML: ${error.message}`;
}

function invalid(source: string, located: { line: number; sentence: string }[]): Problem {
  const sorted = located.toSorted((one, other) => one.line - other.line);
  const faults = [...new Set(sorted.map(({ line, sentence }) => `${source}:${line}: ${sentence}`))];
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new Problem('config-invalid', `${source} has ${count}`, { details: { faults } });
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is not a known key' }));
  }
  return [{ path: issue.path, message: issue.message }];
}

function pathText({ path }: Fault): string {
  const text = path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at > 0 ? '.' : ''}${String(step)}`))
    .join('');
  return text && `${text}: `;
}

/** The line of the key or list entry, or of the nearest parent that the file has. */
function lineOf(document: yaml.Document, lines: yaml.LineCounter, { path }: Fault): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const step = path[length - 1];
    let node: unknown;
    if (yaml.isMap(parent)) node = parent.items.find((pair) => String(pair.key) === step)?.key;
    if (yaml.isSeq(parent) && typeof step === 'number') node = parent.items[step];
    if (yaml.isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

/** As curl and Node know them; lower case wins where both are there. */
const PROXY_VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'];

/** What only the pod itself can know. */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>> = process.env): {
  namespace: string | undefined;
  podName: string | undefined;
  logLevel: string | undefined;
  noColor: boolean;
  kubeconfig: string | undefined;
  proxy: Readonly<Record<string, string | undefined>>;
} {
  return {
    namespace: environment['KEYLESS_PULL_NAMESPACE'],
    podName: environment['KEYLESS_PULL_POD_NAME'],
    logLevel: environment['KEYLESS_PULL_LOG_LEVEL'],
    // https://no-color.org: present and not empty.
    noColor: Boolean(environment['NO_COLOR']),
    kubeconfig: environment['KUBECONFIG'],
    proxy: Object.fromEntries(PROXY_VARIABLES.map((name) => [name, environment[name]])),
  };
}
