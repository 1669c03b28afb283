// Not a test: a program that starts something, says what on standard output, and then ends in the way it was asked to.
// `node run-holder.ts process|control-plane|node wait|throw|return`
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startControlPlane } from '../../tools/control-plane.ts';
import { SANDBOX_IMAGE } from '../../tools/node-files.ts';
import { startNode } from '../../tools/node.ts';
import { openRun, waitUntil } from '../../tools/processes.ts';
import type { RunRecord } from '../../tools/run-folder.ts';

const [what, ending] = process.argv.slice(2);
const folder = await hold();
// The record is printed and not only named, because it may be gone before anybody can read it.
const { children } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as RunRecord;
process.stdout.write(`${JSON.stringify({ folder, children })}\n`);
if (ending === 'throw') throw new Error('as asked');
if (ending === 'wait') await sleep(600_000);

async function hold(): Promise<string> {
  if (what === 'control-plane') return (await startControlPlane()).folder;
  return what === 'node' ? holdPod() : holdProcess();
}

/** A node with a pod that runs on it. */
async function holdPod(): Promise<string> {
  const controlPlane = await startControlPlane();
  const { folder, name } = await startNode(controlPlane);
  const container = { name: 'app', image: SANDBOX_IMAGE };
  const spec = { nodeName: name, hostNetwork: true, containers: [container] };
  await controlPlane.admin('POST', '/api/v1/namespaces/default/pods', { metadata: { name: 'held' }, spec });
  interface Pod {
    readonly status: { readonly phase: string };
  }
  const isRunning = async () =>
    (await controlPlane.admin<Pod>('GET', '/api/v1/namespaces/default/pods/held')).body.status.phase ===
    'Running';
  await waitUntil('the pod runs', isRunning, { deadlineMs: 60_000 });
  return folder;
}

async function holdProcess(): Promise<string> {
  const run = await openRun('held');
  run.start('waiting', process.execPath, ['-e', 'setInterval(() => undefined, 1000)']);
  return run.folder;
}
