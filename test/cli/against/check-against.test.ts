// check-config --against: what a config would change for credentials and pods that live, and that nothing is changed by asking.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkAgainst } from '../../../src/cli/check-against.ts';
import { parseConfig } from '../../../src/config.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { principalsOf } from '../../../src/core/identity-parameters.ts';
import { secretNameFor } from '../../../src/core/pull-secret.ts';
import { createPrinted, podObject, recordObject } from '../fake-user-cluster.ts';
import { createPlanStage } from '../migrate/cluster-stage.ts';
import { readLiveNeeds } from '../../../src/cli/against/live-needs.ts';
import { needChanges, type NeedChange } from '../../../src/cli/against/need-changes.ts';

const HOST = 'registry.team.example';
const CONFIG = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team
    hosts: [${HOST}]
    audience: https://${HOST}
    exchange: { kind: pass-through }
`;
const SPACE = 'kind: Namespace\nmetadata: { name: shop, labels: { keyless-pull.dev/inject: enabled } }\n';
const WEB = 'kind: ServiceAccount\nmetadata: { name: web, namespace: shop, uid: uid-web }\n';
const SECRET = secretNameFor('web', 'team', '', HOST);

function digestUnder(text: string): string {
  const [rule] = parseConfig(text, 'config').rules;
  return rule === undefined
    ? ''
    : (principalsOf(rule, { name: 'web', annotations: {} }, HOST).principals[0]?.digest ?? '');
}

/** A record that is Ready under CONFIG. */
const RECORD = recordObject({ name: SECRET, more: { digest: digestUnder(CONFIG) } });
const managedPod = (image = `${HOST}/shop/web:1`) => {
  const pod = podObject({ image });
  return {
    ...pod,
    kind: 'Pod',
    metadata: { ...pod.metadata, annotations: { 'keyless-pull.dev/credentials': `team=${SECRET}` } },
    spec: { ...pod.spec, imagePullSecrets: [{ name: SECRET }] },
  };
};

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'against-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function against(
  config: string,
  {
    records = [RECORD] as unknown[],
    pods = [managedPod()] as object[],
    texts = [SPACE, WEB],
    output = 'json' as 'json' | 'table',
    namespace = undefined as string | undefined,
    forbidden = [] as string[],
  } = {},
) {
  const path = join(folder, 'config.yaml');
  writeFileSync(path, config);
  const { cluster } = createPlanStage(...texts, ...pods.map((pod) => JSON.stringify(pod)));
  cluster.recordObjects.push(...records);
  if (forbidden.includes('pods')) cluster.pods = () => cluster.findPod('', '').then(() => []);
  if (forbidden.includes('pods')) cluster.forbidden.add('findPod');
  const io = createPrinted();
  const options = {
    config: path,
    against: true as const,
    output,
    color: false,
    ...(namespace && { namespace }),
  };
  const code = await checkAgainst(options, io, { cluster, clock: cluster.clock });
  const result =
    output === 'json'
      ? (JSON.parse(io.stdout) as {
          changes: NeedChange[];
          notSeen: string[];
          summary: Record<string, unknown>;
        })
      : { changes: [], notSeen: [], summary: {} };
  return { code, stdout: io.stdout, ...result };
}

describe('a credential that lives', () => {
  test('is kept by the config it was made under', async () => {
    expect(await against(CONFIG)).toMatchObject({
      code: 0,
      changes: [],
      summary: { kept: 1, new: 0, renamed: 0, exchanged: 0, delivery: 0, uncovered: 0, ok: true },
    });
  });

  test.each<[string, string, Partial<NeedChange>]>([
    [
      'is exchanged anew where the exchange reads something else',
      CONFIG.replace(`audience: https://${HOST}`, 'audience: https://other.example'),
      { change: 'exchanged', rule: 'team', secret: { was: SECRET, becomes: SECRET }, pods: 1 },
    ],
    [
      'is renamed with its rule',
      CONFIG.replace('name: team', 'name: group'),
      {
        change: 'renamed',
        rule: 'group',
        secret: { was: SECRET, becomes: secretNameFor('web', 'group', '', HOST) },
        pods: 1,
      },
    ],
    [
      'loses its cover with its host',
      CONFIG.replace(`hosts: [${HOST}]`, 'hosts: [other.team.example]'),
      { change: 'uncovered', rule: '', secret: { was: SECRET, becomes: '' }, pods: 1 },
    ],
    [
      'loses its cover where the rule is no longer meant for it',
      `${CONFIG}    subjects: [{ serviceAccounts: [other] }]\n`,
      { change: 'uncovered', rule: '' },
    ],
  ])('%s', async (_title, config, wanted) => {
    const { code, changes } = await against(config);

    expect(code).toBe(1);
    expect(changes[0]).toMatchObject(wanted);
  });

  test('loses its cover where the account does not say what the rule wants', async () => {
    const registry = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';
    const config = CONFIG.replace(`hosts: [${HOST}]`, `hosts: [${registry}]`).replace(
      'exchange: { kind: pass-through }',
      'exchange: { kind: ecr }\n    parameters: { role-arn: { from: annotation } }',
    );

    const { changes } = await against(config, {
      records: [{ ...RECORD, spec: { ...RECORD.spec, registry } }],
    });

    expect(changes).toMatchObject([{ change: 'uncovered', rule: 'team' }]);
    expect(changes[0]?.means).toContain('has no annotation keyless-pull.dev/role-arn');
  });

  test.each([
    ['whose account is another by now', [SPACE, WEB.replace('uid-web', 'uid-new')]],
    ['whose account is gone', [SPACE]],
    ['whose namespace has opted out', [SPACE.replace('enabled', 'no'), WEB]],
  ])('%s ends by itself, whatever the config says', async (_title, texts) => {
    const { changes, summary } = await against(CONFIG.replace('name: team', 'name: group'), {
      texts,
      pods: [],
    });

    expect({ changes, kept: summary['kept'] }).toEqual({ changes: [], kept: 0 });
  });
});

describe('pods that live', () => {
  const next = `${CONFIG}  - name: more
    hosts: [more.team.example]
    audience: https://more.team.example
    exchange: { kind: pass-through }
`;

  test('whose images match now are new needs, each once, with its pods', async () => {
    const image = 'more.team.example/a:1';
    const pods = [
      managedPod(image),
      { ...managedPod(image), metadata: { ...managedPod().metadata, name: 'web-2' } },
    ];

    const { code, changes } = await against(next, { pods });

    expect(code).toBe(1);
    expect(changes).toMatchObject([
      { change: 'new', rule: 'more', registry: 'more.team.example', account: 'web', pods: 2 },
    ]);
  });

  test('whose credential is on its way are no news', async () => {
    expect((await against(CONFIG, { records: [] })).changes).toEqual([]);
  });

  test('of namespaces that have not opted in, that are over, or whose account is gone, are left out', async () => {
    const other = { ...managedPod('more.team.example/a:1') };
    const away = { ...other, metadata: { ...other.metadata, namespace: 'elsewhere' } };
    const over = { ...other, status: { phase: 'Succeeded' } };

    expect((await against(next, { pods: [away, over] })).changes).toEqual([]);
    expect((await against(next, { pods: [other], texts: [SPACE], records: [] })).changes).toEqual([]);
  });

  test('that the kubelet served are given a Secret, and the other way round', async () => {
    const pod = managedPod();
    const onNode = {
      ...pod,
      metadata: { ...pod.metadata, annotations: { 'keyless-pull.dev/credentials': 'team=kubelet' } },
      spec: { ...pod.spec, imagePullSecrets: [] },
    };
    const change = async (delivery: 'secret' | 'kubelet', records: unknown[], one: object) => {
      const { cluster } = createPlanStage(SPACE, WEB, JSON.stringify(one));
      cluster.recordObjects.push(...records);
      const config = parseConfig(CONFIG, 'config');
      const rules = config.rules.map((rule) => ({ ...rule, delivery: [delivery] }));
      return needChanges({ ...config, rules }, await readLiveNeeds(cluster, undefined)).changes;
    };

    expect(await change('secret', [], onNode)).toMatchObject([
      { change: 'delivery', secret: { was: '', becomes: SECRET } },
    ]);
    expect(await change('kubelet', [], onNode)).toEqual([]);
    expect(await change('kubelet', [RECORD], pod)).toMatchObject([
      { change: 'delivery', rule: 'team', registry: '' },
      { change: 'delivery', rule: 'team', registry: HOST, secret: { was: SECRET, becomes: '' } },
    ]);
  });

  test('that were promised several rules, as admission writes them down, are promised each of them', async () => {
    const pod = managedPod();
    const promised = 'keyless-pull.dev/credentials';
    const annotations = { [promised]: `other=keyless-pull-other, team=kubelet` };
    const one = {
      ...pod,
      metadata: { ...pod.metadata, annotations },
      spec: { ...pod.spec, imagePullSecrets: [] },
    };
    const { cluster } = createPlanStage(SPACE, WEB, JSON.stringify(one));
    const config = parseConfig(CONFIG, 'config');
    const rules = config.rules.map((rule) => ({ ...rule, delivery: ['kubelet' as const] }));

    expect(needChanges({ ...config, rules }, await readLiveNeeds(cluster, undefined)).changes).toEqual([]);
  });

  test('that may not be listed are said to be unknown', async () => {
    const { code, notSeen } = await against(next, { forbidden: ['pods'] });

    expect({ code, notSeen }).toEqual({ code: 0, notSeen: ['pods'] });
  });
});

test('of a namespace that is not there nothing is said but that', async () => {
  await expect(against(CONFIG, { namespace: 'shpo' })).rejects.toMatchObject({
    code: 'cluster-missing',
    message: 'there is no namespace "shpo"',
  });
});

test('as a table: a line for each change, what each means once, and the counts', async () => {
  const { stdout } = await against(CONFIG.replace('name: team', 'name: group'), {
    output: 'table',
    namespace: 'shop',
  });

  const becomes = secretNameFor('web', 'group', '', HOST);
  expect(stdout).toContain(`renamed  shop/web  ${HOST}  -          group  ${SECRET} → ${becomes}  1\n`);
  expect(stdout).toContain('renamed: another Secret is made; pods that live keep the old one');
  expect(stdout).toMatch(/0 kept, 0 new, 1 renamed, 0 exchanged, 0 delivery, 0 uncovered\n$/);
});

test.each([[['--against', 'one', '--context', 'two']], [['--kubeconfig', 'x']]])(
  '%j is wrong use: 64',
  async (words) => {
    const path = join(folder, 'config.yaml');
    writeFileSync(path, CONFIG);

    expect(
      await runProgram('keyless-pull', ['check-config', '--config', path, ...words], createPrinted()),
    ).toBe(64);
  },
);

test('a cluster that cannot be had is 2', async () => {
  const path = join(folder, 'config.yaml');
  writeFileSync(path, CONFIG);
  const words = ['check-config', '--config', path, '--against', '--kubeconfig', '/nowhere/at/all'];

  expect(await runProgram('keyless-pull', words, createPrinted())).toBe(2);
});
