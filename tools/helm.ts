// helm as a user would run it, but with nothing read from or written to the user's home.
import { join } from 'node:path';
import { findParts } from './parts.ts';
import { runCommand } from './run-command.ts';
import type { CommandResult } from './run-command.ts';

export type Helm = (...flags: readonly string[]) => Promise<CommandResult>;

/** `folder` holds what helm remembers; without `kubeconfig` it reaches no cluster. Its runs do not throw: look at `code`. */
export async function openHelm(folder: string, kubeconfig?: string): Promise<Helm> {
  const { helm } = await findParts(['helm']);
  const environment = {
    HELM_CACHE_HOME: join(folder, 'helm-cache'),
    HELM_CONFIG_HOME: join(folder, 'helm-config'),
    HELM_DATA_HOME: join(folder, 'helm-data'),
    // What helm is told of no cluster, it would find in the user's home.
    KUBECONFIG: kubeconfig ?? join(folder, 'no-kubeconfig'),
  };
  return (...flags) => runCommand(helm, flags, { environment });
}
