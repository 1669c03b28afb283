// Which namespaces a migration is about, and how strict it may make them.
import { PROTECTED_NAMESPACES } from '../../core/vocabulary.ts';
import type { PolicyMode } from '../../core/pull-policy.ts';
import type { MigrationWorld } from './coverage.ts';
import type { Reference } from './references.ts';

export const migrationModes = ['audit', 'warn', 'enforce'] as const satisfies readonly PolicyMode[];
export type MigrationMode = (typeof migrationModes)[number];

/** Where references stay, `enforce` would deny their pods: `warn` until they can go. */
export function modeFor(
  namespace: string,
  references: readonly Reference[],
  mode: MigrationMode,
): MigrationMode {
  const stays = references.some(
    ({ holder, stays: why }) => why !== undefined && holder.namespace === namespace,
  );
  return mode === 'enforce' && stays ? 'warn' : mode;
}

/** One whose pods are elsewhere is concerned: its manifest is here to be labelled. */
export function isConcerned(world: MigrationWorld, name: string, references: readonly Reference[]): boolean {
  if (PROTECTED_NAMESPACES.includes(name)) return false;
  const pods = world.pods.filter(({ pod }) => pod.namespace === name);
  return (
    pods.length === 0 ||
    pods.some(({ plan }) => plan.needs.length > 0 || plan.onNode.length > 0) ||
    references.some(({ holder }) => holder.namespace === name)
  );
}
