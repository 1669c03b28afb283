// keyless-pull render: what the webhook would do to a manifest, with no cluster at all, because it runs what the webhook runs.
import { createTwoFilesPatch } from 'diff';
import jsonpatch from 'fast-json-patch';
import { stringify } from 'yaml';
import { createMutatePod } from '../admission/mutate-pod.ts';
import { systemClock } from '../clock.ts';
import { loadConfig, type Config } from '../config.ts';
import { fieldsOf } from '../core/fields.ts';
import {
  viewAccount,
  viewNamespace,
  viewPod,
  type AccountView,
  type NamespaceView,
} from '../core/pod-view.ts';
import { planPulls, type Plan } from '../core/pull-plan.ts';
import { INJECT_LABEL } from '../core/vocabulary.ts';
import { podOf, readManifests, type Manifest } from './manifests.ts';
import {
  alignColumns,
  createPaint,
  writeResult,
  type CommandIo,
  type ExitCode,
  type OutputForm,
  type Paint,
} from './output.ts';
import { printable, printableLine } from './printable.ts';

export interface RenderOptions {
  readonly file: string;
  readonly config: string;
  /** A file with the pod's ServiceAccount, where `file` has none. */
  readonly account?: string;
  readonly namespace: string;
  readonly output: OutputForm;
  readonly color: boolean;
}

/** One document of the input. `patch` is the webhook's answer to the pod as the API server would send it. */
interface Rendered {
  readonly object: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly patch: readonly unknown[];
  readonly result: unknown;
  readonly plan: Record<string, unknown>;
  readonly warnings: readonly string[];
}

export async function render(options: RenderOptions, io: CommandIo): Promise<ExitCode> {
  const config = loadConfig(options.config);
  const manifests = await readManifests(options.file, options.namespace, io);
  const beside = options.account ? await readManifests(options.account, options.namespace, io) : [];
  const known = [...manifests, ...beside];
  const withPods = manifests.flatMap((manifest) => {
    const pod = podOf(manifest);
    return pod ? [{ manifest, pod }] : [];
  });
  if (withPods.length === 0) {
    io.err('no pod and no workload in the input: nothing to render\n');
    return 2;
  }
  const paint = createPaint(options.color);
  for (const { manifest, pod } of withPods) {
    const before = structuredClone(pod);
    const rendered = await renderOne(manifest, pod, known, config);
    writeResult(io, options.output, rendered, () => tableOf(rendered, before, paint));
  }
  return 0;
}

async function renderOne(
  manifest: Manifest,
  pod: Record<string, unknown>,
  known: readonly Manifest[],
  config: Config,
): Promise<Rendered> {
  const { kind, namespace, name } = manifest;
  const warnings: string[] = [];
  const accountName = viewPod(pod).serviceAccount;
  const account = accountOf(known, namespace, accountName);
  if (!account)
    warnings.push(
      `ServiceAccount ${accountName} is not in the input: one without annotations is assumed (--account FILE)`,
    );
  const view = { ...(account ?? assumedAccount(namespace, accountName)) };
  const space = namespaceOf(known, namespace);
  copyAccountSecrets(pod, view, warnings);

  const mutatePod = createMutatePod({
    view: { account: () => view, namespace: () => space, unsynced: () => [] },
    lookup: { account: async () => view, namespace: async () => space },
    keeper: { standingOf: () => ({ kind: 'pending' }) },
    settings: () => ({ rules: config.rules, needsPerPod: config.worker.needsPerPod }),
    workerIsAlive: () => true,
    clock: systemClock,
  });
  const request = {
    uid: 'render',
    group: '',
    kind: 'Pod',
    subResource: '',
    name,
    namespace,
    operation: 'CREATE',
    dryRun: true,
  };
  const verdict = await mutatePod(
    { signal: () => new AbortController().signal },
    { ...request, object: pod, oldObject: undefined },
  );
  const operations = verdict.kind === 'patch' ? verdict.operations : [];
  const result = structuredClone(pod);
  for (const operation of operations) jsonpatch.applyOperation(result, operation as jsonpatch.Operation);
  const plan = planPulls(viewPod(pod, namespace), view, space.labels, {
    rules: config.rules,
    needsPerPod: config.worker.needsPerPod,
  });
  return {
    object: { kind, namespace, name },
    patch: operations,
    result,
    plan: planResult(plan),
    warnings: [...warnings, ...verdict.warnings],
  };
}

function accountOf(known: readonly Manifest[], namespace: string, name: string): AccountView | undefined {
  const found = known.find(
    (each) => each.kind === 'ServiceAccount' && each.namespace === namespace && each.name === name,
  );
  if (!found) return undefined;
  return { ...viewAccount(found.object), namespace, uid: 'unknown' };
}

function assumedAccount(namespace: string, name: string): AccountView {
  return { namespace, name, uid: 'unknown', annotations: {}, pullSecrets: [], isDeleting: false };
}

/** A namespace that is not in the input is taken as opted in: that is what the user wants to see. */
function namespaceOf(known: readonly Manifest[], name: string): NamespaceView {
  const found = known.find((each) => each.kind === 'Namespace' && each.name === name);
  return found
    ? viewNamespace(found.object)
    : { name, labels: { [INJECT_LABEL]: 'enabled' }, isTerminating: false };
}

/** What the API server's ServiceAccount plugin does before any webhook runs. */
function copyAccountSecrets(pod: Record<string, unknown>, account: AccountView, warnings: string[]): void {
  if (account.pullSecrets.length === 0 || viewPod(pod).pullSecrets.length > 0) return;
  pod['spec'] = { ...fieldsOf(pod['spec']), imagePullSecrets: account.pullSecrets.map((name) => ({ name })) };
  warnings.push(
    `the API server first copies ${account.pullSecrets.join(', ')} from ServiceAccount ${account.name} into the pod`,
  );
}

function planResult(plan: Plan): Record<string, unknown> {
  return {
    needs: plan.needs.map(({ need }) => ({
      rule: need.rule,
      registry: need.host,
      secretName: need.secretName,
      ...(need.principal && { principal: need.principal }),
    })),
    onNode: plan.onNode,
    tokens: plan.tokens,
    inPod: plan.inPod,
    leftOut: plan.leftOut,
  };
}

function tableOf({ object, patch, result, plan, warnings }: Rendered, before: unknown, paint: Paint): string {
  const title = paint.strong(printable(`${object.kind} ${object.namespace}/${object.name}`));
  const needs = plan['needs'] as { rule: string; registry: string; secretName: string }[];
  const rows = needs.map(({ rule, registry, secretName }) => [registry, rule, secretName].map(printable));
  const table =
    rows.length > 0 ? alignColumns([['REGISTRY', 'RULE', 'SECRET'], ...rows]) : 'no credential is needed\n';
  const [was, is] = [stringify(before), stringify(result)];
  const lines = createTwoFilesPatch('as written', 'as stored', was, is, undefined, undefined, { context: 3 })
    .split('\n')
    .slice(1, -1)
    .filter((line) => !line.startsWith('\\'))
    .map(printableLine)
    .map((line) =>
      line.startsWith('+')
        ? paint.added(line)
        : line.startsWith('-')
          ? paint.removed(line)
          : paint.faint(line),
    );
  const told = warnings.map((warning) => `warning: ${printable(warning)}\n`).join('');
  const difference = patch.length > 0 ? `${lines.join('\n')}\n` : '';
  return `${title}\n${table}${difference}${told}`;
}
