// A base for the Dockerfile where no registry is to be had: this Debian's essential packages, this very Node, and npm.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianField } from '../debian-package.ts';
import { run, type ImageStore } from './buildah.ts';

const NAME = 'localhost/keyless-pull-base';
/** The one whose lists of packages are tried. */
const NPM = 'npm@11.19.1';

/** Makes it, about two minutes, and returns its name. */
export async function makeLocalBase({ folder, buildah }: ImageStore): Promise<string> {
  const root = join(folder, 'base');
  const suite = debianField('VERSION_CODENAME') ?? 'stable';
  const packages = ['--variant=essential', '--include=libstdc++6,libatomic1'];
  // What it says on the way goes to standard error.
  await run('mmdebstrap', ['--mode=root', '--format=directory', ...packages, suite, root]);
  copyFileSync(process.execPath, join(root, 'usr/local/bin/node'));
  await run('npm', ['install', '--global', '--prefix', join(root, 'usr/local'), '--prefer-offline', NPM]);
  const container = await buildah('from', 'scratch');
  await buildah('add', '--quiet', container, root, '/');
  await buildah('commit', '--quiet', '--rm', container, NAME);
  return NAME;
}
