// From what manifests are to what they should be: labels, annotations, references that go; what stays, and why; and what is
// no edit of these files but advice.
import { STATIC_PULL_SECRETS_LABEL, INJECT_LABEL, PROTECTED_NAMESPACES } from '../../core/vocabulary.ts';
import { policyModes } from '../../core/pull-policy.ts';
import { viewAccount, viewNamespace } from '../../core/pod-view.ts';
import { adviceFor, type Advice } from './advice.ts';
import { injectLabelOf, type MigrationWorld } from './coverage.ts';
import { isConcerned, modeFor, type MigrationMode } from './namespaces.ts';
import { judgeReferences, type Reference } from './references.ts';
import type { Manifest } from '../manifests.ts';

type Entry = readonly [key: string, value: string];

/** One object that is to be different. */
export type Wanted = { readonly manifest: Manifest } & (
  | { readonly kind: 'labels' | 'annotations'; readonly entries: readonly Entry[] }
  | { readonly kind: 'references'; readonly secrets: readonly string[] }
);

export interface Migration {
  readonly wanted: readonly Wanted[];
  readonly kept: readonly Reference[];
  /** Commands and sentences for what no manifest of these says. */
  readonly advice: readonly Advice[];
}

export function migrationOf(world: MigrationWorld, mode: MigrationMode): Migration {
  const references = judgeReferences(world);
  const kept = references.filter(({ stays }) => stays !== undefined);
  const goes = Map.groupBy(
    references.filter(({ stays }) => stays === undefined),
    ({ holder }) => holder,
  );
  const wanted: Wanted[] = [];
  for (const manifest of world.manifests) {
    if (manifest.kind === 'Namespace') {
      const entries = labelsFor(world, manifest, references, mode);
      if (entries.length > 0) wanted.push({ manifest, kind: 'labels', entries });
    }
    if (manifest.kind === 'ServiceAccount') {
      const entries = annotationsFor(world, manifest);
      if (entries.length > 0) wanted.push({ manifest, kind: 'annotations', entries });
    }
    const secrets = (goes.get(manifest) ?? []).map(({ secret }) => secret);
    if (secrets.length > 0) wanted.push({ manifest, kind: 'references', secrets });
  }
  return { wanted, kept, advice: adviceFor(world, references, mode) };
}

/** Only upwards: what somebody has made stricter stays so. A namespace whose pods have nothing for us is left alone. */
function labelsFor(
  world: MigrationWorld,
  { name, object }: Manifest,
  references: readonly Reference[],
  mode: MigrationMode,
): Entry[] {
  if (PROTECTED_NAMESPACES.includes(name) || !isConcerned(world, name, references)) return [];
  const { labels } = viewNamespace(object);
  const entries: Entry[] = [];
  const inject = injectLabelOf(world, name);
  if (inject !== 'enabled' && inject !== 'draining') entries.push([INJECT_LABEL, 'enabled']);
  const wished = modeFor(name, references, mode);
  const present = labels[STATIC_PULL_SECRETS_LABEL];
  if (strictness(present) < strictness(wished)) entries.push([STATIC_PULL_SECRETS_LABEL, wished]);
  return entries;
}

function strictness(mode: string | undefined): number {
  const at = policyModes.findIndex((known) => known === mode);
  return at === -1 ? -1 : policyModes.length - at;
}

function annotationsFor(world: MigrationWorld, { namespace, name, object }: Manifest): Entry[] {
  const { annotations } = viewAccount(object);
  const wishes = Object.entries(world.settings.wishes.get(`${namespace}/${name}`) ?? {});
  return wishes.filter(([key, value]) => annotations[key] !== value);
}
