// A program of an unpacked image, run as a node would run it: as 65532, without any capability, with a root that nobody can
// write. No container engine: mounts of its own, and chroot.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export interface ImageRun {
  readonly root: string;
  readonly words: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Is found as /etc/keyless-pull. */
  readonly configFolder?: string;
}

// In the order of the words behind: the root, and what lies at /etc/keyless-pull (empty for nothing).
const SCRIPT = `
root=$1 config=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
[ -z "$config" ] || mount --bind "$config" "$root/etc/keyless-pull"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs "$(command -v chroot)" --userspec=65532:65532 --groups=65532 "$root" "$@"`;

/** The child is the program itself: signals reach it. Needs root. */
export function startInImage({ root, words, environment = {}, configFolder = '' }: ImageRun): ChildProcess {
  for (const folder of ['proc', 'dev', 'etc/keyless-pull'])
    mkdirSync(join(root, folder), { recursive: true });
  const shell = ['sh', '-ec', SCRIPT, 'sh', root, configFolder];
  return spawn('unshare', ['--mount', '--propagation', 'private', ...shell, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...environment },
  });
}
