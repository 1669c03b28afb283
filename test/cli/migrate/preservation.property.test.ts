// Manifests in every manner of writing: migrate changes what it says it changes, and leaves every other byte alone; what it
// has migrated is no finding any more, and a second run has nothing to do.
import { applyPatch } from 'diff';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as yaml from 'yaml';
import { parseConfig } from '../../../src/config.ts';
import { viewAccount, viewNamespace, viewPod } from '../../../src/core/pod-view.ts';
import { findingsOf } from '../../../src/core/pull-policy.ts';
import { planPulls } from '../../../src/core/pull-plan.ts';
import { createWorld } from '../../../src/cli/migrate/coverage.ts';
import { changedText, type Change } from '../../../src/cli/migrate/file-changes.ts';
import { fileDiff } from '../../../src/cli/migrate/file-diff.ts';
import { migrationOf } from '../../../src/cli/migrate/migration.ts';
import { expand, podOf, pullSecretsPath, type Manifest } from '../../../src/cli/manifests.ts';
import { CONFIG, HOST } from './folder.ts';

const config = parseConfig(CONFIG, 'config.yaml');
const SETTINGS = { config, wishes: new Map(), publicHosts: new Set<string>() };

/** How one map or list is written; `noise` picks comments and blank lines. */
interface Style {
  readonly step: number;
  readonly dashIndent: number;
  readonly eol: string;
  readonly noise: readonly number[];
  readonly flowDepth: number;
  readonly quote: '' | '"' | "'";
  readonly isJson: boolean;
}

const style = fc.record<Style>({
  step: fc.constantFrom(2, 4),
  dashIndent: fc.constantFrom(0, 2),
  eol: fc.constantFrom('\n', '\r\n'),
  noise: fc.array(fc.nat(9), { minLength: 7, maxLength: 7 }),
  flowDepth: fc.constantFrom(2, 4, 9),
  quote: fc.constantFrom('', '"', "'"),
  isJson: fc.boolean(),
});

/** Writes as people do, which no library would. */
function written(value: unknown, how: Style): string {
  if (how.isJson) return JSON.stringify(value, null, how.step).replaceAll('\n', how.eol) + how.eol;
  let count = 0;
  const noise = () => how.noise[count++ % how.noise.length] ?? 0;
  const behind = () => (noise() === 1 ? ` # ${count}: - why` : '');
  const scalar = (one: unknown) =>
    typeof one === 'string' && !/[:{}[\],# ]/.test(one) && one !== ''
      ? how.quote + one + how.quote
      : JSON.stringify(one);
  const flow = (one: unknown): string => {
    if (Array.isArray(one)) return `[${one.map(flow).join(', ')}]`;
    if (typeof one !== 'object' || one === null) return scalar(one);
    return `{ ${Object.entries(one)
      .map(([key, member]) => `${key}: ${flow(member)}`)
      .join(', ')} }`;
  };
  const isBlock = (one: unknown, depth: number) =>
    typeof one === 'object' && one !== null && Object.keys(one).length > 0 && depth < how.flowDepth;
  const lines = (one: unknown, indent: number, depth: number): string[] => {
    const pad = ' '.repeat(indent);
    if (Array.isArray(one))
      return one.flatMap((item) => {
        if (!isBlock(item, depth)) return [`${pad}- ${flow(item)}${behind()}`];
        const [first = '', ...rest] = lines(item, indent + 2, depth + 1).filter(
          (line) => !/^\s*(#|$)/.test(line),
        );
        return [`${pad}- ${first.trimStart()}`, ...rest];
      });
    return Object.entries(one as object).flatMap(([key, member]) => {
      const before = noise() === 2 ? [`${pad}# about ${key}`] : noise() === 3 ? [''] : [];
      if (!isBlock(member, depth)) return [...before, `${pad}${key}: ${flow(member)}${behind()}`];
      const inner = Array.isArray(member) ? indent + how.dashIndent : indent + how.step;
      return [...before, `${pad}${key}:${behind()}`, ...lines(member, inner, depth + 1)];
    });
  };
  return lines(value, 0, 0)
    .map((line) => line + how.eol)
    .join('');
}

const names = fc.constantFrom('nexus', 'other', 'third');
const entries = fc.array(names, { maxLength: 3 }).map((list) => list.map((name) => ({ name })));
const podSpec = fc.record(
  {
    imagePullSecrets: entries,
    serviceAccountName: fc.constantFrom('web', 'report'),
    containers: fc
      .array(
        fc.constantFrom(`${HOST}/a:1`, `${HOST}/b:2`, `${HOST}/c:3`, 'nginx:1', 'prod.team.example/x:1'),
        {
          minLength: 1,
          maxLength: 3,
        },
      )
      .map((images) => images.map((image, at) => ({ name: `c${at}`, image }))),
  },
  { requiredKeys: ['containers', 'serviceAccountName'] },
);
const metadata = (name: string) => ({ name, namespace: 'shop' });
const object = fc.oneof(
  podSpec.map((spec) => ({ apiVersion: 'v1', kind: 'Pod', metadata: metadata('pod'), spec })),
  podSpec.map((spec) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata('web'),
    spec: { replicas: 2, template: { metadata: { labels: { app: 'web' } }, spec } },
  })),
  podSpec.map((spec) => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: metadata('job'),
    spec: { schedule: '0 4 * * *', jobTemplate: { spec: { template: { spec } } } },
  })),
  fc.tuple(names, entries).map(([, imagePullSecrets]) => ({
    apiVersion: 'v1',
    imagePullSecrets,
    kind: 'ServiceAccount',
    metadata: metadata('web'),
  })),
  fc.constantFrom({}, { tier: 'prod' }, { 'keyless-pull.dev/inject': 'nonsense' }).map((labels) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', ...(Object.keys(labels).length > 0 && { labels }) },
  })),
  fc.constant({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata('x'),
    data: { a: 'imagePullSecrets: []' },
  }),
);

interface Placed extends Manifest {
  readonly document: number;
}

function migrated(text: string) {
  const documents = yaml.parseAllDocuments(text) as yaml.Document[];
  const manifests = documents.flatMap((document, at) =>
    expand(document.toJS(), 'default').map((manifest): Placed => ({ ...manifest, document: at })),
  );
  const { wanted, kept } = migrationOf(createWorld(manifests, SETTINGS), 'enforce');
  const changes = wanted.map((one): Change => {
    const { document, kind } = one.manifest as Placed;
    if (one.kind === 'references')
      return {
        kind: 'removal',
        document,
        object: [],
        within: pullSecretsPath(kind) ?? [],
        secrets: one.secrets,
      };
    return { kind: 'entries', document, object: [], member: one.kind, entries: one.entries };
  });
  return { ...changedText(text, documents, changes), kept, documents, manifests };
}

/** Static pull secrets that the policy finds in what these manifests make, as `kind name secret` of who lists it. */
function findings(manifests: readonly Manifest[]): string[] {
  const spaces = manifests.filter(({ kind }) => kind === 'Namespace');
  const labels = spaces.map(({ object: raw }) => viewNamespace(raw).labels).at(-1) ?? {};
  return manifests.flatMap((manifest) => {
    const raw = podOf(manifest);
    if (!raw) return [];
    const pod = viewPod(raw, manifest.namespace);
    const found = manifests.filter(
      ({ kind, name }) => kind === 'ServiceAccount' && name === pod.serviceAccount,
    );
    const account = {
      ...viewAccount(found.at(-1)?.object),
      name: pod.serviceAccount,
      namespace: 'shop',
      uid: 'u',
    };
    const plan = planPulls(pod, account, labels, { rules: config.rules, needsPerPod: 8 });
    const question = { pod, account, plan, recorded: new Set<string>(), namespaceOptedIn: true, now: 0 };
    return findingsOf({ ...question, policy: config.policy }).map(({ secret, origin }) =>
      origin === 'explicit'
        ? `${manifest.kind} ${manifest.name} ${secret}`
        : `ServiceAccount ${account.name} ${secret}`,
    );
  });
}

function isSubsequence(lines: readonly string[], of: readonly string[]): boolean {
  let at = 0;
  for (const line of of) if (line === lines[at]) at++;
  return at === lines.length;
}

test('what is migrated is gone, what is not is as it was, and a second run has nothing to do', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(object, style), { minLength: 1, maxLength: 5 }),
      fc.constantFrom('\n', '\r\n'),
      (parts, eol) => {
        const pieces = parts.map(([value, how]) => written(value, { ...how, eol }));
        const text = pieces.join(`---${eol}`);
        fc.pre((yaml.parseAllDocuments(text) as yaml.Document[]).every(({ errors }) => errors.length === 0));

        const first = migrated(text);

        // Nobody but an odd text is left to a person, and these are none but for comments between brackets and lone keys.
        expect(first.byHand).toEqual([]);
        const after = first.text.split(`---${eol}`);
        const changed = new Set(first.done.map(({ document }) => document));
        for (const [at, piece] of pieces.entries()) if (!changed.has(at)) expect(after[at]).toBe(piece);
        // Blank lines and comments that stand by themselves outlive every change around them, but for those inside of a list
        // that goes as a whole.
        const outside = (one: string) => one.split(eol).filter((line) => /^\s*# about (?!name)/.test(line));
        expect(isSubsequence(outside(text), outside(first.text))).toBe(true);

        const diff = fileDiff(
          { path: 'a.yaml', kind: 'manifests', text, documents: [], manifests: [] },
          first.edits,
        );
        expect(applyPatch(text, diff ?? '', { autoConvertLineEndings: false })).toBe(first.text);

        const second = migrated(first.text);
        expect(second.done).toEqual([]);
        expect(second.text).toBe(first.text);
        const kept = new Set(
          first.kept.map(({ holder, secret }) => `${holder.kind} ${holder.name} ${secret}`),
        );
        for (const found of findings(second.manifests)) expect(kept).toContain(found);
      },
    ),
    { numRuns: 200 },
  );
});
