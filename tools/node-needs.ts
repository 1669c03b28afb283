// Whether a real node can run on this machine.
import { findOnPath } from './command-lines.ts';

const PROGRAMS = ['unshare', 'nsenter', 'setpriv', 'mount', 'nice'];

/** Why it cannot, in one sentence; undefined where it can. */
export function whyNoNode(): string | undefined {
  const start = 'A node with a real kubelet cannot run here:';
  if (process.platform !== 'linux') return `${start} it needs Linux, and this is ${process.platform}.`;
  if (process.getuid?.() !== 0) return `${start} it needs root, and this is user ${process.getuid?.()}.`;
  const missing = PROGRAMS.filter((name) => findOnPath(name) === undefined);
  if (missing.length > 0)
    return `${start} install util-linux and coreutils, for ${missing.join(', ')} is not on PATH.`;
  return undefined;
}
