// One pod's story: each thing that may stand in its way is told with its own cure.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { explain, type ExplainOptions } from '../../src/cli/explain.ts';
import type { Chapter } from '../../src/cli/explain/story.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import {
  at,
  createFakeUserCluster,
  createPrinted,
  HOST,
  podObject,
  recordObject,
  SECRET,
} from './fake-user-cluster.ts';

const ECR = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
let folder: string;
let config: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-explain-'));
  config = join(folder, 'config.yaml');
  writeFileSync(
    config,
    `
apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - { name: team, hosts: ["${HOST}"], audience: team.example, exchange: { kind: pass-through } }
  - name: exact
    hosts: ["${ECR}"]
    audience: pull.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
  - name: wide
    hosts: ["*.dkr.ecr.*.amazonaws.com"]
    registries: ["111122223333"]
    audience: pull.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
  - name: strangers
    hosts: ["*.dkr.ecr.eu-west-1.amazonaws.com"]
    registries: ["111122223333"]
    audience: pull.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
    subjects: [{ serviceAccounts: [somebody-else] }]
  - name: quay
    hosts: [quay.team.example]
    audience: quay.example
    exchange: { kind: quay }
    parameters: { robot: { from: annotation } }
`,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

function open(change: (cluster: ReturnType<typeof createFakeUserCluster>) => void = () => undefined) {
  const cluster = createFakeUserCluster();
  change(cluster);
  const io = createPrinted();
  const run = (options: Partial<ExplainOptions> = {}) =>
    explain(
      ['pod', 'web-1'],
      { output: 'table', color: false, ownNamespace: 'keyless-pull', ...options },
      io,
      { cluster, clock: cluster.clock },
    );
  const story = async (options: Partial<ExplainOptions> = {}) => {
    io.stdout = '';
    const code = await run({ ...options, output: 'json' });
    const {
      story: chapters,
      images,
      ok,
    } = JSON.parse(io.stdout) as {
      story: Chapter[];
      images: {
        rule: string;
        rules?: { rule: string; isChosen: boolean; because: string; faults: string[] }[];
      }[];
      ok: boolean;
    };
    expect(ok).toBe(code === 0);
    return { code, chapters, images, failed: chapters.filter(({ outcome }) => outcome === 'failed') };
  };
  return { cluster, io, run, story };
}

const event = (seconds: number, kind: string, name: string, reason: string, more: object = {}) => ({
  at: Date.parse(at(seconds)),
  kind,
  name,
  uid: `uid-${name}`,
  type: 'Normal',
  reason,
  note: `note of ${reason}`,
  count: 1,
  controller: 'keyless-pull.dev/worker',
  ...more,
});

describe('a pod that is fine', () => {
  const fine = () =>
    open((fake) => {
      fake.podObjects.push(podObject());
      fake.recordObjects.push(recordObject());
      fake.userEvents.push(
        event(-3, 'Pod', 'web-1', 'PodReleased'),
        event(-4, 'ServiceAccount', 'web', 'CredentialIssued'),
        event(-9, 'Pod', 'web-1', 'Scheduled', { uid: 'uid-of-an-earlier-pod' }),
        event(-2, 'ServiceAccount', 'web', 'Foreign', { controller: 'somebody' }),
      );
    });

  test('without a config: what was given, what became of it, and our events in the order of time', async () => {
    const { io, run } = fine();

    expect(await run()).toBe(0);
    expect(io.stdout).toBe(`pod shop/web-1, ServiceAccount web
· image       app: ${HOST}/shop/web:1, from ${HOST}, rule team
✓ namespace   shop has opted in
✓ account     shop/web
✓ admission   given rule team, Secret ${SECRET}
✓ credential  ${HOST}, rule team: good for 50m, renewed in 25m
✓ worker      worker-1, alive 0s ago
✓ gate        not held
· event       2026-11-21T11:59:56Z ServiceAccount/web CredentialIssued: note of CredentialIssued
· event       2026-11-21T11:59:57Z Pod/web-1 PodReleased: note of PodReleased
nothing stands in its way
`);
  });

  test('with the config: rule by rule, what matched and why not', async () => {
    const { cluster, story } = fine();
    // The names in the config are those that admission computes.
    const secret = secretNameFor('web', 'team', '', HOST);
    cluster.podObjects[0] = {
      ...podObject(),
      spec: { ...podObject().spec, imagePullSecrets: [{ name: secret }] },
    };
    cluster.recordObjects[0] = recordObject({ name: secret });

    const { code, images } = await story({ config });

    expect(code).toBe(0);
    const notThis = 'none of its hosts is this one:';
    expect(images[0]?.rules?.map(({ rule, isChosen, because }) => `${rule} ${isChosen} ${because}`)).toEqual([
      `team true its host ${HOST} is the most exact one`,
      `exact false ${notThis} ${ECR}`,
      `wide false ${notThis} *.dkr.ecr.*.amazonaws.com`,
      `strangers false ${notThis} *.dkr.ecr.eu-west-1.amazonaws.com`,
      `quay false ${notThis} quay.team.example`,
    ]);
  });

  test('of several rules that speak of a host, each says why it is not the one', async () => {
    const { cluster, story } = fine();
    const rulesFor = async (host: string) => {
      cluster.podObjects[0] = podObject({ image: `${host}/shop/web:1` });
      const { images } = await story({ config });
      return Object.fromEntries((images[0]?.rules ?? []).map(({ rule, because }) => [rule, because]));
    };

    expect(await rulesFor(ECR)).toMatchObject({
      exact: `its host ${ECR} is the most exact one`,
      wide: 'rule exact has the more exact host, or comes first',
      strangers: 'its subjects do not name this account and namespace',
    });
    expect(await rulesFor(ECR.replace('1111', '9999'))).toMatchObject({
      wide: 'its registries do not list this one: 111122223333',
    });
  });

  test('YAML says what JSON says', async () => {
    const { io, run } = fine();
    await run({ output: 'json' });
    const json: unknown = JSON.parse(io.stdout);
    io.stdout = '';
    await run({ output: 'yaml' });

    expect(parse(io.stdout)).toEqual(json);
  });
});

describe('one thing stands in its way', () => {
  const held = podObject({ gated: true, seconds: 30 });

  test('the namespace has not opted in', async () => {
    const { story } = open((fake) => {
      fake.podObjects.push(podObject());
      fake.recordObjects.push(recordObject());
      fake.namespaceLabels = {};
    });

    expect(await story()).toMatchObject({
      code: 1,
      failed: [
        {
          about: 'namespace',
          cure: 'kubectl label namespace shop keyless-pull.dev/inject=enabled --overwrite',
        },
      ],
    });
  });

  test('the account is not there', async () => {
    const { story } = open((fake) => {
      fake.podObjects.push(podObject());
      fake.recordObjects.push(recordObject());
      fake.accountObjects.length = 0;
    });

    expect((await story()).failed).toMatchObject([
      {
        about: 'account',
        found: 'shop/web does not exist',
        cure: 'kubectl create serviceaccount web -n shop',
      },
    ]);
  });

  test.each([
    ['exchange-refused', /^keyless-pull doctor --config FILE --rule team --account shop\/web --host/],
    ['secret-not-ours', /^kubectl delete secret keyless-pull-web-team-h1 -n shop, if nobody needs it/],
    ['rule-unknown', /^put rule team back into the config/],
    ['quota-exceeded', /^raise the ResourceQuota on secrets of namespace shop/],
    ['fence-missing', /^kubectl apply -k webhook-config$/],
  ])('the credential: %s', async (reason, cure) => {
    const { story } = open((fake) => {
      fake.podObjects.push(podObject());
      fake.recordObjects.push(recordObject({ reason, message: 'why it is so' }));
    });

    const { code, failed } = await story();

    expect(code).toBe(1);
    expect(failed).toMatchObject([
      { about: 'credential', found: `${HOST}, rule team: ${reason}: why it is so` },
    ]);
    expect(failed[0]?.cure).toMatch(cure);
  });

  test('the record is of an earlier account of that name', async () => {
    const { story } = open((fake) => {
      fake.podObjects.push(podObject());
      fake.recordObjects.push(recordObject());
      fake.accountObjects[0] = { metadata: { namespace: 'shop', name: 'web', uid: 'another' } };
    });

    expect((await story()).failed).toMatchObject([
      { about: 'credential', cure: `kubectl delete pullcred ${SECRET} -n shop: a new one is made` },
    ]);
  });

  test('it is held, and no worker works: start one, or release it', async () => {
    const { io, run } = open((fake) => {
      fake.podObjects.push(held);
      fake.lease = undefined;
    });

    expect(await run()).toBe(1);
    expect(io.stdout).toContain(`✗ credential  rule team has no PullCredential ${SECRET}\n`);
    expect(io.stdout).toContain('! worker      no worker works: nobody holds the Lease\n');
    expect(io.stdout).toContain('✗ gate        held for 30s until its credentials exist\n');
    expect(
      io.stdout.match(/now: start a worker; until then keyless-pull release opens gates by hand/g),
    ).toHaveLength(3);
  });

  test('it is held by somebody else', async () => {
    const { story } = open((fake) => {
      fake.podObjects.push({
        ...held,
        spec: { ...held.spec, schedulingGates: [{ name: 'team.example/quota' }] },
      });
      fake.recordObjects.push(recordObject());
    });

    expect((await story()).failed).toMatchObject([
      { about: 'gate', found: 'held by gates of others: team.example/quota' },
    ]);
  });

  test('it was made before the config had a rule', async () => {
    const { story } = open((fake) => {
      const { spec, metadata, ...more } = podObject();
      fake.podObjects.push({
        ...more,
        metadata: { ...metadata, annotations: {} },
        spec: { ...spec, imagePullSecrets: [] },
      });
    });

    expect((await story({ config })).failed).toMatchObject([
      {
        about: 'admission',
        found: `the config has rule team for ${HOST} by now, and the pod was not given it`,
        cure: expect.stringContaining('kubectl delete pod web-1 -n shop'),
      },
    ]);
    const { code, chapters } = await story();
    expect(code).toBe(0);
    expect(chapters).toContainEqual(
      expect.objectContaining({
        about: 'admission',
        outcome: 'warning',
        cure: expect.stringContaining('--config'),
      }),
    );
  });

  test('the account lacks what the rule needs', async () => {
    const { story } = open((fake) => {
      const image = 'quay.team.example/shop/web:1';
      const { spec, metadata, ...more } = podObject({ image });
      fake.podObjects.push({
        ...more,
        metadata: { ...metadata, annotations: {} },
        spec: { ...spec, imagePullSecrets: [] },
      });
    });

    const { failed, images } = await story({ config });

    const sentence = 'ServiceAccount web has no annotation keyless-pull.dev/robot, which rule quay needs';
    expect(failed).toMatchObject([{ about: 'admission', found: sentence }]);
    expect(images[0]?.rules?.find(({ isChosen }) => isChosen)).toMatchObject({
      rule: 'quay',
      faults: [sentence],
    });
  });

  test.each([
    ['401 Unauthorized', /^grant the account this repository at the registry/],
    ['manifest unknown', /^correct the name or tag/],
    ['x509: certificate signed by unknown authority', /^let the node trust/],
    ['dial tcp: lookup registry: no such host', /^let the node reach/],
    ['toomanyrequests', /^wait: the registry limits pulls/],
    ['something new', /^kubectl describe pod web-1 -n shop/],
  ])('the kubelet cannot pull: %s', async (message, cure) => {
    const { story } = open((fake) => {
      const waiting = { reason: 'ErrImagePull', message: `${message}\nand a page of HTML` };
      const status = { containerStatuses: [{ name: 'app', state: { waiting } }] };
      fake.podObjects.push(podObject({ status }));
      fake.recordObjects.push(recordObject());
    });

    const { code, failed } = await story();

    expect(code).toBe(1);
    expect(failed).toMatchObject([{ about: 'container', found: `app: ErrImagePull: ${message}` }]);
    expect(failed[0]?.cure).toMatch(cure);
  });
});

test('a program that crashes is no trouble of the pull', async () => {
  const { story } = open((fake) => {
    const waiting = { reason: 'CrashLoopBackOff', message: 'back-off' };
    fake.podObjects.push(podObject({ status: { containerStatuses: [{ name: 'app', state: { waiting } }] } }));
    fake.recordObjects.push(recordObject());
  });

  expect(await story()).toMatchObject({ code: 0 });
});

test('who may see the pod alone is told what was not checked', async () => {
  const { io, run } = open((fake) => {
    fake.podObjects.push(podObject());
    for (const call of ['records', 'events', 'findAccount', 'findNamespace', 'findLease'] as const)
      fake.forbidden.add(call);
  });

  expect(await run()).toBe(0);
  expect(io.stdout).toContain('– namespace   not checked: you may not read shop\n');
  expect(io.stdout).toContain(`– credential  not checked: you may not read PullCredential ${SECRET}\n`);
});

test('what steers a terminal is never printed as it is', async () => {
  const nasty = 'x\u001B]0;title\u0007\u009B31m\u202Ey';
  const { io, run } = open((fake) => {
    const waiting = { reason: 'ErrImagePull', message: nasty };
    const pod = podObject({ status: { containerStatuses: [{ name: nasty, state: { waiting } }] } });
    fake.podObjects.push({
      ...pod,
      metadata: { ...pod.metadata, annotations: { 'keyless-pull.dev/credentials': `${nasty}=${SECRET}` } },
    });
    fake.recordObjects.push(recordObject({ reason: 'exchange-refused', message: nasty }));
    fake.userEvents.push(event(-1, 'Pod', 'web-1', nasty, { note: nasty }));
  });

  expect(await run({ config })).toBe(1);
  expect(io.stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
});

test('a pod that is not there cannot be explained', async () => {
  const { run } = open();

  await expect(run()).rejects.toMatchObject({
    code: 'cluster-missing',
    message: 'there is no pod shop/web-1',
  });
});
