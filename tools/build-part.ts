// Builds one program with Go from a pinned module of this folder, and says how long it takes while it takes it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { endingWithParent, findOnPath } from './command-lines.ts';
import { identifyProcess } from './process-identity.ts';

/** Where progress goes: standard error, or a test's ear. A terminal's line is rewritten in place. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** What to build; `module` is a folder beside this file that holds a go.mod. */
export interface BuildPlan {
  readonly name: string;
  readonly version: string;
  readonly module: string;
  readonly goPackage: string;
  readonly linkerFlags: string;
  /** How long it takes without Go's own cache, in words: "about 4 minutes". */
  readonly firstTime: string;
}

// Often enough to show life in a log, seldom enough not to fill it.
const LOG_TICK_SECONDS = 30;

/** Undefined when the Go on PATH can build `module`; otherwise what is wrong with it, as half a sentence. */
export function whyGoCannotBuild(module: string): string | undefined {
  const wanted = /^go (\S+)/m.exec(readFileSync(join(moduleFolder(module), 'go.mod'), 'utf8'))?.[1] ?? '1.26';
  const go = findOnPath('go');
  if (go === undefined) return `Go ${wanted} or newer is not on PATH`;
  // Asked inside the module, so that Go may switch to a newer toolchain itself where GOTOOLCHAIN lets it.
  const answer = spawnSync(go, ['version'], {
    cwd: moduleFolder(module),
    encoding: 'utf8',
    env: buildEnvironment(),
  });
  if (answer.status !== 0) return `${go} does not run: ${answer.stderr.trim().split('\n').at(-1)}`;
  const found = /go version go(\S+)/.exec(answer.stdout)?.[1] ?? 'unknown';
  return isOlder(found, wanted) ? `${go} is ${found}, and Go ${wanted} or newer is wanted` : undefined;
}

/** Builds into `destination`, which appears whole or not at all; two builders at once do no harm. */
export async function buildPart(
  plan: BuildPlan,
  destination: string,
  progress: ProgressStream,
): Promise<void> {
  mkdirSync(dirname(destination), { recursive: true });
  removeAbandonedBuilds(destination);
  const temporary = `${destination}.building-${process.pid}`;
  const [command, flags] = endingWithParent(findOnPath('go') ?? 'go', [
    ...['build', '-v', '-mod=readonly', '-trimpath', '-ldflags', plan.linkerFlags],
    ...['-o', temporary, plan.goPackage],
  ]);
  const title = `building ${plan.name} ${plan.version}`;
  progress.write(`${title} (${plan.firstTime} the first time) …\n`);
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  let packages = 0;
  let output = '';
  const ticker = startTicker(progress, () => `  ${title}: ${seconds()} s, ${packages} packages compiled`);
  try {
    const child = spawn(command, flags, {
      cwd: moduleFolder(plan.module),
      stdio: ['ignore', 'ignore', 'pipe'],
      env: buildEnvironment(),
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      packages += text.split('\n').filter((line) => /^[\w.-]+(\/\S+)?$/.test(line)).length;
      output = (output + text).slice(-4000);
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code !== 0)
      throw new Error(`${title} failed after ${seconds()} s (go ended with ${code}):\n${output}`);
    renameSync(temporary, destination);
  } finally {
    ticker.stop();
    rmSync(temporary, { force: true });
  }
  const megabytes = Math.round(statSync(destination).size / 1e6);
  progress.write(`built ${plan.name} ${plan.version} in ${seconds()} s, ${megabytes} MB\n`);
}

/** The version of `dependency` that the go.mod of `module` requires, such as "v1.36.3". */
export function requiredVersion(module: string, dependency: string): string {
  const file = join(moduleFolder(module), 'go.mod');
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .map((text) => text.replace(/^require /, '').trim())
    .find((text) => text.startsWith(`${dependency} v`));
  const version = line?.split(' ')[1];
  if (version === undefined) throw new Error(`${file} does not require ${dependency}`);
  return version;
}

function moduleFolder(module: string): string {
  return join(import.meta.dirname, module);
}

// Without C, the same program comes out on every machine; a workspace file further up must not change the module.
function buildEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' };
}

function isOlder(found: string, wanted: string): boolean {
  const numbers = (version: string) => version.split(/[^\d]+/).map(Number);
  const [left, right] = [numbers(found), numbers(wanted)];
  for (const [index, number] of right.entries()) {
    const other = left[index] ?? 0;
    if (other !== number) return other < number || Number.isNaN(other);
  }
  return false;
}

// A builder that was killed leaves its unfinished file; one that still runs keeps it.
function removeAbandonedBuilds(destination: string): void {
  const begin = `${basename(destination)}.building-`;
  for (const file of readdirSync(dirname(destination)).filter((name) => name.startsWith(begin))) {
    if (identifyProcess(Number(file.slice(begin.length))) === undefined) {
      rmSync(join(dirname(destination), file), { force: true });
    }
  }
}

function startTicker(progress: ProgressStream, line: () => string): { stop(): void } {
  const rewrites = progress.isTTY === true;
  const eraseLine = '\r\u001b[K';
  const timer = setInterval(
    () => progress.write(rewrites ? `${eraseLine}${line()}` : `${line()}\n`),
    rewrites ? 1000 : LOG_TICK_SECONDS * 1000,
  );
  return {
    stop() {
      clearInterval(timer);
      if (rewrites) progress.write(eraseLine);
    },
  };
}
