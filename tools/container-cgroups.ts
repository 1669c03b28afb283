// The cgroups of a node's containers: containerd makes them outside of the node's folder, and the kernel keeps those whose
// processes were killed.
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

const HIERARCHIES = '/sys/fs/cgroup';
/** Of all that a kubelet has containerd run; also the name of their common cgroup. */
const NAMESPACE = 'k8s.io';

/** A run folder's containerd keeps a folder here for each container that it has not removed itself. */
export const CONTAINERS_FOLDER = join('containerd', 'state', 'io.containerd.runtime.v2.task', NAMESPACE);

const ENDING_MS = 2_000;

/** Deletes the cgroups of the containers that a node in `folder` left, once their processes have ended; none, where it ran no node. */
export function removeContainerCgroups(folder: string): void {
  const containers = join(folder, CONTAINERS_FOLDER);
  if (!existsSync(containers)) return;
  const giveUpAt = performance.now() + ENDING_MS;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const left = readdirSync(containers).flatMap((id) =>
    hierarchies().map((each) => join(each, NAMESPACE, id)),
  );
  for (const cgroup of left) {
    while (!isRemoved(cgroup) && performance.now() < giveUpAt) Atomics.wait(pause, 0, 0, 20);
  }
  // Only where nobody else has containers.
  for (const each of hierarchies()) {
    const common = join(each, NAMESPACE);
    const isEmpty =
      existsSync(common) && readdirSync(common, { withFileTypes: true }).every((one) => !one.isDirectory());
    if (isEmpty) isRemoved(common);
  }
}

/** The one of cgroups version 2, or each of version 1. */
function hierarchies(): string[] {
  if (existsSync(join(HIERARCHIES, 'cgroup.procs'))) return [HIERARCHIES];
  return readdirSync(HIERARCHIES, { withFileTypes: true })
    .filter((each) => each.isDirectory())
    .map(({ name }) => join(HIERARCHIES, name));
}

/** The files of a cgroup cannot be deleted, and go with it; those of processes that run stay. */
function isRemoved(cgroup: string): boolean {
  if (!existsSync(cgroup)) return true;
  try {
    for (const each of readdirSync(cgroup, { withFileTypes: true }))
      if (each.isDirectory()) rmdirSync(join(cgroup, each.name));
    rmdirSync(cgroup);
    return true;
  } catch {
    return false;
  }
}
