// Builds one program with Go from a pinned module of this folder, and says how long it takes while it takes it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
  /** Go's build tags. */
  readonly tags?: string;
  /** How long it takes without Go's own cache, in words: "about 4 minutes". */
  readonly firstTime: string;
}

// Often enough to show life in a log, seldom enough not to fill it.
const LOG_TICK_SECONDS = 30;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const WORK_FOLDER_PREFIX = 'building-';

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
  const folder = dirname(destination);
  mkdirSync(folder, { recursive: true });
  removeAbandonedBuilds(folder);
  const workFolder = join(folder, `${WORK_FOLDER_PREFIX}${process.pid}`);
  mkdirSync(workFolder);
  const title = `building ${plan.name} ${plan.version}`;
  progress.write(`${title} (${plan.firstTime} the first time) …\n`);
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  let packages = 0;
  let output = '';
  const ticker = startTicker(progress, () => {
    // Go says nothing while it links.
    const last = output.trimEnd().split('\n').at(-1)?.slice(0, 60);
    return `  ${title}: ${seconds()} s${last ? `, ${packages} packages compiled, last news: ${last}` : ''}`;
  });
  try {
    const failure = await runGoBuild(plan, workFolder, (text) => {
      packages += text.split('\n').filter((line) => /^[\w.-]+(\/\S+)?$/.test(line)).length;
      output = (output + text).slice(-4000);
    });
    if (failure)
      throw new Error(`${title} failed after ${seconds()} s (go ended with ${failure}):\n${output}`);
    renameSync(join(workFolder, plan.name), destination);
  } finally {
    ticker.stop();
    rmSync(workFolder, { recursive: true, force: true });
  }
  const megabytes = Math.round(statSync(destination).size / 1e6);
  progress.write(`built ${plan.name} ${plan.version} in ${seconds()} s, ${megabytes} MB\n`);
}

/** Resolves with 0, or with what Go ended with. A signal to this process first ends Go, so that nothing is left. */
async function runGoBuild(
  plan: BuildPlan,
  workFolder: string,
  hear: (text: string) => void,
): Promise<number | NodeJS.Signals> {
  const [command, flags] = endingWithParent(findOnPath('go') ?? 'go', [
    ...['build', '-v', '-mod=readonly', '-trimpath', '-ldflags', plan.linkerFlags],
    ...['-tags', plan.tags ?? ''],
    ...['-o', join(workFolder, plan.name), plan.goPackage],
  ]);
  const child = spawn(command, flags, {
    cwd: moduleFolder(plan.module),
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...buildEnvironment(), GOTMPDIR: workFolder },
  });
  child.stderr.setEncoding('utf8').on('data', hear);
  let received: NodeJS.Signals | undefined;
  const passOn = (signal: NodeJS.Signals) => {
    received = signal;
    child.kill('SIGINT');
  };
  for (const signal of SIGNALS) process.on(signal, passOn);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal ?? 1));
    });
  } finally {
    for (const signal of SIGNALS) process.off(signal, passOn);
    if (received) {
      rmSync(workFolder, { recursive: true, force: true });
      process.kill(process.pid, received);
    }
  }
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

// A builder that was killed leaves its unfinished work; one that still runs keeps it.
function removeAbandonedBuilds(folder: string): void {
  for (const name of readdirSync(folder).filter((name) => name.startsWith(WORK_FOLDER_PREFIX))) {
    if (identifyProcess(Number(name.slice(WORK_FOLDER_PREFIX.length))) === undefined) {
      rmSync(join(folder, name), { recursive: true, force: true });
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
