// kubectl as a user would run it, but with nothing read from or written to the user's home.
import { join } from 'node:path';
import type { ControlPlane } from './control-plane.ts';
import { runCommand } from './run-command.ts';
import type { CommandResult } from './run-command.ts';

/** Runs kubectl against the control plane, as the administrator unless `kubeconfig` says otherwise. Does not throw
 * when kubectl fails: look at `code`. */
export function runKubectl(
  controlPlane: ControlPlane,
  flags: readonly string[],
  { input = '', kubeconfig = controlPlane.kubeconfig }: { input?: string; kubeconfig?: string } = {},
): Promise<CommandResult> {
  const environment = {
    KUBECONFIG: kubeconfig,
    KUBECACHEDIR: join(controlPlane.folder, 'kubectl-cache'),
    KUBERC: 'off',
  };
  return runCommand(controlPlane.kubectlPath, flags, { input, environment });
}
