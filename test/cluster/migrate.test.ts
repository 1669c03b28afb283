// The plan of migrate --plan, followed with kubectl on the real API server with our webhook and worker: every command is
// taken, nothing breaks on the way, the policy denies at the end, and what is left of the plan is nothing. And what
// check-config --against says of credentials that live.
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, HOST, openArena, type Arena } from './arena.ts';
import type { ClusterPlan } from '../../src/cli/migrate/plan/cluster-plan.ts';
import type { PlanStep } from '../../src/cli/migrate/plan/plan-step.ts';

const SPACE = 'legacy';
let arena: Arena;
let tools = '';

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ran = (
  program: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Told> =>
  promisify(execFile)(program, words, { env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Told) => ({ code, stdout, stderr }),
  );

const ours = (...words: string[]) =>
  ran(process.execPath, ['src/cli/main.ts', ...words, '--kubeconfig', arena.controlPlane.kubeconfig]);

/** As a person copies it into a shell. */
const shell = (command: string) =>
  ran('sh', ['-c', command], {
    ...process.env,
    PATH: `${tools}:${process.env['PATH']}`,
    KUBECONFIG: arena.controlPlane.kubeconfig,
    KUBECACHEDIR: join(tools, 'cache'),
    KUBERC: 'off',
  });

async function plan(): Promise<ClusterPlan & { code: number }> {
  const words = ['migrate', '--plan', '-n', SPACE, '--config', arena.configFile, '--output', 'json'];
  const { code, stdout, stderr } = await ours(...words);
  const planned = JSON.parse(stdout) as ClusterPlan;
  expect(stderr).toMatch(planned.summary.steps > 0 ? /^the commands name no cluster: .+\n$/ : /^$/);
  return { code, ...planned };
}

/** No controller rolls anything out here, and the proofs of our own commands have tests of their own. */
const isForKubectl = (command: string) =>
  command.startsWith('kubectl') && !command.includes('rollout status');

async function follow(commands: readonly string[]): Promise<void> {
  for (const command of commands.filter(isForKubectl))
    expect(await shell(command), command).toMatchObject({ code: 0 });
}

async function read<Thing>(path: string): Promise<Thing> {
  const { status, body } = await arena.controlPlane.admin<Thing>('GET', path);
  expect(status, path).toBe(200);
  return body;
}

beforeAll(async () => {
  arena = await openArena();
  tools = join(arena.controlPlane.folder, 'bin');
  mkdirSync(tools);
  symlinkSync(arena.controlPlane.kubectlPath, join(tools, 'kubectl'));
  const rule = {
    name: 'team',
    hosts: [HOST],
    audience: AUDIENCE,
    exchange: { kind: 'pass-through' },
    prewarm: true,
  };
  const config = { apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule] };
  writeFileSync(arena.configFile, stringify(config));
  const must = async (path: string, body: object) => {
    const answer = await arena.controlPlane.admin('POST', path, body);
    if (answer.status >= 300) throw new Error(JSON.stringify(answer.body));
  };
  const template = (account: string, secrets: readonly string[]) => ({
    metadata: { labels: { app: account } },
    spec: {
      serviceAccountName: account,
      containers: [{ name: 'app', image: `${HOST}/${account}:1` }],
      imagePullSecrets: secrets.map((name) => ({ name })),
    },
  });
  const deployment = (account: string, secrets: readonly string[]) => ({
    metadata: { name: account },
    spec: { selector: { matchLabels: { app: account } }, template: template(account, secrets) },
  });
  await must('/api/v1/namespaces', { metadata: { name: SPACE } });
  const accounts = `/api/v1/namespaces/${SPACE}/serviceaccounts`;
  await must(accounts, { metadata: { name: 'default' } }).catch(() => undefined);
  await must(accounts, { metadata: { name: 'web' } });
  await must(accounts, { metadata: { name: 'api' }, imagePullSecrets: [{ name: 'nexus' }] });
  await must(`/apis/apps/v1/namespaces/${SPACE}/deployments`, deployment('web', ['nexus', 'other']));
  await must(`/apis/apps/v1/namespaces/${SPACE}/deployments`, deployment('api', []));
  await arena.start('webhook', 'webhook');
  const worker = await arena.start('worker', 'worker');
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 60_000 });
});
afterAll(() => arena?.[Symbol.asyncDispose]());

test('a namespace is led from static secrets to enforce by the commands of its plan, and back', async () => {
  const first = await plan();
  expect(first.code).toBe(1);
  expect(first.steps.map(({ step }) => step)).toEqual([
    'audit',
    'warn',
    'prewarm',
    'inject',
    'canary',
    'canary',
    'workloads',
    'accounts',
    'enforce',
  ]);
  const of = (name: PlanStep['step']) => first.steps.filter(({ step }) => step === name);

  for (const step of first.steps.slice(0, 4)) await follow(step.commands);
  // Both accounts are prewarmed: their credentials come without any pod.
  await waitUntil(
    'both credentials have a record',
    async () =>
      (await shell(`kubectl get pullcred -n ${SPACE} -o name`)).stdout.trim().split('\n').length === 2,
    { deadlineMs: 60_000 },
  );
  await follow(of('inject')[0]?.proof.commands ?? []);

  for (const step of of('canary')) {
    await follow(step.commands);
    const [, name = ''] = /"name": "(keyless-pull-canary[^"]*)"/.exec(step.commands[0] ?? '') ?? [];
    const { spec } = await read<{ spec: { imagePullSecrets: { name: string }[] } }>(
      `/api/v1/namespaces/${SPACE}/pods/${name}`,
    );
    expect(spec.imagePullSecrets, 'nothing is inherited').toHaveLength(1);
    expect(spec.imagePullSecrets[0]?.name).toMatch(/^keyless-pull-(web|api)-/);
    await follow(step.back);
  }

  const templates = async () =>
    JSON.stringify([
      await read<{ items: object[] }>(`/apis/apps/v1/namespaces/${SPACE}/deployments`).then(({ items }) =>
        items.map(
          (item) =>
            (item as { spec: { template: { spec: { imagePullSecrets?: object } } } }).spec.template.spec
              .imagePullSecrets ?? [],
        ),
      ),
      await read<{ items: { imagePullSecrets?: object }[] }>(
        `/api/v1/namespaces/${SPACE}/serviceaccounts`,
      ).then(({ items }) => items.map(({ imagePullSecrets = [] }) => imagePullSecrets)),
    ]);
  const before = await templates();
  const removals = [...of('workloads'), ...of('accounts')];
  for (const step of removals) await follow(step.commands);
  expect(await templates()).not.toMatch(/nexus|other/);
  for (const step of removals) await follow(step.back);
  expect(await templates(), 'the way back').toBe(before);
  for (const step of removals) await follow(step.commands.filter((command) => !command.includes('rollout')));

  const [enforce] = of('enforce');
  await follow(enforce?.commands ?? []);
  const denied = enforce?.proof.commands.at(-1) ?? '';
  let told = { code: 0, stdout: '', stderr: '' };
  await waitUntil(
    'the label has reached the webhook configuration',
    async () => {
      told = await shell(denied);
      return told.code !== 0;
    },
    { deadlineMs: 30_000, everyMs: 500 },
  );
  expect(told.stderr).toContain('some-static-secret');
  expect(told.stderr).toContain('static pull secret');
  expect(await plan()).toMatchObject({ code: 0, steps: [], obstacles: [] });
});

test('check-config --against: the config that runs changes nothing, another one says what', async () => {
  const against = async (rule: object) => {
    const base = {
      name: 'team',
      hosts: [HOST],
      audience: AUDIENCE,
      exchange: { kind: 'pass-through' },
      prewarm: true,
    };
    const file = join(arena.controlPlane.folder, 'next.yaml');
    const config = { apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [{ ...base, ...rule }] };
    writeFileSync(file, stringify(config));
    const { code, stdout } = await ours('check-config', '--config', file, '--against', '--output', 'json');
    const { summary } = JSON.parse(stdout) as { summary: Record<string, unknown> };
    return { code, summary };
  };

  expect(await against({})).toMatchObject({ code: 0, summary: { kept: 2, ok: true } });
  expect(await against({ name: 'group' })).toMatchObject({ code: 1, summary: { kept: 0, renamed: 2 } });
  expect(await against({ audience: 'https://next.team.example' })).toMatchObject({
    code: 1,
    summary: { exchanged: 2 },
  });
  expect(await against({ hosts: ['elsewhere.example'] })).toMatchObject({
    code: 1,
    summary: { uncovered: 2 },
  });
});
