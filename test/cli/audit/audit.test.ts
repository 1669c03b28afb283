// audit as a command: what it reads, what it prints in which form, how it ends; the inventory; progress.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { WAYS } from '../../../src/cli/audit/report.ts';
import { createProgress } from '../../../src/cli/audit/progress.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { createHandClock } from '../../fakes/hand-clock.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import { account, deployment, MARK, namespace, ownedBy, pod, pullSecret, TEAM } from './shop.ts';
import { linesOf, runAudit, temporaryFolder } from './run-audit.ts';

const SHOP = namespace('shop', { 'keyless-pull.dev/inject': 'enabled' });
const WEB = deployment('shop', 'web', { secrets: ['regcred'] });

describe('what is read', () => {
  test('manifests in YAML and a dump in JSON give the same', async () => {
    const objects = [
      SHOP,
      account('shop', 'default', { secrets: ['a'] }),
      WEB,
      pullSecret('shop', 'regcred', [TEAM]),
    ];
    const text = objects.map((object) => stringify(object)).join('---\n');

    expect((await runAudit([], { text })).report).toEqual((await runAudit(objects)).report);
  });

  test('objects without a namespace are in that of --namespace, as helm template leaves them', async () => {
    const text =
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {imagePullSecrets: [{name: a}]}}}\n';

    expect(linesOf((await runAudit([], { text })).report)).toEqual(['default Deployment/web: a, explicit']);
    expect(linesOf((await runAudit([], { text, namespace: 'shop' })).report)).toEqual([
      'shop Deployment/web: a, explicit',
    ]);
  });

  test('of a folder, what is no YAML is told, the rest is looked at, and that is no clean end', async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path;
    mkdirSync(join(folder, 'chart'));
    writeFileSync(
      join(folder, 'chart', 'deployment.yaml'),
      'kind: Deployment\nmetadata: {{ .Values.x }}\n  a: b\n',
    );
    writeFileSync(join(folder, 'web.yaml'), stringify(WEB));

    const { code, report } = await runAudit([], { file: [folder] });

    expect(code).toBe(2);
    expect(linesOf(report)).toEqual(['shop Deployment/web: regcred, explicit']);
    expect(report.summary.notSeen).toEqual([
      expect.stringMatching(/deployment\.yaml:\d: this is no YAML: .*helm template/),
    ]);
  });

  test.each(['kubeconfig', 'context', 'as'])(
    '--%s, which only a cluster could heed, is wrong use beside --file',
    async (flag) => {
      await expect(runAudit([SHOP], { [flag]: 'x' })).rejects.toMatchObject({
        code: 'usage',
        message: `--${flag} is for a cluster, and --file is audited instead of one`,
      });
    },
  );

  test('a file that was named and is none is an error', async () => {
    await expect(runAudit([], { text: '{"kind":"List","items":[{' })).rejects.toMatchObject({
      code: 'file-unreadable',
    });
    await expect(runAudit([], { file: ['/nowhere/at/all'] })).rejects.toMatchObject({
      code: 'file-unreadable',
    });
  });

  test('nothing is not the same as no finding: 2', async () => {
    const { code, io } = await runAudit([], { text: 'a: 1\n' });

    expect({ code, out: io.stdout, err: io.stderr }).toEqual({
      code: 2,
      out: '',
      err: 'no Kubernetes object in the input: nothing to audit\n',
    });
  });
});

describe('what is printed', () => {
  const objects = [
    SHOP,
    account('shop', 'web', {
      secrets: ['regcred'],
      annotations: { 'eks.amazonaws.com/ecr-role-arn': 'arn:aws:iam::111122223333:role/web' },
    }),
    deployment('shop', 'web', { account: 'web', images: [`${TEAM}/web:1`, 'nginx'] }),
    pod(
      'shop',
      'web-1-a',
      { account: 'web', images: [`${TEAM}/web:1`, 'nginx'], secrets: ['regcred'] },
      { ...ownedBy('ReplicaSet', 'web-1'), labels: { 'pod-template-hash': '1' } },
    ),
    pullSecret('shop', 'regcred', [TEAM], '2026-11-11T12:00:00Z'),
  ];

  test('a table of findings, one of registries, one of identities, a summary', async () => {
    const { code, io } = await runAudit(objects, { output: 'table' });

    expect(code).toBe(1);
    expect(io.stdout).toBe(
      `NAMESPACE  OBJECT              SECRET   ORIGIN     HOSTS                  RULE  AGE  OTHERS  PODS  MISSING
shop       Deployment/web      regcred  inherited  registry.team.example  yes   10d  1       1     nothing
shop       ServiceAccount/web  regcred  explicit   registry.team.example  yes   10d  1       1     nothing

REGISTRY               PODS  OBJECTS  EXPLICIT  INHERITED  NONE OR NODE  KEYLESS  RULE
docker.io              1     1        0         0          1             0        none is possible
registry.team.example  1     1        0         1          0             0        team-registry

NAMESPACE  ACCOUNT  CLOUD       ANNOTATION                      ACCEPTED BY  COULD BE BY
shop       web      Amazon EKS  eks.amazonaws.com/ecr-role-arn  ecr          -

2 findings: 1 static pull secret in 1 namespace; looked at 3 workloads, accounts and pods
`,
    );
  });

  test('no finding is said in as many words, and ends with 0', async () => {
    const { code, io } = await runAudit([SHOP, account('shop', 'default'), deployment('shop', 'web')], {
      output: 'table',
    });

    expect(code).toBe(0);
    expect(io.stdout).toContain('\nno static pull secret; looked at 2 workloads, accounts and pods\n');
  });

  test('JSON and YAML say the same, in the form that scripts rely on', async () => {
    const { report } = await runAudit(objects);
    const { io } = await runAudit(objects, { output: 'yaml' });

    expect(parse(io.stdout)).toEqual(report);
    expect(io.stdout).not.toContain('*a1');
    expect(Object.keys(report)).toEqual(['findings', 'inventory', 'identities', 'summary']);
    for (const finding of report.findings)
      expect(Object.keys(finding).slice(0, 9)).toEqual([
        'kind',
        'namespace',
        'name',
        'owner',
        'origin',
        'secret',
        'hosts',
        'covered',
        'missing',
      ]);
  });

  test.each(['table', 'json', 'yaml', 'html'] as const)(
    'no password, and nothing that steers a terminal: %s',
    async (output) => {
      const evil = 'a\u001B[31mred\u0007\u009B2J\u2028b';
      const { io } = await runAudit([...objects, pod('shop', evil, { secrets: [evil] })], { output });

      expect(io.stdout).toContain('red');
      expect(io.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
      expect(io.stdout).not.toContain(MARK);
      expect(io.stdout).not.toContain(Buffer.from(`robot:${MARK}`).toString('base64'));
    },
  );

  test('--html writes the page besides, and cannot write says why', async () => {
    using folder = temporaryFolder();
    const html = join(folder.path, 'report.html');
    const { io } = await runAudit(objects, { html });

    expect(readFileSync(html, 'utf8')).toMatch(/^<!doctype html>/);
    expect(JSON.parse(io.stdout)).toHaveProperty('findings');
    await expect(runAudit(objects, { html: '/nowhere/at/all' })).rejects.toThrow(
      'cannot write /nowhere/at/all: there is no such file',
    );
  });
});

describe('the inventory', () => {
  const HUB = 'docker.io';

  test('says of every registry how objects and pods get in, the least good way first', async () => {
    const { report } = await runAudit([
      SHOP,
      namespace('other'),
      account('shop', 'default', { secrets: ['hub'] }),
      pullSecret('shop', 'hub', ['https://index.docker.io/v1/']),
      deployment('shop', 'given', { images: [`${TEAM}/a:1`] }),
      deployment('shop', 'mixed', { images: [`${TEAM}/a:1`, 'nginx'], secrets: ['hub'] }),
      deployment('shop', 'copied', { images: ['nginx'] }),
      deployment('other', 'bare', { images: ['nginx', `${TEAM}/a:1`] }),
    ]);

    expect(
      report.inventory.map(({ host, ways }) => [
        host,
        Object.fromEntries(Object.entries(ways).map(([way, { workloads }]) => [way, workloads])),
      ]),
    ).toEqual([
      [HUB, { explicit: 1, inherited: 1, none: 1, ours: 0 }],
      [TEAM, { explicit: 0, inherited: 0, none: 1, ours: 2 }],
    ]);
    expect(report.inventory.map(({ rules, impossible }) => [rules, impossible !== null])).toEqual([
      [[], true],
      [['team-registry'], false],
    ]);
  });

  test('pods that run say more than their template', async () => {
    const { report } = await runAudit([
      SHOP,
      deployment('shop', 'web'),
      pod('shop', 'web-1-a', {}, { ...ownedBy('ReplicaSet', 'web-1'), labels: { 'pod-template-hash': '1' } }),
    ]);

    expect(report.inventory[0]?.ways).toMatchObject({
      ours: { workloads: 0 },
      none: { workloads: 1, pods: 1 },
    });
  });

  test('but not of who wrote a Secret that the account has too', async () => {
    const { report } = await runAudit([
      account('shop', 'default', { secrets: ['regcred'] }),
      WEB,
      pod(
        'shop',
        'web-1-a',
        { secrets: ['regcred'] },
        { ...ownedBy('ReplicaSet', 'web-1'), labels: { 'pod-template-hash': '1' } },
      ),
    ]);

    expect(report.findings.map(({ origin }) => origin)).toEqual(['explicit', 'explicit']);
    expect(report.inventory[0]?.ways).toMatchObject({ explicit: { workloads: 1, pods: 1 } });
  });

  test('a Secret whose content nobody knows may be for any registry', async () => {
    const { report } = await runAudit([
      deployment('shop', 'web', { images: ['nginx', `${TEAM}/a:1`], secrets: ['a'] }),
    ]);

    expect(report.inventory.map(({ ways }) => ways.explicit.workloads)).toEqual([1, 1]);
  });
});

test('identities of other tools: who accepts them, who could, and no value that does not look like one', async () => {
  const annotations = {
    'eks.amazonaws.com/role-arn': 'arn:aws:iam::111122223333:role/web',
    'eks.amazonaws.com/ecr-role-arn': MARK,
    'azure.workload.identity/client-id': '11111111-2222-3333-4444-555555555555',
    'iam.gke.io/gcp-service-account': 'pull@acme.iam.gserviceaccount.com',
    'team.example/owner': 'nobody',
  };
  const { io, report } = await runAudit([account('shop', 'web', { annotations })]);

  expect(
    report.identities.map(({ cloud, value, acceptedBy, couldBeAcceptedBy }) => [
      cloud,
      value,
      acceptedBy,
      couldBeAcceptedBy,
    ]),
  ).toEqual([
    ['Azure', '11111111-2222-3333-4444-555555555555', [], []],
    ['Amazon EKS', null, ['ecr'], []],
    ['Amazon EKS', 'arn:aws:iam::111122223333:role/web', [], ['ecr']],
    ['Google', 'pull@acme.iam.gserviceaccount.com', [], []],
  ]);
  expect(io.stdout).not.toContain(MARK);
});

describe('progress', () => {
  const open = (isWanted: boolean) => {
    const io = createPrinted();
    const clock = createHandClock();
    return { io, clock, progress: createProgress(io, clock, isWanted) };
  };

  test('is shown after two seconds, ten times a second at most, and taken away', async () => {
    const { io, clock, progress } = open(true);
    progress.show('9 objects', 1, 4);
    await clock.advance(1_999);
    progress.show('9 objects', 1, 4);
    expect(io.stderr).toBe('');

    await clock.advance(1);
    progress.show('9 objects', 1, 4);
    progress.show('10 objects', 2, 4);
    expect(io.stderr).toBe('\r\u001B[K[######..................] 25 % 9 objects, 2s');

    progress.clear();
    progress.clear();
    expect(io.stderr.endsWith('2s\r\u001B[K')).toBe(true);
  });

  test('has no bar where nobody knows the whole, and is nothing where nobody looks', async () => {
    const { io, clock, progress } = open(true);
    const silent = open(false);
    for (const each of [clock, silent.clock]) await each.advance(3_000);
    progress.show('9 objects', 9, 0);
    silent.progress.show('9 objects', 9, 0);
    silent.progress.clear();

    expect(io.stderr).toBe('\r\u001B[K 9 objects, 3s');
    expect(silent.io.stderr).toBe('');
  });
});

test('help has examples, exit codes, and the rights that are needed', async () => {
  const io = createPrinted();

  expect(await runProgram('keyless-pull', ['audit', '--help'], io)).toBe(0);
  for (const text of [
    '--kubeconfig',
    '--context',
    '--namespace',
    '--as',
    '--output',
    '--no-color',
    '\nExamples:\n  keyless-pull audit ',
    'Exit code ',
  ])
    expect(io.stdout).toContain(text);
});

test('docs/audit.md names only flags that exist, every field, and ways and states as the program has them', async () => {
  const text = readFileSync('docs/audit.md', 'utf8');
  const io = createPrinted();
  await runProgram('keyless-pull', ['audit', '--help'], io);
  const { report } = await runAudit([WEB]);

  for (const flag of text.match(/--[a-z]+(?:-[a-z]+)*/g) ?? []) expect(io.stdout).toContain(flag);
  for (const line of [report.findings[0], report.inventory[0]])
    for (const field of Object.keys(line ?? {})) expect(text).toContain(`\`${field}\``);
  for (const word of [...WAYS, 'read', 'unreadable', 'absent', 'unknown', 'exemption'])
    expect(text).toContain(`\`${word}\``);
});

test.each([[['audit', '--output', 'xml']], [['audit', '--nonsense']], [['audit', 'what']]])(
  '%j is wrong use: 64',
  async (words) => {
    const io = createPrinted();

    expect(await runProgram('keyless-pull', words, io)).toBe(64);
  },
);
