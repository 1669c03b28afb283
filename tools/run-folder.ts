// A folder of one run's own under the system's temporary folder, with a record of who owns it and what it started,
// and the sweeping of folders whose owner was killed before it could tidy up.
import {
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeContainerCgroups } from './container-cgroups.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { identifyProcess, isStillRunning, killProcess, waitForEnd } from './process-identity.ts';

/** What every run folder's name begins with. */
export const RUN_FOLDER_PREFIX = 'keyless-pull-run-';

const RECORD_FILE = 'run.json';

// A folder exists for an instant before its record does; a minute is ample.
const UNRECORDED_GRACE_MS = 60_000;

/** What `run.json` in a run folder says. */
export interface RunRecord {
  /** Process ids mean nothing on another machine or in another container that shares the temporary folder. */
  readonly hostname: string;
  readonly owner: ProcessIdentity;
  readonly children: readonly ProcessIdentity[];
}

/** Makes an empty run folder that belongs to this process, readable by its user only; returns its path. */
export function createRunFolder(label: string, parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, `${RUN_FOLDER_PREFIX}${label}-`));
  recordChildren(folder, []);
  return folder;
}

/** Writes down which processes the run has started, so that a sweep can find them; replaces the former list. */
export function recordChildren(folder: string, children: readonly ProcessIdentity[]): void {
  const owner = identifyProcess(process.pid);
  if (owner === undefined) throw new Error('this process cannot find its own start time');
  const record: RunRecord = { hostname: hostname(), owner, children };
  // Renamed into place, or a sweep could read half a record.
  const temporary = join(folder, `${RECORD_FILE}.new`);
  writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 });
  renameSync(temporary, join(folder, RECORD_FILE));
}

/** Deletes a run folder, and the cgroups that the containers of a node in it left; retries while a process that was just killed still lets go of its files. */
export function removeRunFolder(folder: string): void {
  removeContainerCgroups(folder);
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/**
 * Ends what abandoned runs left behind: kills the recorded children (only where the start time matches) and deletes
 * the folders. Leaves alone the folders of living owners, of other machines and of other users. Returns the paths
 * it removed; never throws, because a stranger's leftovers must not keep a run from starting.
 */
export async function sweepRunFolders(parent = tmpdir()): Promise<string[]> {
  const removed: string[] = [];
  for (const name of readdirSync(parent).filter((name) => name.startsWith(RUN_FOLDER_PREFIX))) {
    const folder = join(parent, name);
    try {
      if (!isOurFolder(folder)) continue;
      const record = readRecord(folder);
      if (record === undefined ? isYoung(folder) : !isAbandoned(record)) continue;
      for (const child of record?.children ?? []) {
        killProcess(child);
        await waitForEnd(child, 2000);
      }
      removeRunFolder(folder);
      removed.push(folder);
    } catch {
      // Another process sweeps at the same moment, or the file system says no.
    }
  }
  return removed;
}

// The temporary folder is everybody's: a record planted by another user must not choose whom we kill.
function isOurFolder(folder: string): boolean {
  const status = lstatSync(folder);
  return status.isDirectory() && status.uid === process.getuid?.();
}

function isYoung(folder: string): boolean {
  return Date.now() - lstatSync(folder).mtimeMs < UNRECORDED_GRACE_MS;
}

function isAbandoned(record: RunRecord): boolean {
  return record.hostname === hostname() && !isStillRunning(record.owner);
}

function readRecord(folder: string): RunRecord | undefined {
  try {
    // Our own file in a folder only this user can write.
    return JSON.parse(readFileSync(join(folder, RECORD_FILE), 'utf8')) as RunRecord;
  } catch {
    return undefined;
  }
}
