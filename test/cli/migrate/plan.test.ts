// keyless-pull migrate --plan: the order in which nothing breaks, commands to copy, proof and way back, and nothing changed.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import jsonpatch from 'fast-json-patch';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { migratePlan, type MigratePlanOptions } from '../../../src/cli/migrate-plan.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import { createPlanStage } from './cluster-stage.ts';
import { account, CONFIG, createFolder, ECR, HOST, NAMESPACE, pod } from './folder.ts';
import type { ClusterPlan } from '../../../src/cli/migrate/plan/cluster-plan.ts';

const ROLE = 'arn:aws:iam::111122223333:role/pull';
const PROVISIONED = {
  'imagepullsecrets.preferred.jp/registry': ECR,
  'imagepullsecrets.preferred.jp/audience': 'sts.amazonaws.com',
  'imagepullsecrets.preferred.jp/aws-role-arn': ROLE,
};

function deployment(name: string, image: string, secrets: readonly string[], labels: object = {}): string {
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'shop', labels },
    spec: {
      replicas: 3,
      template: {
        spec: {
          serviceAccountName: 'web',
          containers: [{ name: 'app', image }],
          ...(secrets.length > 0 && { imagePullSecrets: secrets.map((secret) => ({ name: secret })) }),
        },
      },
    },
  });
}

async function plan(
  texts: readonly string[],
  more: Partial<MigratePlanOptions> & { text?: string; forbidden?: string[] } = {},
) {
  const { text = CONFIG, forbidden = [], ...options } = more;
  using folder = createFolder({}, text);
  const stage = createPlanStage(...texts);
  for (const plural of forbidden) stage.forbidden.add(plural);
  const io = createPrinted();
  const { cluster } = stage;
  const given = {
    config: join(folder.path, '../config.yaml'),
    set: [],
    public: [],
    ownNamespace: 'keyless-pull',
    color: false,
    output: 'json' as const,
    ...options,
  };
  const code = await migratePlan(given, io, { cluster, clock: cluster.clock });
  const result = given.output === 'json' ? (JSON.parse(io.stdout) as ClusterPlan) : undefined;
  return { code, stage, stdout: io.stdout, stderr: io.stderr, result: result ?? emptyPlan };
}

const emptyPlan: ClusterPlan = {
  steps: [],
  obstacles: [],
  notSeen: [],
  summary: { namespaces: 0, steps: 0, references: 0, obstacles: 0 },
};
const names = ({ steps }: ClusterPlan) => steps.map(({ step }) => step);
const commands = ({ steps }: ClusterPlan) => steps.flatMap((step) => step.commands).join('\n');

describe('from static secrets', () => {
  const texts = [
    NAMESPACE,
    account('web', { secrets: ['team-login'] }),
    deployment('web', `${HOST}/web:1`, ['nexus', 'team-login']),
    deployment('inheritor', `${HOST}/other:1`, []),
  ];

  test('a namespace goes from audit to enforce, and every step has commands, a proof and a way back', async () => {
    const { code, result } = await plan(texts);

    expect(code).toBe(1);
    expect(names(result)).toEqual(['audit', 'warn', 'inject', 'canary', 'workloads', 'accounts', 'enforce']);
    for (const step of result.steps) {
      expect(step.namespace).toBe('shop');
      expect(step.commands.length).toBeGreaterThan(0);
      expect(step.proof.commands.length).toBeGreaterThan(0);
      expect(step.back.length).toBeGreaterThan(0);
    }
    expect(result.summary).toEqual({ namespaces: 1, steps: 7, references: 3, obstacles: 0 });
  });

  test('the canary names the managed Secret alone, so that nothing is copied from its account, and asks the registry', async () => {
    const { result } = await plan(texts);

    const [canary] = result.steps.filter(({ step }) => step === 'canary');
    const [, manifest = ''] = /<<'EOF'\n([\s\S]*)\nEOF$/.exec(canary?.commands[0] ?? '') ?? [];
    const { spec } = JSON.parse(manifest) as { spec: Record<string, unknown> };
    expect(spec).toMatchObject({
      serviceAccountName: 'web',
      imagePullSecrets: [{ name: expect.stringMatching(/^keyless-pull-web-/) }],
      containers: [{ image: `${HOST}/web:1`, imagePullPolicy: 'Always' }],
    });
    expect(canary?.proof.commands.join('\n')).toContain('reason=Pulled');
  });

  test('patches apply to what stands there, to nothing else, and back again', async () => {
    const { result } = await plan(texts);

    const patches = (words: readonly string[]) =>
      words.flatMap((command) => {
        const [, kind = '', text = ''] = /patch (\w+) .* -p '(.*)'$/.exec(command) ?? [];
        return text === '' ? [] : [{ kind, operations: JSON.parse(text) as jsonpatch.Operation[] }];
      });
    const steps = result.steps.filter(({ step }) => step === 'workloads' || step === 'accounts');
    for (const step of steps) {
      const [forward] = patches(step.commands);
      const [back] = patches(step.back);
      const before = parse(texts[step.step === 'workloads' ? 2 : 1] ?? '') as object;
      const after = jsonpatch.applyPatch(before, forward?.operations ?? [], true, false).newDocument;
      expect(JSON.stringify(after)).not.toMatch(/nexus|team-login/);
      expect(jsonpatch.applyPatch(after, back?.operations ?? [], true, false).newDocument).toEqual(before);
      const other = JSON.parse(JSON.stringify(before).replace('team-login', 'changed')) as object;
      expect(() => jsonpatch.applyPatch(other, forward?.operations ?? [], true, false)).toThrow();
    }
  });

  test('workloads that inherit are restarted, once the account has lost its entry', async () => {
    const { result } = await plan(texts);

    const [step] = result.steps.filter(({ step: name }) => name === 'accounts');
    expect(step?.commands.map((command) => command.split(' ').slice(3, 6).join(' '))).toEqual([
      'patch serviceaccount web',
      'rollout restart deployment/web',
      'rollout restart deployment/inheritor',
      'rollout status deployment/web',
      'rollout status deployment/inheritor',
    ]);
  });

  test('the commands are commands of a POSIX shell', async () => {
    const { result } = await plan(texts);

    for (const step of result.steps)
      for (const command of [...step.commands, ...step.proof.commands, ...step.back])
        execFileSync('sh', ['-n', '-c', command]);
  });

  test('what is done already is no step any more, down to nothing', async () => {
    const labelled = (labels: string) => NAMESPACE.replace('name: shop', `name: shop\n  labels: ${labels}`);
    const on = (mode: string) =>
      labelled(`{ keyless-pull.dev/inject: enabled, keyless-pull.dev/static-pull-secrets: ${mode} }`);
    const clean = [account('web'), deployment('web', `${HOST}/web:1`, [])];

    expect(names((await plan([on('warn'), ...texts.slice(1)])).result)).toEqual([
      'canary',
      'workloads',
      'accounts',
      'enforce',
    ]);
    expect(names((await plan([on('warn'), ...clean])).result)).toEqual(['enforce']);
    expect(await plan([on('enforce'), ...clean])).toMatchObject({ code: 0, result: { steps: [] } });
    expect((await plan([on('enforce'), ...clean], { output: 'table' })).stdout).toBe(
      'nothing to do: no static pull secret is left\n',
    );
  });

  test('what no rule covers stays, with the reason, and keeps its namespace from enforce', async () => {
    const { code, result } = await plan([
      NAMESPACE,
      account('web'),
      deployment('web', 'ghcr.io/a/b:1', ['nexus']),
    ]);

    expect(code).toBe(1);
    expect(names(result)).toEqual(['audit', 'warn', 'inject']);
    expect(result.obstacles).toEqual([
      {
        namespace: 'shop',
        kind: 'Deployment',
        name: 'web',
        secret: 'nexus',
        reason: 'no rule covers ghcr.io',
      },
    ]);
  });

  test('a principal that nobody has said is asked for, and doctor is the proof', async () => {
    const ecr = [NAMESPACE, account('web'), deployment('web', `${ECR}/web:1`, ['nexus'])];

    const unsaid = await plan(ecr);
    const said = await plan(ecr, { set: [`shop/web:role-arn=${ROLE}`] });

    expect(names(unsaid.result)).toEqual(['audit', 'warn', 'prewarm', 'inject']);
    expect(commands(unsaid.result)).toContain(
      "annotate serviceaccount web 'keyless-pull.dev/role-arn=<role-arn>'",
    );
    expect(unsaid.result.obstacles).toHaveLength(1);
    expect(names(said.result)).toContain('enforce');
    expect(said.result.steps.flatMap(({ proof }) => proof.commands).join('\n')).toContain(
      `--rule ecr --account shop/web --host ${ECR}`,
    );
  });

  test('rules that prewarm have their accounts ask, and are waited for', async () => {
    const text = CONFIG.replace(
      'exchange: { kind: pass-through }',
      'exchange: { kind: pass-through }\n    prewarm: true',
    );

    const { result } = await plan(texts, { text });

    expect(names(result).slice(0, 4)).toEqual(['audit', 'warn', 'prewarm', 'inject']);
    expect(commands(result)).toContain('annotate serviceaccount web keyless-pull.dev/prewarm=true');
    expect(result.steps[3]?.proof.commands[0]).toContain('wait --for=condition=Ready pullcred --all');
  });

  test('what Helm, Flux or Argo CD would write back is to be changed at its source', async () => {
    const managed = deployment('web', `${HOST}/web:1`, ['nexus'], { 'app.kubernetes.io/managed-by': 'Helm' });

    const { result } = await plan([NAMESPACE, account('web'), managed]);

    const [step] = result.steps.filter(({ step: name }) => name === 'workloads');
    expect(step?.does).toContain(
      'Change the source of these instead, with keyless-pull migrate -f, or it is written back: Deployment web (Helm)',
    );
  });

  test('bare pods and Jobs cannot be changed: they are made anew', async () => {
    const { result } = await plan([NAMESPACE, account('web'), pod('once', [`${HOST}/once:1`], ['nexus'])]);

    const [step] = result.steps.filter(({ step: name }) => name === 'workloads');
    expect(step?.commands).toEqual([]);
    expect(step?.does).toContain('Made anew by hand, without them: Pod once.');
  });

  test("what a bare pod has inherited is its account's to give up", async () => {
    const { result } = await plan([
      NAMESPACE,
      account('web', { secrets: ['nexus'] }),
      pod('once', [`${HOST}/once:1`], ['nexus']),
    ]);

    expect(names(result)).toEqual(['audit', 'warn', 'inject', 'canary', 'accounts', 'enforce']);
  });
});

describe('from the image-pull-secrets-provisioner', () => {
  const text = CONFIG.replace(
    'accept: [eks.amazonaws.com/ecr-role-arn]',
    'accept: ["imagepullsecrets.preferred.jp/*"]',
  ).replace(
    'audience: pull.team.example',
    'audience: pull.team.example\n    acceptAudiences: [sts.amazonaws.com]',
  );
  const controller = JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'controller-manager',
      namespace: 'shop',
      labels: { 'app.kubernetes.io/part-of': 'image-pull-secrets-provisioner' },
    },
    spec: { replicas: 2, template: { spec: { containers: [{ name: 'manager', image: 'manager:1' }] } } },
  });
  const texts = [
    NAMESPACE,
    account('web', { secrets: ['imagepullsecret-web', 'imagepullsecret-web-1'], annotations: PROVISIONED }),
    deployment('web', `${ECR}/web:1`, []),
  ];

  test('its entries go last, behind the stop of its controller, its Secrets behind them, and enforce behind all', async () => {
    const { result } = await plan([...texts, controller], { text });

    expect(names(result)).toEqual([
      'audit',
      'warn',
      'inject',
      'canary',
      'stop-provisioner',
      'accounts',
      'enforce',
    ]);
    const [stop, accounts] = result.steps.slice(4);
    expect(stop).toMatchObject({
      namespace: '',
      commands: ['kubectl -n shop scale deployment/controller-manager --replicas=0'],
      back: ['kubectl -n shop scale deployment/controller-manager --replicas=2'],
    });
    expect(accounts?.commands.map((command) => command.split(' ').slice(3, 5).join(' '))).toEqual([
      'patch serviceaccount',
      'rollout restart',
      'rollout status',
      'delete secret',
    ]);
    expect(accounts?.commands.at(-1)).toContain('-l imagepullsecrets.preferred.jp/service-account=web');
  });

  test('a controller that was not seen is named as its own installation does', async () => {
    const { result } = await plan(texts, { text });

    expect(commands(result)).toContain(
      'kubectl -n image-pull-secrets-provisioner-system scale deployment/controller-manager --replicas=0',
    );
  });

  test('as long as one of its accounts is not covered, it is not stopped', async () => {
    const { result } = await plan(texts);

    expect(names(result)).not.toContain('stop-provisioner');
    expect(names(result)).not.toContain('enforce');
    expect(result.obstacles).toMatchObject([
      { secret: 'imagepullsecret-web' },
      { secret: 'imagepullsecret-web-1' },
    ]);
  });

  test('names that we have taken over stay in the account; the Secrets behind them are deleted all the same', async () => {
    const taken = text.replace(
      'exchange: { kind: ecr }',
      'exchange: { kind: ecr }\n    secretName: annotation',
    );

    const { result } = await plan(
      [
        NAMESPACE,
        account('web', { secrets: ['imagepullsecret-web'], annotations: PROVISIONED }),
        deployment('web', `${ECR}/web:1`, ['nexus']),
      ],
      { text: taken },
    );

    expect(names(result)).toContain('stop-provisioner');
    expect(commands(result)).not.toContain('patch serviceaccount');
    expect(commands(result)).toContain('delete secret -l imagepullsecrets.preferred.jp/service-account=web');
  });
});

describe('looking', () => {
  test('reads page by page, no Secret, and only the namespace that is meant', async () => {
    const { stage } = await plan([NAMESPACE, account('a'), account('b'), account('c')]);

    const accounts = stage.lists.filter((path) => path.includes('serviceaccounts'));
    expect(accounts).toHaveLength(3);
    expect(stage.lists.every((path) => path.includes('/namespaces/shop/'))).toBe(true);
    expect(stage.lists.join('\n')).not.toContain('secrets');
  });

  test('a namespace that is not there is said, and no plan', async () => {
    await expect(plan([account('web')])).rejects.toMatchObject({
      code: 'cluster-missing',
      message: 'there is no namespace "shop"',
    });
  });

  test('kinds that may not be listed are said, accounts that may not are the end', async () => {
    const { result } = await plan([NAMESPACE], { forbidden: ['cronjobs', 'jobs'] });

    expect(result.notSeen).toEqual(['cronjobs', 'jobs']);
    await expect(plan([NAMESPACE], { forbidden: ['serviceaccounts'] })).rejects.toThrow('403');
  });

  test('our own namespace and those of Kubernetes have no steps', async () => {
    const move = (to: string) =>
      pod('x', [`${HOST}/x:1`], ['nexus']).replace('namespace: shop', `namespace: ${to}`);

    const { code } = await plan([move('keyless-pull'), move('kube-system')], { allNamespaces: true });

    expect(code).toBe(0);
  });

  test('a plan for another cluster than the current one says so, for its commands do not', async () => {
    const texts = [NAMESPACE, account('web'), deployment('web', `${HOST}/web:1`, ['nexus'])];

    expect((await plan(texts)).stderr).toBe('');
    expect((await plan(texts, { context: 'production', kubeconfig: 'all.yaml' })).stderr).toBe(
      'the commands name no cluster: run them where kubectl goes to that of --kubeconfig all.yaml --context production by itself\n',
    );
  });

  test('as Markdown to tick off, and as text', async () => {
    const texts = [NAMESPACE, account('web'), deployment('web', `${HOST}/web:1`, ['nexus'])];

    const markdown = await plan(texts, { output: 'markdown' });
    const table = await plan(texts, { output: 'table' });

    expect(markdown.stdout).toContain('## 5. shop: workloads\n');
    expect(markdown.stdout.match(/^- \[ \] /gm)).toHaveLength(6);
    expect(markdown.stdout.match(/^```/gm)?.length).toBe(
      2 * (markdown.stdout.match(/^```sh$/gm)?.length ?? 0),
    );
    expect(table.stdout).toContain('6. shop: enforce\n');
    for (const { stdout } of [markdown, table])
      expect(stdout).toContain('so a pod that runs proves nothing while it has one');
  });

  test.each([[['--plan', '-f', 'x']], [[]], [['--plan', '--write']], [['-f', '-', '--output', 'markdown']]])(
    '%j is wrong use: 64',
    async (words) => {
      using folder = createFolder();
      const config = join(folder.path, '../config.yaml');
      writeFileSync(config, CONFIG);

      expect(
        await runProgram('keyless-pull', ['migrate', '--config', config, ...words], createPrinted()),
      ).toBe(64);
    },
  );
});
