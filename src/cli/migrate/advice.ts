// What a migration asks of people: commands for what is not in these manifests, and what only they know.
import { annotationsFor, principalsOf } from '../../core/identity-parameters.ts';
import { ruleForHost, ruleSpeaksOf } from '../../core/registry-rule.ts';
import { INJECT_LABEL, STATIC_PULL_SECRETS_LABEL } from '../../core/vocabulary.ts';
import { fieldsOf } from '../../core/fields.ts';
import { pullSecretsPath, type Manifest } from '../manifests.ts';
import { shellWord } from '../trust/quoting.ts';
import { isConcerned, modeFor, type MigrationMode } from './namespaces.ts';
import type { JudgedPod, MigrationWorld } from './coverage.ts';
import type { Reference } from './references.ts';

export interface Advice {
  readonly text: string;
  /** One line for a POSIX shell. */
  readonly command?: string;
  readonly file?: string;
  readonly line?: number;
}

export function adviceFor(
  world: MigrationWorld,
  references: readonly Reference[],
  mode: MigrationMode,
): Advice[] {
  return [
    ...namespacesElsewhere(world, references, mode),
    ...accountsElsewhere(world),
    ...missingParameters(world),
    ...unknownKinds(world.manifests),
    ...secretsLeftOver(world, references),
  ];
}

function namespacesElsewhere(
  world: MigrationWorld,
  references: readonly Reference[],
  mode: MigrationMode,
): Advice[] {
  const names = new Set(world.pods.map(({ pod }) => pod.namespace));
  return [...names]
    .filter((name) => !world.find('Namespace', '', name) && isConcerned(world, name, references))
    .map((name) => ({
      text: `Namespace ${name} is not among these manifests: label it before they are applied`,
      command: `kubectl label namespace ${shellWord(name)} ${INJECT_LABEL}=enabled ${STATIC_PULL_SECRETS_LABEL}=${modeFor(name, references, mode)} --overwrite`,
    }));
}

function accountsElsewhere({ settings, find }: MigrationWorld): Advice[] {
  return [...settings.wishes].flatMap(([key, annotations]) => {
    const [namespace = '', name = ''] = key.split('/');
    if (find('ServiceAccount', namespace, name)) return [];
    const words = Object.entries(annotations).map(([annotation, value]) =>
      shellWord(`${annotation}=${value}`),
    );
    return {
      text: `ServiceAccount ${key} is not among these manifests: annotate it before they are applied`,
      command: `kubectl -n ${namespace} annotate serviceaccount ${name} ${words.join(' ')} --overwrite`,
    };
  });
}

function missingParameters(world: MigrationWorld): Advice[] {
  const told = new Map<string, Advice>();
  for (const judged of world.pods)
    for (const { rule, parameter } of parametersMissing(world, judged)) {
      const { namespace, name } = judged.account;
      const text = `ServiceAccount ${namespace}/${name} does not say ${parameter}, which rule ${rule} needs: run again with --set ${namespace}/${name}:${parameter}=VALUE`;
      told.set(text, { text });
    }
  return [...told.values()];
}

/** Of the account, for the registries of this pod. */
export function parametersMissing(
  { settings, labels }: MigrationWorld,
  { hosts, account }: Pick<JudgedPod, 'hosts' | 'account'>,
): { readonly rule: string; readonly parameter: string }[] {
  const { rules } = settings.config;
  return [...hosts.keys()].flatMap((host) => {
    const rule = ruleForHost(rules, host, (one) =>
      ruleSpeaksOf(one, account.name, labels(account.namespace)),
    );
    if (!rule) return [];
    const { faults } = principalsOf(rule, account, host);
    return Object.keys(rule.family.parameters)
      .filter((key) =>
        faults.some((fault) => fault.includes(`has no annotation ${annotationsFor(rule.name, key)[1]},`)),
      )
      .map((parameter) => ({ rule: rule.name, parameter }));
  });
}

/** Kinds of others that make pods: their controllers know what to make of an edit, we do not. */
function unknownKinds(manifests: readonly Manifest[]): Advice[] {
  return manifests.flatMap((manifest) => {
    if (pullSecretsPath(manifest.kind) || !namesPullSecrets(manifest.object)) return [];
    return {
      text: `${manifest.kind} ${manifest.namespace}/${manifest.name} names imagePullSecrets, and is no kind that is edited here: take those out by hand that a rule covers`,
      ...placeOf(manifest),
    };
  });
}

function namesPullSecrets(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(namesPullSecrets);
  const fields = fieldsOf(value);
  return Object.entries(fields).some(
    ([key, member]) =>
      (key === 'imagePullSecrets' && Array.isArray(member) && member.length > 0) || namesPullSecrets(member),
  );
}

function secretsLeftOver(world: MigrationWorld, references: readonly Reference[]): Advice[] {
  const keyOf = ({ holder, secret }: Reference) => `${holder.namespace}/${secret}`;
  const names = new Set(references.map(keyOf));
  for (const reference of references) if (reference.stays !== undefined) names.delete(keyOf(reference));
  return [...names].flatMap((key) => {
    const [namespace = '', name = ''] = key.split('/');
    const manifest = world.find('Secret', namespace, name);
    if (!manifest) return [];
    return {
      text: `Secret ${key} is named by none of these manifests any more: delete it last, when every pod has been seen to pull without it`,
      ...placeOf(manifest),
    };
  });
}

/** Manifests from files know where they stand. */
export function placeOf(manifest: Manifest & { readonly file?: string; readonly line?: number }): {
  readonly file?: string;
  readonly line?: number;
} {
  const { file, line } = manifest;
  return file === undefined || line === undefined ? {} : { file, line };
}
