// status, explain, release and their kin as words on a command line: help, wrong use, a cluster that cannot be had; and what
// docs/operations.md says of their flags.
import { readFileSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { createPrinted } from './fake-user-cluster.ts';

async function run(...words: string[]) {
  const io = createPrinted();
  const code = await runProgram('keyless-pull', words, io);
  return { code, stdout: io.stdout, stderr: io.stderr };
}

test.each(['status', 'explain', 'release'])(
  '%s has help with examples, exit codes and the flags of kubectl',
  async (command) => {
    const { code, stdout } = await run(command, '--help');

    expect(code).toBe(0);
    for (const flag of ['--kubeconfig', '--context', '--namespace', '--as', '--output', '--no-color'])
      expect(stdout).toContain(flag);
    expect(stdout).toContain(`\nExamples:\n  keyless-pull ${command} `);
    expect(stdout).toContain('Exit code ');
  },
);

/** kube-apiserver's, Node's and kubectl's. */
const OF_OTHERS = [
  '--service-account-key-file',
  '--service-account-signing-key-file',
  '--max-semi-space-size',
  '--server-side',
  '--type',
];

test('docs/operations.md names only flags that exist', async () => {
  const helps = await Promise.all(
    ['status', 'explain', 'release', 'uninstall', 'support-bundle', 'check-config', 'doctor', 'serve'].map(
      (command) => run(command, '--help'),
    ),
  );
  const known = helps.map(({ stdout }) => stdout).join('');
  const flags = readFileSync('docs/operations.md', 'utf8').match(/--[a-z]+(?:-[a-z]+)*/g) ?? [];

  expect(flags.length).toBeGreaterThan(10);
  for (const flag of flags.filter((name) => !OF_OTHERS.includes(name))) expect(known).toContain(flag);
});

test.each([
  [['release']],
  [['release', '--all']],
  [['explain']],
  [['explain', 'node', 'a']],
  [['status', '--output', 'xml']],
  [['status', '--nonsense']],
])('%j is wrong use: 64', async (words) => {
  const { code, stdout, stderr } = await run(...words);

  expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  expect(stderr).not.toBe('');
});

test.each([[['status']], [['explain', 'pod', 'a']], [['release', 'pod', 'a']]])(
  '%j without a kubeconfig that can be read: 2',
  async (words) => {
    const { code, stderr } = await run(...words, '--kubeconfig', '/nowhere/at/all');

    expect(code).toBe(2);
    expect(stderr).toContain('cannot read /nowhere/at/all');
  },
);

const RULE = 'examples/pass-through/config.yaml';
afterEach(() => void vi.unstubAllEnvs());

test.each([
  [['status']],
  [['audit', '-A']],
  [['doctor', '--config', RULE, '--rule', 'zot', '--account', 'shop/web']],
  [['serve', '--role', 'worker', '--config', RULE]],
])('%j says which file of KUBECONFIG is not there: 2', async (words) => {
  vi.stubEnv('KUBECONFIG', '/nowhere/at/all');
  const { code, stdout, stderr } = await run(...words);

  expect(code).toBe(2);
  expect(stdout + stderr).toContain(
    'cannot read the kubeconfig that KUBECONFIG names: there is no such file: /nowhere/at/all',
  );
});

test.each([
  ['uninstall', ['uninstall'], '--dry-run shows what would be done'],
  ['doctor of one pull without its flags', ['doctor', '--rule', 'team'], 'doctor system'],
])('%s is wrong use, and says what is right', async (_, words, told) => {
  const { code, stdout, stderr } = await run(...words);

  expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  expect(stderr).toContain(told);
});

test('doctor knows no other words than its own', async () => {
  expect((await run('doctor', 'systems')).code).toBe(64);
});
