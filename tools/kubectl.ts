// kubectl as a user would run it, but with nothing read from or written to the user's home.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ControlPlane } from './control-plane.ts';

/** How a program ended and what it said. `code` is null where a signal ended it. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs kubectl against the control plane, as the administrator unless `kubeconfig` says otherwise. Does not throw
 * when kubectl fails: look at `code`. */
export async function runKubectl(
  controlPlane: ControlPlane,
  flags: readonly string[],
  { input = '', kubeconfig = controlPlane.kubeconfig }: { input?: string; kubeconfig?: string } = {},
): Promise<CommandResult> {
  const child = spawn(controlPlane.kubectlPath, flags, {
    env: {
      ...process.env,
      KUBECONFIG: kubeconfig,
      KUBECACHEDIR: join(controlPlane.folder, 'kubectl-cache'),
      KUBERC: 'off',
    },
  });
  // kubectl may end without having read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([
    new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    }),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}
