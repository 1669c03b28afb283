// Programs that Debian has as packages: installed where this is Debian and we are root.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { findOnPath } from './command-lines.ts';

/** Why nothing can be installed here, as the end of a sentence; undefined where `installPackages` may try. */
export function whyNoPackages(cure: string): string | undefined {
  if (process.getuid?.() !== 0) return `only root may install a package: ${cure}`;
  if (debianField('ID') !== 'debian' || findOnPath('apt-get') === undefined)
    return `this is no Debian: ${cure}`;
  return undefined;
}

/** Throws with the last words of apt-get where it fails. */
export async function installPackages(...names: string[]): Promise<void> {
  await aptGet('update', '-qq');
  await aptGet('install', '-y', '--no-install-recommends', ...names);
}

/** Of /etc/os-release, such as ID and VERSION_CODENAME; undefined where there is none. */
export function debianField(name: string): string | undefined {
  try {
    // Ubuntu's is no Debian: some of its packages ask for snap, which containers have not.
    return new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

async function aptGet(...words: string[]): Promise<void> {
  const child = spawn('apt-get', ['-o', 'Acquire::Retries=3', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-1_000)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`apt-get ${words.join(' ')} ended with ${code}: ${said.trim()}`);
}
