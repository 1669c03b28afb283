// Debian's buildah: builds images without an engine. What it stores lies in one folder, deleted at the end.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findOnPath } from '../command-lines.ts';
import { installPackages, whyNoPackages } from '../debian-package.ts';
import type { ProgressStream } from '../build-part.ts';

export interface ImageStore extends AsyncDisposable {
  readonly folder: string;
  /** What buildah printed. Throws with its last words where it fails. */
  buildah(...words: string[]): Promise<string>;
  /** The folder with an image's files. */
  unpack(image: string): Promise<string>;
}

const NEEDED = ['buildah', 'mmdebstrap'];
const TWENTY_MINUTES_MS = 20 * 60_000;

/** @throws with a sentence where buildah is missing and cannot be installed */
export async function openImageStore(progress: ProgressStream): Promise<ImageStore> {
  await findBuildah(progress);
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-image-'));
  // Overlays need a kernel and a file system that know them; copies need neither.
  const store = [
    '--storage-driver',
    'vfs',
    '--root',
    join(folder, 'store'),
    '--runroot',
    join(folder, 'run'),
  ];
  const buildah = async (...words: string[]) => (await run('buildah', [...store, ...words])).trim();
  return {
    folder,
    buildah,
    unpack: async (image) => buildah('mount', await buildah('from', image)),
    async [Symbol.asyncDispose]() {
      await buildah('umount', '--all').catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function findBuildah(progress: ProgressStream): Promise<void> {
  const missing = NEEDED.filter((name) => findOnPath(name) === undefined);
  if (missing.length === 0) return;
  const reason = whyNoPackages('install both, or build with `docker build .`');
  if (reason !== undefined) throw new Error(`Missing ${missing.join(' and ')}: not on PATH, and ${reason}.`);
  progress.write(`installing ${missing.join(' and ')} …\n`);
  await installPackages(...missing);
}

/** What a program printed. Throws with its last words where it fails. */
export async function run(command: string, words: readonly string[]): Promise<string> {
  const options = { maxBuffer: 64 * 1024 * 1024, timeout: TWENTY_MINUTES_MS };
  try {
    return (await promisify(execFile)(command, [...words], options)).stdout;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).slice(-2_000) : '';
    throw new Error(`${command} ${words.join(' ')}: ${said || String(error)}`, { cause: error });
  }
}
