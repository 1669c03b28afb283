// One step of a plan, and the plan of one namespace: what to do, how to know that it worked, and the way back.
import { fieldsOf } from '../../../core/fields.ts';
import { removalOperations } from '../by-hand.ts';
import { pullSecretsPath, type Manifest } from '../../manifests.ts';
import { shellQuoted, shellWord } from '../../trust/quoting.ts';

export type StepName =
  | 'audit'
  | 'warn'
  | 'prewarm'
  | 'inject'
  | 'canary'
  | 'workloads'
  | 'stop-provisioner'
  | 'accounts'
  | 'enforce';

export interface PlanStep {
  readonly step: StepName;
  /** Empty for a step of the whole cluster. */
  readonly namespace: string;
  /** One or two sentences. */
  readonly does: string;
  /** To be copied into a POSIX shell, one after the other; some have several lines. */
  readonly commands: readonly string[];
  /** How success shows, and the commands that show it. */
  readonly proof: { readonly text: string; readonly commands: readonly string[] };
  readonly back: readonly string[];
}

/** `kubectl -n shop`. */
export function kubectlIn(namespace: string): string {
  return `kubectl -n ${shellWord(namespace)}`;
}

/** Behind a test of what stands there now: a list that somebody has changed meanwhile is left alone. */
export function removalCommand(holder: Manifest, secrets: readonly string[]): string {
  return patchCommand(holder, removalOperations(holder.kind, holder.object, secrets));
}

/** Writes the whole list as it is now. */
export function restoreCommand(holder: Manifest): string {
  const steps = pullSecretsPath(holder.kind) ?? [];
  const fields = fieldsOf(steps.reduce<unknown>((value, step) => fieldsOf(value)[step], holder.object));
  const path = `/${[...steps, 'imagePullSecrets'].join('/')}`;
  return patchCommand(holder, [{ op: 'add', path, value: fields['imagePullSecrets'] }]);
}

function patchCommand({ kind, namespace, name }: Manifest, operations: readonly object[]): string {
  const resource = `${kind.toLowerCase()} ${shellWord(name)}`;
  return `${kubectlIn(namespace)} patch ${resource} --type=json -p ${shellQuoted(JSON.stringify(operations))}`;
}

/** A command that reads one object from its input. */
export function createCommand(namespace: string, words: string, object: unknown): string {
  return `${kubectlIn(namespace)} create ${words}-f - <<'EOF'\n${JSON.stringify(object, null, 2)}\nEOF`;
}
