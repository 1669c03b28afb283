// A control group of its own for one process, where this machine lets us make one (cgroup v2, or v1's memory and cpu).
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

export interface ControlGroup extends Disposable {
  /** What a process is started through to live in the group from its first instruction. */
  readonly wrapper: readonly string[];
  /** `memory` in bytes, `cpus` in processors. */
  limit(limits: { readonly memory?: number; readonly cpus?: number }): void;
  memoryInUse(): number;
}

/** Undefined where nobody may make one: not root, or a container without them. */
export function openControlGroup(title: string): ControlGroup | undefined {
  // Of a run that was killed, a group of that title may still be there.
  const name = `${title}-${process.pid}`;
  const isUnified = existsSync(join(ROOT, 'cgroup.controllers'));
  const folders = isUnified
    ? [join(ROOT, name)]
    : ['memory', 'cpu'].map((controller) => join(ROOT, controller, name));
  try {
    if (isUnified) writeFileSync(join(ROOT, 'cgroup.subtree_control'), '+memory +cpu');
    for (const folder of folders) mkdirSync(folder);
  } catch {
    return undefined;
  }
  const [memory = '', cpu = memory] = folders;
  const put = (folder: string, file: string, value: string | number) =>
    writeFileSync(join(folder, file), String(value));
  const joined = folders.map((folder) => `echo $$ > ${join(folder, 'cgroup.procs')}`).join(' && ');
  return {
    wrapper: ['sh', '-c', `${joined} && exec "$@"`, 'sh'],
    limit({ memory: bytes, cpus }) {
      if (bytes !== undefined)
        put(memory, isUnified ? 'memory.max' : 'memory.limit_in_bytes', Math.floor(bytes));
      if (cpus === undefined) return;
      const [quota, period] = [Math.floor(cpus * 100_000), 100_000];
      if (isUnified) return put(cpu, 'cpu.max', `${quota} ${period}`);
      put(cpu, 'cpu.cfs_period_us', period);
      put(cpu, 'cpu.cfs_quota_us', quota);
    },
    memoryInUse() {
      // What was read from files can be given back, and does not count for the limit.
      const stat = readFileSync(join(memory, 'memory.stat'), 'utf8');
      const field = isUnified ? /^anon (\d+)/m : /^(?:total_)?rss (\d+)/m;
      return Number(field.exec(stat)?.[1] ?? 0);
    },
    [Symbol.dispose]() {
      for (const folder of folders) {
        try {
          rmdirSync(folder);
        } catch {
          // Somebody still lives in it: the run's end finds an empty one that costs nothing.
        }
      }
    },
  };
}
