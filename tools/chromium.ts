// A Chromium to look at the pages that we write: the one that is there, or Debian's own package where we may install it.
import { findOnPath, isExecutable } from './command-lines.ts';
import { installPackages, whyNoPackages } from './debian-package.ts';
import type { ProgressStream } from './build-part.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const MAC = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** The one that KEYLESS_PULL_CHROMIUM names, or the first on PATH; undefined where there is none. */
export function findChromium(): string | undefined {
  const named = process.env['KEYLESS_PULL_CHROMIUM'];
  if (named) return isExecutable(named) ? named : undefined;
  return NAMES.map(findOnPath).find((path) => path !== undefined) ?? MAC.find(isExecutable);
}

/** Why there can be none, as the end of a sentence; undefined where `installChromium` may try. */
export function whyNoChromium(): string | undefined {
  const cure = 'install Chromium or Chrome, or let KEYLESS_PULL_CHROMIUM name its program';
  if (process.env['KEYLESS_PULL_CHROMIUM']) return `KEYLESS_PULL_CHROMIUM names no program: ${cure}`;
  return whyNoPackages(cure);
}

/** Debian's package, about a minute. Throws with the last words of apt-get where it fails. */
export async function installChromium(progress: ProgressStream): Promise<string> {
  progress.write('installing chromium (about a minute the first time) …\n');
  await installPackages('chromium');
  const path = findChromium();
  if (path === undefined) throw new Error('apt-get installed chromium, and it is not on PATH');
  return path;
}
