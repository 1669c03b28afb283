// `npm run demo`: keyless-pull on a real control plane with a real registry, step by step, and every step checked.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chdir } from 'node:process';
import { parseArgs } from 'node:util';
import { readEnvironment } from '../../src/config.ts';
import { whyNoNode } from '../node-needs.ts';
import { openRun } from '../processes.ts';
import { printWhatToTry } from './keep.ts';
import { createScreen, seconds } from './screen.ts';
import type { Screen } from './screen.ts';
import { lastLinesOf } from './stage.ts';
import type { Stage, Step } from './stage.ts';
import { startKeylessPull } from './start-keyless-pull.ts';
import { startParts } from './start-parts.ts';
import { boundaries } from './steps/boundaries.ts';
import { credential } from './steps/credential.ts';
import { gate } from './steps/gate.ts';
import { nothingLeaked } from './steps/nothing-leaked.ts';
import { optIn } from './steps/opt-in.ts';
import { pull } from './steps/pull.ts';
import { podsRun } from './steps/pods-run.ts';
import { renewal } from './steps/renewal.ts';
import { staticSecret } from './steps/static-secret.ts';

const HELP = `\
Usage: npm run demo [-- --keep] [-- --node]

Starts a Kubernetes control plane, a registry and keyless-pull on this machine, applies a Deployment and a pod with
kubectl, and shows how they get their pull credentials. Takes about half a minute once the parts are built; needs no
container engine and, without --node, no root. Everything is deleted at the end, also after Ctrl-C.

  --node   with containerd and a real kubelet, so that the pods run; takes Linux and root
  --keep   leave it running and say what to try; Ctrl-C ends it
  --help   this text

Exit code 0 if every check passed, 1 if one failed, 2 where no node can run, 64 for wrong use.
`;

const STEPS: readonly Step[] = [
  optIn,
  credential,
  gate,
  podsRun,
  pull,
  renewal,
  staticSecret,
  boundaries,
  nothingLeaked,
];

async function main(words: readonly string[]): Promise<number> {
  const options = readOptions(words);
  if (options === undefined) return 64;
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const whyNot = options.node ? whyNoNode() : undefined;
  if (whyNot !== undefined) {
    process.stderr.write(`${whyNot}\n`);
    return 2;
  }
  const screen = createScreen(process.stdout, process.stdout.isTTY && !readEnvironment().noColor);
  // Whoever read the output has gone away (`| head`): nobody is left to show anything to.
  process.stdout.on('error', () => process.exit(1));
  const started: AsyncDisposable[] = [];
  try {
    const stage = await play(screen, started, options.node);
    if (options.keep && stage) {
      printWhatToTry(stage);
      printCounts(screen);
      await signalled();
    }
  } finally {
    chdir('/');
    // At once: nothing of it is needed any more, and nobody waits for anybody.
    await Promise.all(started.map((each) => each[Symbol.asyncDispose]()));
  }
  if (!options.keep) printCounts(screen);
  return screen.counts().failed > 0 ? 1 : 0;
}

function readOptions(words: readonly string[]): { keep: boolean; node: boolean; help: boolean } | undefined {
  const options = {
    keep: { type: 'boolean', default: false },
    node: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ args: [...words], options }).values;
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message} (--help shows what there is)\n`);
    return undefined;
  }
}

/** All steps, of which each may fail by itself; undefined where the parts did not even start. */
async function play(
  screen: Screen,
  started: AsyncDisposable[],
  withNode: boolean,
): Promise<Stage | undefined> {
  const startedAt = performance.now();
  screen.heading(
    'keyless-pull demo',
    'Pods pull private images as themselves. A line with $ is a command that was run; one with ✓ was verified.',
  );
  const run = await openRun('demo');
  started.push(run);
  // So that commands on the screen name the demo's files as a user would who stands in that folder.
  chdir(run.folder);
  let stage: Stage;
  try {
    stage = await startKeylessPull(await startParts(screen, run, started, withNode));
  } catch (error) {
    screen.fail(error);
    showLogs(screen, [run.folder], ['token-server', 'keyless-pull']);
    screen.say('');
    return undefined;
  }
  for (const step of STEPS.filter(({ needsNode }) => withNode || !needsNode)) {
    await take(step, stage);
    const ended = stage.programs.filter((program) => !program.isRunning());
    if (ended.length === 0) continue;
    for (const { name } of ended)
      screen.expect(`${name} still runs`, false, 'it ended by itself: no more can be shown');
    break;
  }
  screen.heading('The end', `All of this took ${seconds(performance.now() - startedAt)}.`);
  return stage;
}

async function take(step: Step, stage: Stage): Promise<void> {
  const { screen, run, controlPlane, registry, node } = stage;
  const { failed } = screen.counts();
  screen.heading(step.title, step.sentence);
  try {
    await step.run(stage);
  } catch (error) {
    screen.fail(error);
  }
  if (screen.counts().failed === failed) return;
  const folders = [run.folder, controlPlane.folder, registry.folder, ...(node ? [node.folder] : [])];
  showLogs(screen, folders, step.concerns);
}

function showLogs(screen: Screen, folders: readonly string[], names: readonly string[]): void {
  const files = names.flatMap((name) => folders.map((folder) => join(folder, `${name}.log`)));
  for (const file of files.filter((each) => existsSync(each))) {
    screen.say(`the last lines of ${file}`);
    screen.output(lastLinesOf(file));
  }
}

function printCounts(screen: Screen): void {
  const { passed, failed } = screen.counts();
  process.stdout.write(`${passed} checks passed, ${failed} failed\n`);
}

/** Resolves at Ctrl-C or SIGTERM. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    // Listeners for signals alone do not keep a program running.
    const timer = setInterval(() => undefined, 60_000);
    const stop = () => {
      clearInterval(timer);
      for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stop);
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);
  });
}

process.exitCode = await main(process.argv.slice(2));
