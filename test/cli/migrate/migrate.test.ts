// keyless-pull migrate over files: what goes, what stays and why, and that nothing else is touched.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import { account, CONFIG, createFolder, ECR, HOST, NAMESPACE, pod, secret } from './folder.ts';

const ROLE = 'arn:aws:iam::111122223333:role/pull';

describe('a reference goes where rules cover every registry of it', () => {
  const covered = pod('web', [`${HOST}/web:1`], ['nexus']);

  test.each<[string, Record<string, string>, string[]]>([
    ['a pod whose images are covered', { 'a.yaml': covered }, []],
    [
      'a second registry that is said to be public',
      { 'a.yaml': pod('web', [`${HOST}/web:1`, 'nginx:1'], ['nexus']) },
      ['--public', 'docker.io'],
    ],
    [
      'an account annotated in a vocabulary that the rule accepts',
      {
        'a.yaml': pod('web', [`${ECR}/web:1`], ['nexus']),
        'b.yaml': account('web', { annotations: { 'eks.amazonaws.com/ecr-role-arn': ROLE } }),
      },
      [],
    ],
    [
      'a principal that --set says',
      { 'a.yaml': pod('web', [`${ECR}/web:1`], ['nexus']), 'b.yaml': account('web') },
      ['--set', `shop/web:role-arn=${ROLE}`],
    ],
    [
      'a Secret that opens covered registries alone, though another image has no rule',
      {
        'a.yaml': pod('web', [`${HOST}/web:1`, 'nginx:1'], ['nexus']),
        'b.yaml': secret('nexus', `https://${HOST}/v2/`),
      },
      [],
    ],
    [
      'a rule whose subjects are met by the labels of the namespace',
      {
        'a.yaml': pod('web', ['prod.team.example/web:1'], ['nexus']),
        'b.yaml': NAMESPACE.replace('name: shop', 'name: shop\n  labels: { tier: prod }'),
      },
      [],
    ],
  ])('%s', async (_title, files, words) => {
    using folder = createFolder(files);

    expect((await folder.result(...words)).kept).toEqual([]);
    expect((await folder.migrate('--write', ...words)).code).toBe(0);
    expect(parse(folder.read('a.yaml')).spec).not.toHaveProperty('imagePullSecrets');
  });

  test.each<[string, Record<string, string>, string]>([
    ['no rule', { 'a.yaml': pod('web', ['ghcr.io/a/b:1'], ['nexus']) }, 'no rule covers ghcr.io'],
    [
      'a second registry without a rule',
      { 'a.yaml': pod('web', [`${HOST}/web:1`, 'nginx:1'], ['nexus']) },
      'no rule covers docker.io',
    ],
    [
      'a principal that nobody has said',
      { 'a.yaml': pod('web', [`${ECR}/web:1`], ['nexus']), 'b.yaml': account('web') },
      'has no annotation keyless-pull.dev/role-arn',
    ],
    [
      'a Secret that also opens a registry without a rule',
      { 'a.yaml': covered, 'b.yaml': secret('nexus', HOST, 'ghcr.io') },
      'no rule covers ghcr.io',
    ],
    [
      'a rule that is not for this namespace',
      { 'a.yaml': pod('web', ['prod.team.example/web:1'], ['nexus']), 'b.yaml': NAMESPACE },
      'no rule covers prod.team.example',
    ],
    [
      'a pod that opts out',
      {
        'a.yaml': covered.replace(
          '  name: web\n',
          '  name: web\n  labels: { keyless-pull.dev/inject: disabled }\n',
        ),
      },
      'opts this pod out',
    ],
    ['an image that cannot be read', { 'a.yaml': pod('web', ['NOT AN IMAGE'], ['nexus']) }, 'image'],
    [
      'a namespace that is draining',
      {
        'a.yaml': covered,
        'b.yaml': NAMESPACE.replace(
          'name: shop',
          'name: shop\n  labels: { keyless-pull.dev/inject: draining }',
        ),
      },
      'is draining',
    ],
    [
      'mountable secrets',
      {
        'a.yaml': covered,
        'b.yaml': account('web', { annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } }),
      },
      'enforces mountable secrets',
    ],
    [
      "Kubernetes' own namespaces",
      { 'a.yaml': covered.replace('namespace: shop', 'namespace: kube-system') },
      'is never touched',
    ],
    [
      'more registries than a pod may need',
      { 'a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']), 'b.yaml': '' },
      '',
    ],
  ])('it stays: %s', async (title, files, reason) => {
    const config = title.startsWith('more') ? `${CONFIG}worker: { needsPerPod: 1 }\n` : CONFIG;
    const more = title.startsWith('more')
      ? {
          'a.yaml': pod('web', [`${HOST}/web:1`, `${ECR}/x:1`], ['nexus']),
          'b.yaml': account('web', { annotations: { 'eks.amazonaws.com/ecr-role-arn': ROLE } }),
        }
      : files;
    using folder = createFolder(more, config);

    const { kept } = await folder.result();
    expect(kept).toMatchObject([{ secret: 'nexus', file: join(folder.path, 'a.yaml'), line: 1 }]);
    expect(kept[0]?.reason).toContain(reason || 'needs more than 1 credentials');
    await folder.migrate('--write');
    expect(folder.read('a.yaml')).toBe(more['a.yaml']);
  });
});

describe("an account's references", () => {
  const web = (image: string) => pod('web', [image], []).replace('  imagePullSecrets:\n', '');

  test('go where every pod of the account is covered', async () => {
    using folder = createFolder({
      'a.yaml': account('web', { secrets: ['nexus'] }),
      'b.yaml': web(`${HOST}/web:1`),
    });

    await folder.migrate('--write');

    expect(folder.read('a.yaml')).not.toContain('nexus');
  });

  test.each([
    [
      'one pod of it is not covered',
      web(`${HOST}/web:1`) + '---\n' + web('ghcr.io/a/b:1'),
      'no rule covers ghcr.io',
    ],
    ['no pod of it is known', NAMESPACE, 'no pod of this account is known here'],
  ])('stay where %s', async (_title, pods, reason) => {
    using folder = createFolder({ 'a.yaml': account('web', { secrets: ['nexus'] }), 'b.yaml': pods });

    const { kept } = await folder.result();

    expect(kept).toMatchObject([{ kind: 'ServiceAccount', secret: 'nexus' }]);
    expect(kept[0]?.reason).toContain(reason);
  });

  test('go without any pod where the Secret is known and covered', async () => {
    using folder = createFolder({
      'a.yaml': account('web', { secrets: ['nexus'] }),
      'b.yaml': secret('nexus', HOST),
    });

    const { kept, advice } = await folder.result();

    expect(kept).toEqual([]);
    expect(advice.map(({ text }) => text)).toContainEqual(
      expect.stringContaining('Secret shop/nexus is named by none of these manifests any more'),
    );
  });
});

describe('labels of namespaces', () => {
  const files = (labels: string, image = `${HOST}/web:1`) => ({
    'a.yaml': pod('web', [image], ['nexus']),
    'b.yaml': `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: ${labels}\n`,
  });

  test.each([
    ['{}', 'warn', 'enabled', 'warn'],
    ['{}', 'enforce', 'enabled', 'enforce'],
    ['{ keyless-pull.dev/static-pull-secrets: audit }', 'warn', 'enabled', 'warn'],
    ['{ keyless-pull.dev/static-pull-secrets: enforce }', 'warn', 'enabled', 'enforce'],
    ['{ keyless-pull.dev/static-pull-secrets: wran }', 'warn', 'enabled', 'warn'],
    ['{ keyless-pull.dev/inject: yes-please }', 'audit', 'enabled', 'audit'],
  ])('%s and --mode %s become %s and %s', async (labels, mode, inject, wanted) => {
    using folder = createFolder(files(labels));

    await folder.migrate('--write', '--mode', mode);

    expect(parse(folder.read('b.yaml')).metadata.labels).toEqual({
      'keyless-pull.dev/inject': inject,
      'keyless-pull.dev/static-pull-secrets': wanted,
    });
  });

  test('enforce is warn as long as a reference stays: its pods would be denied', async () => {
    using folder = createFolder({
      ...files('{}'),
      'c.yaml': pod('other', ['ghcr.io/a/b:1'], ['partner']),
    });

    await folder.migrate('--write', '--mode', 'enforce');

    expect(folder.read('b.yaml')).toContain('keyless-pull.dev/static-pull-secrets: warn');
  });

  test('a namespace whose pods have nothing for us is left alone', async () => {
    using folder = createFolder({
      'a.yaml': pod('web', ['nginx:1'], []).replace('  imagePullSecrets:\n', ''),
      'b.yaml': NAMESPACE,
    });

    expect((await folder.migrate()).code).toBe(0);
  });
});

describe('what is no edit of these files is advice', () => {
  const texts = async (files: Record<string, string>, ...words: string[]) => {
    using folder = createFolder(files);
    const { advice, summary } = await folder.result(...words);
    return { advice: advice.map(({ text, command = '' }) => `${text} ${command}`).join('\n'), summary };
  };
  const web = pod('web', [`${ECR}/web:1`], ['nexus']);

  test('a namespace and an account that are elsewhere', async () => {
    const { advice } = await texts({ 'a.yaml': web }, '--set', `shop/web:role-arn=${ROLE}`);

    expect(advice).toContain(
      'kubectl label namespace shop keyless-pull.dev/inject=enabled keyless-pull.dev/static-pull-secrets=warn --overwrite',
    );
    expect(advice).toContain(
      `kubectl -n shop annotate serviceaccount web keyless-pull.dev/role-arn=${ROLE} --overwrite`,
    );
  });

  test('a principal that nobody has said', async () => {
    const { advice } = await texts({ 'a.yaml': web });

    expect(advice).toContain('run again with --set shop/web:role-arn=VALUE');
  });

  test('files that Kustomize builds from, with the patch that does the same', async () => {
    const { advice, summary } = await texts({
      'base/kustomization.yaml': 'kind: Kustomization\nresources: [a.yaml]\n',
      'base/a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']),
      'base/patches/b.yaml': NAMESPACE,
    });

    expect(summary).toMatchObject({ files: 0, changes: 0 });
    expect(advice).toContain(
      'Kustomize builds from this file: Pod shop/web: remove nexus from imagePullSecrets',
    );
    expect(advice).toContain(
      `kustomize edit add patch --kind Pod --name web --patch '[{"op":"test","path":"/spec/imagePullSecrets/0/name","value":"nexus"},{"op":"remove","path":"/spec/imagePullSecrets/0"}]'`,
    );
    expect(advice).toContain('Namespace shop: label keyless-pull.dev/inject=enabled');
  });

  test.each<[string, (path: string) => string]>([
    ['with a slash at its end', (path) => `${path}/`],
    ['from here', (path) => `./${relative(process.cwd(), path)}`],
    ['by a detour', (path) => `${path}/../deploy`],
  ])('files that Kustomize builds from, in a folder that is named %s', async (_title, named) => {
    using folder = createFolder({
      'kustomization.yaml': 'kind: Kustomization\nresources: [a.yaml]\n',
      'a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']),
    });

    const { summary, advice } = await folder.result('-f', named(folder.path), '--write');

    expect(summary.changes).toBe(0);
    expect(advice.map(({ text }) => text).join()).toContain('Kustomize builds from this file');
    expect(parse(folder.read('a.yaml')).spec).toHaveProperty('imagePullSecrets');
  });

  test('templates and values of Helm', async () => {
    const { advice, summary } = await texts({
      'chart/Chart.yaml': 'apiVersion: v2\nname: web\n',
      'chart/values.yaml':
        'image:\n  pullSecrets:\n    - nexus\nglobal: { imagePullSecrets: [{ name: other }] }\nnone:\n  imagePullSecrets: []\n',
      'chart/templates/a.yaml': 'spec:\n  # imagePullSecrets\n  imagePullSecrets: {{ toYaml .Values.x }}\n',
      'chart/templates/plain.yaml': pod('web', [`${HOST}/web:1`], ['nexus']),
    });

    expect(summary).toMatchObject({ changes: 0, advice: 5 });
    expect(advice).toContain('(nexus); helm template … | keyless-pull migrate -f - shows which are');
    expect(advice).toContain('(other)');
    expect(advice).toContain('a Helm template names imagePullSecrets');
  });

  test('kinds that others make pods of', async () => {
    const { advice } = await texts({
      'a.yaml':
        'apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: { name: web }\nspec: { template: { spec: { imagePullSecrets: [{ name: nexus }] } } }\n',
    });

    expect(advice).toContain(
      'Rollout default/web names imagePullSecrets, and is no kind that is edited here',
    );
  });

  test('a text that is too odd to be edited', async () => {
    const { advice } = await texts({
      'a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']).replace('imagePullSecrets:', 'imagePullSecrets: &x'),
    });

    expect(advice).toContain('written in a way that is left to you: Pod shop/web: remove nexus');
  });
});

describe('as a program', () => {
  const files = { 'a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']), 'b.yaml': NAMESPACE };

  test('the diff applies with git, and says the same as --write; a second run changes nothing', async () => {
    using folder = createFolder(files);
    using other = createFolder(files);

    const { code, stdout, stderr } = await folder.migrate();
    expect(code).toBe(1);
    expect(folder.read('a.yaml')).toBe(files['a.yaml']);
    expect(stderr).toContain('2 changes to make in 2 files, 1 reference removed, 0 kept');
    expect(stderr).toContain('tried first, so a pod that runs proves nothing while it has one');
    execFileSync('git', ['apply', '--unsafe-paths', '-p1', '--directory', '/', '-'], {
      cwd: '/',
      input: stdout,
    });
    await other.migrate('--write');
    for (const name of Object.keys(files)) expect(folder.read(name)).toBe(other.read(name));

    expect(await folder.migrate()).toEqual({ code: 0, stdout: '', stderr: 'nothing to change\n' });
    expect(await other.migrate('--write')).toMatchObject({ code: 0 });
    expect(other.read('a.yaml')).toBe(folder.read('a.yaml'));
  });

  test('a login that stands in the name of its registry is told as the registry alone', async () => {
    using folder = createFolder({
      'a.yaml': pod('web', [`${HOST}/web:1`], ['nexus']),
      'b.yaml': secret('nexus', `https://bob:marked-secret@${HOST}/v1/`, 'ghcr.io', 'marked-secret: 1'),
    });

    const { stdout, stderr } = await folder.migrate();
    const json = await folder.migrate('--output', 'json');

    expect(stderr).toContain('no rule covers ghcr.io');
    expect(JSON.parse(json.stdout)).toMatchObject({ kept: [{ hosts: [HOST, 'ghcr.io'] }] });
    expect(stdout + stderr + json.stdout).not.toContain('marked-secret');
  });

  test('the data of a Secret are in no diff, neither as the lines around a change nor in the change itself', async () => {
    const web = pod('web', [`${HOST}/web:1`], ['nexus']);
    const between = [web, secret('nexus', HOST), web.replace('name: web', 'name: other')].join('---\n');
    const line = JSON.stringify({ kind: 'List', items: [parse(web), parse(secret('nexus', HOST))] });
    const data = /\.dockerconfigjson: (\S+)/.exec(between)?.[1] ?? 'none';
    using folder = createFolder({ 'a.yaml': between, 'b.json': line });

    const { stdout, stderr } = await folder.migrate();
    const json = await folder.migrate('--output', 'json');

    expect(stdout).toContain('-  imagePullSecrets:');
    expect(stdout + stderr + json.stdout).not.toContain(data);
    expect(stderr).toContain('a diff would show the data of a Secret: --write makes the changes without it');
    expect((await folder.migrate('--write')).code).toBe(0);
    expect(folder.read('b.json')).not.toContain('imagePullSecrets');
    expect(folder.read('b.json')).toContain(data);
  });

  test('stdin with --write prints the manifests themselves', async () => {
    using folder = createFolder();
    const io = { ...createPrinted(), readStdin: async () => files['b.yaml'] };
    const printed: string[] = [];
    const words = ['migrate', '-f', '-', '--config', join(folder.path, '../config.yaml'), '--write'];

    const code = await runProgram('keyless-pull', words, { ...io, out: (text) => void printed.push(text) });

    expect({ code, printed }).toEqual({
      code: 0,
      printed: [
        `${NAMESPACE}  labels:\n    keyless-pull.dev/inject: enabled\n    keyless-pull.dev/static-pull-secrets: warn\n`,
      ],
    });
  });

  test('a List and JSON are edited as they stand', async () => {
    const item = parse(pod('web', [`${HOST}/web:1`], ['nexus'])) as object;
    const list = JSON.stringify({ kind: 'List', apiVersion: 'v1', items: [item, parse(NAMESPACE)] }, null, 2);
    using folder = createFolder({ 'a.json': list });

    await folder.migrate('--write');

    const { items } = JSON.parse(folder.read('a.json')) as {
      items: { spec?: object; metadata: { labels?: object } }[];
    };
    expect(items[0]?.spec).not.toHaveProperty('imagePullSecrets');
    expect(items[1]?.metadata.labels).toHaveProperty(['keyless-pull.dev/inject'], 'enabled');
  });

  test('one file that is no YAML, or an alias that leads nowhere, is 2, and nothing is written', async () => {
    for (const odd of ['a: [', 'a: *nothing\n']) {
      using folder = createFolder({ ...files, 'z.yaml': odd });

      expect(await folder.migrate('--write')).toMatchObject({ code: 2, stdout: '' });
      expect(folder.read('a.yaml')).toBe(files['a.yaml']);
    }
  });

  test.each([
    [['--set', 'nonsense'], '--set takes NAMESPACE/ACCOUNT:PARAMETER=VALUE'],
    [['--set', 'shop/web:role-anr=x'], 'is role-arn meant?'],
    [['--set', 'shop/web:ecs.role-arn=x'], 'is ecr meant?'],
    [['--set', 'shop/web:role-arn=x'], '--set: role-arn looks like'],
    [['--set', 'shop/web:prewarm=yes'], 'prewarm is true or not set'],
    [['--mode', 'off'], 'argument'],
    [['--file', '-', '--write', '--output', 'json'], 'leave --output out'],
  ])('%j is wrong use: 64', async (words, told) => {
    using folder = createFolder(files);

    const { code, stderr } = await folder.migrate(...words);

    expect(code).toBe(64);
    expect(stderr).toContain(told);
  });
});

test('examples/migration: with the role said, all but the partner is migrated', async () => {
  using folder = createFolder({}, readFileSync('examples/migration/config.yaml', 'utf8'));
  cpSync('examples/migration/manifests', folder.path, { recursive: true });
  const words = ['--set', `shop/report:role-arn=${ROLE}`];

  const { kept, summary } = await folder.result(...words, '--write');

  expect(kept.map(({ name, secret: of }) => `${name} ${of}`)).toEqual(['import partner-login']);
  expect(summary).toMatchObject({ removed: 3, written: true });
  expect((await folder.migrate(...words)).code).toBe(0);
});
