// `npm run bench:plugin`: what one run of the kubelet's plugin costs when there is nothing to exchange, beside a Node that
// runs an empty file. The kubelet starts one process for each image and token, so that is all there is to wait for.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPlugin } from '../../tools/build-plugin.ts';
import { median, medianRatio } from '../statistics.ts';

const ROUNDS = 30;
const MOST = 1.5;

const folder = mkdtempSync(join(tmpdir(), 'bench-plugin-'));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const config = file(
  'config.yaml',
  `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry
    hosts: [registry.team.example:5000]
    audience: https://registry.team.example
    exchange: { kind: pass-through }
    delivery: [kubelet]
  - name: ecr
    hosts: ['*.dkr.ecr.*.amazonaws.com']
    registries: ['111122223333']
    audience: keyless-pull.team.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
    delivery: [kubelet]
`,
);
const request = file(
  'request.json',
  JSON.stringify({
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderRequest',
    image: 'other.example/app',
  }),
);

try {
  process.exitCode = await bench();
} finally {
  rmSync(folder, { recursive: true });
}

async function bench(): Promise<number> {
  const executable = await buildPlugin(join(folder, 'plugin'));
  const script = join(import.meta.dirname, '../../src/plugin/main.ts');
  const runs: Readonly<Record<string, readonly string[]>> = {
    'node empty.js': [process.execPath, file('empty.js', '')],
    executable: [executable, '--config', config],
    script: [process.execPath, script, '--config', config],
  };
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
  for (const words of Object.values(runs)) timeOf(words); // the files are in memory from here on
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, words] of Object.entries(runs)) times[name]?.push(timeOf(words));

  console.log(`One run without an exchange, median of ${ROUNDS} rounds, each with one run of each\n`);
  for (const [name, all] of Object.entries(times))
    console.log(`${name.padEnd(16)}${median(all).toFixed(1)} ms`);
  const empty = times['node empty.js'] ?? [];
  const ratio = medianRatio(times['executable'] ?? [], empty);
  console.log(`\nratio plugin-without-exchange ${ratio.toFixed(2)}`);
  console.log(
    `ratio plugin-script-without-exchange ${medianRatio(times['script'] ?? [], empty).toFixed(2)}\n`,
  );
  const passed = ratio <= MOST;
  console.log(
    `${passed ? 'passed' : 'FAILED'}  the executable takes ${MOST} times as long as an empty file, at most\n`,
  );
  console.log(passed ? '1 checks passed, 0 failed' : '0 checks passed, 1 failed');
  return passed ? 0 : 1;
}

/** Milliseconds from the start of a process to its end. */
function timeOf([program = '', ...words]: readonly string[]): number {
  const stdin = openSync(request, 'r');
  const from = performance.now();
  const { status, stderr } = spawnSync(program, words, { stdio: [stdin, 'ignore', 'pipe'] });
  const took = performance.now() - from;
  closeSync(stdin);
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.toString()}`);
  return took;
}
