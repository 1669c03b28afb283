// What render shows at a terminal is text, whatever the manifests have in their names.
import { expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { createPrinted } from './fake-user-cluster.ts';

const STEERING = '\u001B[31m\u202E\u0007';

test('names that would steer a terminal are shown and not obeyed', async () => {
  const name = `a${STEERING}`;
  const pod = {
    kind: 'Pod',
    metadata: { name, namespace: name, annotations: { note: name } },
    spec: { serviceAccountName: name, containers: [{ name, image: 'zot.team.example/web:1' }] },
  };
  const account = {
    kind: 'ServiceAccount',
    metadata: { name, namespace: name },
    imagePullSecrets: [{ name }],
  };
  const io = createPrinted();
  const readStdin = async () => JSON.stringify({ kind: 'List', items: [pod, account] });

  const words = ['render', '-f', '-', '--config', 'examples/pass-through/config.yaml', '--output', 'table'];
  const told = Object.assign(io, { readStdin });
  expect(await runProgram('keyless-pull', words, told)).toBe(0);

  expect(io.stdout).toContain('zot.team.example');
  expect(io.stdout).toContain('--- as written\n+++ as stored\n');
  expect(io.stdout).toContain('+  imagePullSecrets:');
  for (const sign of ['\u001B', '\u202E', '\u0007']) expect(io.stdout).not.toContain(sign);
});
