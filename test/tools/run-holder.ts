// Not a test: a program that starts something, says what on standard output, and then ends in the way it was asked to.
// `node run-holder.ts process|control-plane wait|throw|return`
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startControlPlane } from '../../tools/control-plane.ts';
import { openRun } from '../../tools/processes.ts';
import type { RunRecord } from '../../tools/run-folder.ts';

const [what, ending] = process.argv.slice(2);
const folder = what === 'control-plane' ? (await startControlPlane()).folder : await holdProcess();
// The record is printed and not only named, because it may be gone before anybody can read it.
const { children } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as RunRecord;
process.stdout.write(`${JSON.stringify({ folder, children })}\n`);
if (ending === 'throw') throw new Error('as asked');
if (ending === 'wait') await sleep(600_000);

async function holdProcess(): Promise<string> {
  const run = await openRun('held');
  run.start('waiting', process.execPath, ['-e', 'setInterval(() => undefined, 1000)']);
  return run.folder;
}
