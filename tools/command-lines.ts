// Where programs are, and the command line that starts one so that it cannot outlive its parent.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of a program on PATH, or undefined. */
export function findOnPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** True for a file this user may run. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The command line that has the kernel end the program when its parent is gone, even by SIGKILL. Only Linux offers
 * this (`setpriv` of util-linux keeps the process id); elsewhere the command line as given, and the sweep must do. */
export function endingWithParent(command: string, flags: readonly string[]): [string, string[]] {
  setpriv ??= findSetpriv();
  return setpriv ? [setpriv, ['--pdeathsig', 'KILL', '--', command, ...flags]] : [command, [...flags]];
}

// Looked for once; empty where there is none that helps.
let setpriv: string | undefined;

function findSetpriv(): string {
  const path = process.platform === 'linux' ? findOnPath('setpriv') : undefined;
  if (path === undefined) return '';
  // BusyBox has a setpriv without that flag.
  const flags = ['--pdeathsig', 'KILL', '--', process.execPath, '--version'];
  return spawnSync(path, flags, { stdio: 'ignore' }).status === 0 ? path : '';
}
