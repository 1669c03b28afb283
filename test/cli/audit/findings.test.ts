// Whose a static pull secret is, who set it, what is in it, whether a rule covers it, and what is missing.
import { describe, expect, test } from 'vitest';
import { secretNameFor } from '../../../src/core/pull-secret.ts';
import {
  account,
  CONFIG,
  cronJob,
  deployment,
  MARK,
  namespace,
  ownedBy,
  pod,
  pullSecret,
  TEAM,
} from './shop.ts';
import { linesOf, runAudit } from './run-audit.ts';

const SHOP = namespace('shop', { 'keyless-pull.dev/inject': 'enabled' });

test('a finding says who, whose, how, which Secret, and what is missing', async () => {
  const { code, report } = await runAudit([
    namespace('shop'),
    account('shop', 'web'),
    deployment('shop', 'web', { account: 'web', secrets: ['regcred'] }, 0),
    pullSecret('shop', 'regcred', [TEAM], '2026-11-11T12:00:00Z'),
  ]);

  expect(code).toBe(1);
  expect(report.findings).toEqual([
    {
      kind: 'Deployment',
      namespace: 'shop',
      name: 'web',
      owner: 'Deployment/web',
      origin: 'explicit',
      secret: 'regcred',
      hosts: [TEAM],
      covered: true,
      missing: ['namespace label keyless-pull.dev/inject=enabled'],
      account: 'web',
      hostsFrom: 'secret',
      imageHosts: [TEAM],
      secretState: 'read',
      secretType: 'kubernetes.io/dockerconfigjson',
      secretCreatedAt: '2026-11-11T12:00:00Z',
      usedByOthers: 0,
      pods: 0,
      advice:
        '"regcred" in spec.imagePullSecrets is a static pull secret, written in the pod template of the Deployment: remove that line',
    },
  ]);
  expect(report.summary).toMatchObject({ source: 'files', findings: 1, explicit: 1, covered: 1, secrets: 1 });
});

describe('who set it', () => {
  test('what a workload has not written and its account brings is inherited, and the account is told too', async () => {
    const { report } = await runAudit([
      account('shop', 'web', { secrets: ['regcred'] }),
      deployment('shop', 'plain', { account: 'web' }),
      deployment('shop', 'own', { account: 'web', secrets: ['regcred'] }),
    ]);

    expect(linesOf(report)).toEqual([
      'shop Deployment/own: regcred, explicit',
      'shop Deployment/plain: regcred, inherited',
      'shop ServiceAccount/web: regcred, explicit',
    ]);
    expect(report.findings.map(({ usedByOthers }) => usedByOthers)).toEqual([2, 2, 2]);
  });

  test('a pod that is stored has what its account brought in its own list', async () => {
    const stored = { uid: 'u', creationTimestamp: '2026-11-20T12:00:00Z' };
    const { report } = await runAudit([
      account('shop', 'web', { secrets: ['regcred'] }),
      pod('shop', 'copied', { account: 'web', secrets: ['regcred'] }, stored),
      pod('shop', 'written', { account: 'web', secrets: ['other'] }, stored),
    ]);

    expect(linesOf(report)).toEqual([
      'shop Pod/copied: regcred, inherited',
      'shop Pod/written: other, explicit',
      'shop ServiceAccount/web: regcred, explicit',
    ]);
  });

  test('an account that no pod uses has a finding all the same', async () => {
    const { report } = await runAudit([account('shop', 'idle', { secrets: ['a', 'b'] })]);

    expect(linesOf(report)).toEqual([
      'shop ServiceAccount/idle: a, explicit',
      'shop ServiceAccount/idle: b, explicit',
    ]);
    expect(report.findings[0]).toMatchObject({ owner: null, hosts: [], covered: false, account: 'idle' });
  });

  test('accounts that the input has not are counted, for what they bring is not known', async () => {
    const { io } = await runAudit([deployment('shop', 'web', { account: 'web' })], { output: 'table' });

    expect(io.stdout).toContain(
      '1 ServiceAccount is not in the input: what pods inherit there is not known\n',
    );
  });
});

describe('whose it is', () => {
  const wish = { secrets: ['regcred'] };
  const replicaSet = (name: string, owner: object) => ({
    ...deployment('shop', name, wish),
    kind: 'ReplicaSet',
    metadata: { namespace: 'shop', name, ...owner },
  });

  test("pods are folded into the Deployment of their ReplicaSet, the CronJob of their Job, in the input's any order", async () => {
    const job = {
      ...cronJob('shop', 'nightly-1', wish),
      kind: 'Job',
      metadata: { namespace: 'shop', name: 'nightly-1', ...ownedBy('CronJob', 'nightly', 'batch/v1') },
    };
    const objects = [
      pod('shop', 'web-1-a', wish, ownedBy('ReplicaSet', 'web-1')),
      pod('shop', 'web-1-b', wish, ownedBy('ReplicaSet', 'web-1')),
      pod('shop', 'nightly-1-a', wish, ownedBy('Job', 'nightly-1', 'batch/v1')),
      replicaSet('web-1', ownedBy('Deployment', 'web')),
      job,
      deployment('shop', 'web', wish),
      cronJob('shop', 'nightly', wish),
    ];

    for (const input of [objects, objects.toReversed()]) {
      const { report } = await runAudit(input);
      expect(report.findings.map(({ owner, pods }) => [owner, pods])).toEqual([
        ['CronJob/nightly', 1],
        ['Deployment/web', 2],
      ]);
    }
  });

  test('with pods alone, the Deployment is known by the hash that they carry', async () => {
    const labels = { 'pod-template-hash': '7d4b9c' };
    const { report } = await runAudit([
      pod('shop', 'web-7d4b9c-x', wish, { ...ownedBy('ReplicaSet', 'web-7d4b9c'), labels }),
      pod('shop', 'lone-x', wish, ownedBy('ReplicaSet', 'lone')),
    ]);

    expect(linesOf(report)).toEqual([
      'shop Deployment/web: regcred, explicit',
      'shop ReplicaSet/lone: regcred, explicit',
    ]);
    expect(report.findings.map(({ owner }) => owner)).toEqual(['Deployment/web', 'ReplicaSet/lone']);
  });

  test("an operator's resource above a workload is the owner; pods that one makes itself stay pods", async () => {
    const { report } = await runAudit([
      replicaSet('web-5', ownedBy('Rollout', 'web', 'argoproj.io/v1alpha1')),
      pod('shop', 'web-5-a', wish, ownedBy('ReplicaSet', 'web-5')),
      pod('shop', 'task-a', wish, ownedBy('TaskRun', 'task', 'tekton.dev/v1')),
      pod('shop', 'bare', wish),
    ]);

    expect(report.findings.map(({ kind, name, owner }) => [kind, name, owner])).toEqual([
      ['Pod', 'bare', null],
      ['Pod', 'task-a', 'TaskRun/task'],
      ['ReplicaSet', 'web-5', 'Rollout/web'],
    ]);
  });

  test('a Secret that only pods that run have still is told apart', async () => {
    const { report } = await runAudit([
      account('shop', 'default'),
      deployment('shop', 'web'),
      replicaSet('web-1', ownedBy('Deployment', 'web')),
      pod('shop', 'web-1-a', wish, ownedBy('ReplicaSet', 'web-1')),
    ]);

    expect(report.findings).toMatchObject([
      {
        kind: 'Deployment',
        secret: 'regcred',
        pods: 1,
        advice: 'only pods that run have "regcred", their template has not: restart them',
      },
    ]);
  });

  test('owners in a ring end somewhere', async () => {
    const { report } = await runAudit([
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: { namespace: 'shop', name: 'a', ...ownedBy('ReplicaSet', 'b') },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: { namespace: 'shop', name: 'b', ...ownedBy('ReplicaSet', 'a') },
      },
      pod('shop', 'x', wish, ownedBy('ReplicaSet', 'a')),
    ]);

    expect(report.findings).toHaveLength(1);
  });

  test('pods that have ended and kinds of other groups are nobody', async () => {
    const { code, report } = await runAudit([
      { ...pod('shop', 'done', wish), status: { phase: 'Succeeded' } },
      { ...deployment('shop', 'other', wish), apiVersion: 'example.com/v1' },
    ]);

    expect(code).toBe(0);
    expect(report.findings).toEqual([]);
    expect(report.inventory).toEqual([]);
  });
});

describe('what is in it', () => {
  const secretWith = (type: string, data: Record<string, string>) => ({
    ...pullSecret('shop', 'regcred', []),
    type: `kubernetes.io/${type}`,
    data: Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    ),
  });
  const about = async (secret: Record<string, unknown>) => {
    const { io, report } = await runAudit([
      SHOP,
      deployment('shop', 'web', { secrets: ['regcred'] }),
      secret,
    ]);
    expect(io.stdout).not.toContain(MARK);
    return report.findings[0];
  };

  test.each([
    ['a host', { [TEAM]: {} }, [TEAM]],
    ['a URL', { 'https://index.docker.io/v1/': {} }, ['docker.io']],
    ['a path behind the host', { [`${TEAM}/team`]: {} }, [TEAM]],
    ['a password before the host', { [`https://robot:${MARK}@${TEAM}`]: {} }, [TEAM]],
    ['text that is no host', { [`${MARK} oh dear`]: {}, [TEAM]: {} }, [TEAM]],
  ])('%s among its logins is told as images name it', async (_, auths, hosts) => {
    const content = JSON.stringify({ auths });

    expect(await about(secretWith('dockerconfigjson', { '.dockerconfigjson': content }))).toMatchObject({
      hosts,
      hostsFrom: 'secret',
    });
  });

  test('the older type keeps its logins at the top', async () => {
    const content = JSON.stringify({ [TEAM]: { password: MARK } });

    expect(await about(secretWith('dockercfg', { '.dockercfg': content }))).toMatchObject({
      hosts: [TEAM],
      secretType: 'kubernetes.io/dockercfg',
      secretState: 'read',
    });
  });

  test.each(['no JSON', '{}', '{"auths":null}'])('%j is nothing that a kubelet reads', async (content) => {
    expect(await about(secretWith('dockerconfigjson', { '.dockerconfigjson': content }))).toMatchObject({
      hosts: [TEAM],
      hostsFrom: 'images',
      secretState: 'unreadable',
    });
  });

  test('a Secret of another type is none that pulls, and its content is never looked at', async () => {
    expect(await about(secretWith('tls', { '.dockerconfigjson': MARK }))).toMatchObject({
      secretState: 'unknown',
      secretType: null,
    });
  });

  test('--without-secrets: hosts are those of the images', async () => {
    const objects = [
      deployment('shop', 'web', { secrets: ['regcred'] }),
      pullSecret('shop', 'regcred', ['quay.io']),
    ];
    const { report } = await runAudit(objects, { withoutSecrets: true });

    expect(report.findings[0]).toMatchObject({
      hosts: [TEAM],
      hostsFrom: 'images',
      secretState: 'unknown',
      secretCreatedAt: null,
    });
    expect(report.summary).toMatchObject({ withSecrets: false, looked: { secrets: 0 } });
  });
});

describe('what is missing', () => {
  const missing = async (objects: Parameters<typeof runAudit>[0], config?: string | null) => {
    const { report } = await runAudit(objects, config === undefined ? {} : { config });
    const [finding] = report.findings;
    return [finding?.covered, finding?.missing];
  };
  const ECR = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';

  test('nothing, where a rule covers it and the namespace has opted in', async () => {
    expect(await missing([SHOP, deployment('shop', 'web', { secrets: ['a'] })])).toEqual([true, []]);
  });

  test('a rule', async () => {
    const images = [`${TEAM}/web:1`, 'quay.io/a:1', 'ghcr.io/b:1'];

    expect(await missing([SHOP, deployment('shop', 'web', { images, secrets: ['a'] })])).toEqual([
      false,
      ['a rule for the registry ghcr.io, which none can serve today', 'a rule for the registry quay.io'],
    ]);
  });

  test('a rule only for registries that the Secret has a login for', async () => {
    const objects = [
      SHOP,
      deployment('shop', 'web', { images: [`${TEAM}/web:1`, 'quay.io/public:1'], secrets: ['a'] }),
      pullSecret('shop', 'a', [TEAM, 'other.example']),
    ];

    expect(await missing(objects)).toEqual([true, []]);
  });

  test('an annotation of the account', async () => {
    expect(
      await missing([
        SHOP,
        account('shop', 'web'),
        deployment('shop', 'web', { account: 'web', images: [`${ECR}/a:1`], secrets: ['a'] }),
      ]),
    ).toEqual([
      true,
      ['ServiceAccount web has no annotation keyless-pull.dev/role-arn, which rule ecr needs'],
    ]);
  });

  test('the label of the pod that opts it out', async () => {
    const web = deployment('shop', 'web', { secrets: ['a'] });
    const spec = web['spec'] as { template: { metadata: { labels: Record<string, string> } } };
    spec.template.metadata.labels['keyless-pull.dev/inject'] = 'disabled';

    expect(await missing([SHOP, web])).toEqual([
      true,
      ['remove the label keyless-pull.dev/inject=disabled from the pod'],
    ]);
  });

  test('another namespace, where keyless-pull is never let in', async () => {
    expect(await missing([deployment('kube-system', 'web', { secrets: ['a'] })])).toEqual([
      true,
      ['another namespace: keyless-pull never touches kube-system'],
    ]);
  });

  test('without a config nobody knows whether a rule covers it', async () => {
    expect(await missing([SHOP, deployment('shop', 'web', { secrets: ['a'] })], null)).toEqual([null, []]);
  });
});

describe('what is ours', () => {
  const OURS = secretNameFor('web', 'team-registry', '', TEAM);
  const web = pod('shop', 'web', { account: 'web', secrets: [OURS] }, { uid: 'u' });
  const stored = { ...account('shop', 'web'), metadata: { namespace: 'shop', name: 'web', uid: 'uid-web' } };
  const record = (reason: string, uid = 'uid-web') => ({
    apiVersion: 'keyless-pull.dev/v1alpha1',
    kind: 'PullCredential',
    metadata: { namespace: 'shop', name: OURS },
    spec: { serviceAccount: { name: 'web', uid }, rule: 'team-registry', registry: TEAM, secretName: OURS },
    status: { conditions: [{ type: 'Ready', status: 'True', reason }] },
  });
  const ways = ({ inventory }: Awaited<ReturnType<typeof runAudit>>['report']) => inventory[0]?.ways;

  test('a name that the core computes for this account is no finding', async () => {
    const { code, report } = await runAudit([SHOP, stored, web]);

    expect(code).toBe(0);
    expect(ways(report)).toMatchObject({ ours: { pods: 1, workloads: 1 } });
    expect(report.summary.unproven).toBe(0);
  });

  test('nor is one that a PullCredential of the account names, without any config', async () => {
    const { code, report } = await runAudit([SHOP, stored, web, record('issued')], { config: null });

    expect([code, report.summary.unproven]).toEqual([0, 0]);
    expect(ways(report)).toMatchObject({ ours: { pods: 1 } });
  });

  test.each([
    ['says that the Secret is not ours', record('secret-not-ours')],
    ["is of the account's former life", record('issued', 'another')],
  ])('a PullCredential that %s proves nothing', async (_, object) => {
    const { code } = await runAudit([SHOP, stored, web, object], { config: null });

    expect(code).toBe(1);
  });

  test('a name like ours of another account is a finding, where a config can tell', async () => {
    const other = pod('shop', 'other', { account: 'other', secrets: [OURS] });

    expect((await runAudit([SHOP, other])).code).toBe(1);
  });

  test('without config and PullCredentials the name must do, and the report says so', async () => {
    const { code, report } = await runAudit([web], { config: null });

    expect([code, report.summary.unproven]).toEqual([0, 1]);
  });
});

describe('the policy of the config', () => {
  const objects = [
    SHOP,
    account('shop', 'web', { secrets: ['nexus-a'] }),
    deployment('shop', 'plain', { account: 'web' }),
    deployment('shop', 'own', { account: 'web', secrets: ['nexus-b'] }),
  ];
  const withPolicy = (policy: string) => `${CONFIG}policy:\n  ${policy}\n`;

  test('exemptions pass, with their end and their reason', async () => {
    const exemptions = `exemptions: [{ namespace: shop, secret: nexus-*, until: 2026-12-31, reason: "moves" }]`;
    const { code, report } = await runAudit(objects, { config: withPolicy(exemptions) });

    expect(code).toBe(0);
    expect(report.findings.map(({ exemption }) => exemption)).toEqual(
      Array.from({ length: 3 }, () => ({ until: '2026-12-31', reason: 'moves', daysLeft: 40 })),
    );
    expect(report.summary).toMatchObject({ findings: 0, exempt: 3, secrets: 0 });
  });

  test('inherited: allowed leaves accounts and what they bring alone', async () => {
    const { report } = await runAudit(objects, { config: withPolicy('inherited: allowed') });

    expect(linesOf(report)).toEqual(['shop Deployment/own: nexus-b, explicit']);
  });
});
