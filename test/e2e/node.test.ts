// The node itself: a pod runs on it, and when it has ended nothing of it is left, whatever ended it.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { CONTAINERS_FOLDER } from '../../tools/container-cgroups.ts';
import { waitUntil } from '../../tools/processes.ts';
import { sweepRunFolders } from '../../tools/run-folder.ts';
import { startHeldRun } from '../tools/held-run.ts';

const CGROUPS = '/sys/fs/cgroup';
/** Where containerd and kubelets write besides their own folders, unless somebody sees to it. */
const PLACES = [
  '/var/lib/kubelet',
  '/var/log/pods',
  '/var/log/containers',
  '/run/containerd',
  '/opt/containerd',
];

/** What a node in `folder` with these containers has on this machine outside of its folder. */
function tracesOf(folder: string, containers: readonly string[]): Record<string, unknown> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const cgroups = readdirSync(CGROUPS, { recursive: true, encoding: 'utf8' });
  return {
    folder: existsSync(folder),
    processes: pids.filter((pid) => read(`/proc/${pid}/cmdline`).includes(folder)).length,
    containers: pids.filter((pid) => containers.some((id) => read(`/proc/${pid}/cgroup`).includes(id)))
      .length,
    mounts: pids.filter((pid) => read(`/proc/${pid}/mountinfo`).includes(folder)).length,
    cgroups: cgroups.filter((path) => containers.some((id) => path.endsWith(`/${id}`))).length,
    places: PLACES.map((path) => (existsSync(path) ? readdirSync(path) : [])),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}

test('its programs give way to the control plane, which in a cluster has processors of its own', async () => {
  const held = await startHeldRun('node', 'wait');

  const programs = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/cmdline`).includes(held.folder))
    .map((pid) => ({
      program: basename(read(`/proc/${pid}/cmdline`).split('\0')[0] ?? ''),
      own: read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')[16],
      // Where the kernel has none, the program's own is what counts.
      session: read(`/proc/${pid}/autogroup`).trim().split(' nice ')[1] ?? '10',
    }));

  held.kill('SIGTERM');
  await held.ended;
  for (const name of ['kubelet', 'containerd'])
    expect(programs).toContainEqual({ program: name, own: '10', session: '10' });
});

test.for(['SIGTERM', 'SIGKILL'] as const)(
  'a program that is ended by %s leaves nothing of its node, of which a pod was running',
  async (signal) => {
    const places = tracesOf('/nowhere', [])['places'];
    const held = await startHeldRun('node', 'wait');
    const containers = readdirSync(join(held.folder, CONTAINERS_FOLDER));
    const before = tracesOf(held.folder, containers);
    // A sandbox and a container, each with a process.
    expect(before).toMatchObject({ folder: true, places });
    expect(containers).toHaveLength(2);
    expect(before['containers']).toBe(2);
    expect(before['cgroups']).toBeGreaterThanOrEqual(2);
    expect(before['processes']).toBeGreaterThanOrEqual(3);

    held.kill(signal);

    await held.ended;
    const nothing = { folder: false, processes: 0, containers: 0, mounts: 0, cgroups: 0, places };
    await waitUntil(
      'nothing is left',
      async () => {
        // What a killed program cannot do itself, the next run does before it begins.
        await sweepRunFolders();
        const now = JSON.stringify(tracesOf(held.folder, containers));
        if (now !== JSON.stringify(nothing)) throw new Error(now);
        return true;
      },
      { deadlineMs: 60_000 },
    );
  },
);
