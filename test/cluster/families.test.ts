// One account at many registries at once: real API server, real webhook and worker, and strict doubles of the clouds that
// trust the cluster's real keys.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { JWK } from 'jose';
import { systemClock } from '../../src/clock.ts';
import { waitUntil } from '../../tools/processes.ts';
import { createAwsDouble } from '../fakes/ecr-double.ts';
import { createAzureDouble } from '../fakes/azure-double.ts';
import { createGoogleDouble } from '../fakes/google-double.ts';
import { createQuayDouble } from '../fakes/quay-double.ts';
import type { StrictServer } from '../fakes/strict-server.ts';
import type { Trust } from '../fakes/token-judge.ts';
import { HOST, openArena, type Arena } from './arena.ts';

const NAMESPACE = 'shop';
const SUBJECT = `system:serviceaccount:${NAMESPACE}:web`;
const AUDIENCES = ['aws', 'azure', 'azure-two', 'google', 'quay', 'many'].map(
  (name) => `${name}.keyless-pull.example`,
);
const PROVIDER = 'projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/team';
const EMAIL = 'puller@team-images.iam.gserviceaccount.com';
const GUIDS = [1, 2, 3, 4].map((digit) => `${digit}`.repeat(8) + '-0000-4000-8000-000000000000');
const ROBOT = 'team+puller';

const ECR_ONE = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const ECR_TWO = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';
const ACR_ONE = 'teamone.azurecr.io';
const ACR_TWO = 'teamtwo.azurecr.io';
const ECR_OLD = '111122223333.dkr.ecr.us-east-1.amazonaws.com';
const GAR = 'europe-west1-docker.pkg.dev';
const QUAY = 'quay.io';
const roleIn = (account: string) => `arn:aws:iam::${account}:role/puller`;

let arena: Arena;
const doubles = new AsyncDisposableStack();
let oldRoleOf: (password: string) => string | undefined;
const logins = new Map<string, (username: string, password: string) => boolean>();

beforeAll(async () => {
  arena = await openArena({ audiences: [...AUDIENCES, 'sts.amazonaws.com'] });
  const trusting = await trustOfTheCluster();
  const clock = systemClock;
  const aws = doubles.use(
    await createAwsDouble({
      clock,
      trust: trusting('aws'),
      roles: { [roleIn('111122223333')]: {}, [roleIn('444455556666')]: {} },
    }),
  );
  const roles = { [roleIn('111122223333')]: {}, [roleIn('444455556666')]: {} };
  const provisioned = {
    ...trusting('aws'),
    audience: 'sts.amazonaws.com',
    subjects: [SUBJECT.replace('web', 'old')],
  };
  const awsOld = doubles.use(
    await createAwsDouble({ clock, trust: provisioned, roles, region: 'us-east-1' }),
  );
  oldRoleOf = (password) => awsOld.ecr.passwords.get(password);
  const azure = (audience: string, at: number, registry: string) =>
    createAzureDouble({
      clock,
      trust: trusting(audience),
      tenantId: GUIDS[at] ?? '',
      clientId: GUIDS[at + 1] ?? '',
      registry,
    });
  const acrOne = doubles.use(await azure('azure', 0, ACR_ONE));
  const acrTwo = doubles.use(await azure('azure-two', 2, ACR_TWO));
  const google = doubles.use(
    await createGoogleDouble({
      clock,
      trust: trusting('google'),
      provider: PROVIDER,
      serviceAccounts: { [EMAIL]: {} },
    }),
  );
  const quay = doubles.use(await createQuayDouble({ clock, trust: trusting('quay'), robot: ROBOT }));

  const ofAws = (role: string) => (user: string, password: string) =>
    user === 'AWS' && aws.ecr.passwords.get(password) === role;
  logins.set(ECR_ONE, ofAws(roleIn('111122223333')));
  logins.set(ECR_TWO, ofAws(roleIn('444455556666')));
  logins.set(ACR_ONE, acrOne.accepts);
  logins.set(ACR_TWO, acrTwo.accepts);
  logins.set(GAR, (user, password) => user === 'oauth2accesstoken' && google.accessTokens.has(password));
  logins.set(QUAY, quay.accepts);

  const annotation = { from: 'annotation' };
  const rule = (
    name: string,
    kind: string,
    hosts: readonly string[],
    double: StrictServer,
    more: object,
  ) => ({
    name,
    hosts,
    exchange: { kind, endpoint: double.url, certificateAuthorityFile: caFileOf(name, double) },
    ...more,
  });
  const azureParameters = { 'client-id': annotation, 'tenant-id': annotation };
  const rules = [
    {
      name: 'team',
      hosts: [HOST],
      audience: 'https://registry.team.example',
      exchange: { kind: 'pass-through' },
    },
    ...[ECR_ONE, ECR_TWO].map((host, at) =>
      rule(`ecr-${at + 1}`, 'ecr', [host], aws, {
        audience: 'aws.keyless-pull.example',
        parameters: { 'role-arn': annotation },
      }),
    ),
    rule('acr-1', 'acr', [ACR_ONE], acrOne, {
      audience: 'azure.keyless-pull.example',
      parameters: azureParameters,
    }),
    rule('acr-2', 'acr', ['*.azurecr.io'], acrTwo, {
      audience: 'azure-two.keyless-pull.example',
      registries: ['teamtwo'],
      parameters: azureParameters,
    }),
    rule('google', 'google', ['*.pkg.dev'], google, {
      audience: 'google.keyless-pull.example',
      parameters: {
        'workload-identity-provider': { from: 'rule', value: PROVIDER },
        'service-account-email': { from: 'annotation', accept: ['iam.gke.io/gcp-service-account'] },
      },
    }),
    rule('quay', 'quay', [QUAY], quay, {
      audience: 'quay.keyless-pull.example',
      parameters: { robot: annotation },
    }),
    rule('provisioned', 'ecr', ['*.dkr.ecr.us-east-1.amazonaws.com'], awsOld, {
      audience: 'aws-old.keyless-pull.example',
      acceptAudiences: ['sts.amazonaws.com'],
      registries: ['111122223333'],
      parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
      prewarm: true,
      secretName: 'annotation',
    }),
    {
      name: 'many',
      hosts: Array.from({ length: 17 }, (_, at) => `r${at}.many.example`),
      audience: 'many.keyless-pull.example',
      exchange: { kind: 'pass-through' },
    },
  ];
  writeFileSync(arena.configFile, stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules }));
  await arena.addNamespace(NAMESPACE);
  await addAccount('web', {
    'ecr-1.keyless-pull.dev/role-arn': roleIn('111122223333'),
    'ecr-2.keyless-pull.dev/role-arn': roleIn('444455556666'),
    'acr-1.keyless-pull.dev/tenant-id': GUIDS[0] ?? '',
    'acr-1.keyless-pull.dev/client-id': GUIDS[1] ?? '',
    'acr-2.keyless-pull.dev/tenant-id': GUIDS[2] ?? '',
    'acr-2.keyless-pull.dev/client-id': GUIDS[3] ?? '',
    'iam.gke.io/gcp-service-account': EMAIL,
    'keyless-pull.dev/robot': ROBOT,
  });
  await arena.start('webhook', 'webhook');
  await arena.start('worker', 'worker');
  await waitUntil('pods are held', async () => (await tryPod([HOST])).length === 0, { deadlineMs: 30_000 });
});

afterAll(async () => {
  await arena[Symbol.asyncDispose]();
  await doubles.disposeAsync();
});

/** The doubles are told the cluster's issuer and keys, as a cloud would read them itself. */
async function trustOfTheCluster(): Promise<(name: string) => Trust> {
  const { admin } = arena.controlPlane;
  const discovery = await admin<{ issuer: string }>('GET', '/.well-known/openid-configuration');
  const keys = await admin<{ keys: JWK[] }>('GET', '/openid/v1/jwks');
  // Of a fake issuer the judge reads these two alone.
  const issuer = { url: discovery.body.issuer, publishedKeys: keys.body.keys } as Trust['issuer'];
  return (name) => ({
    issuer,
    audience: `${name}.keyless-pull.example`,
    subjects: [SUBJECT],
    clock: systemClock,
  });
}

function caFileOf(name: string, double: StrictServer): string {
  const path = join(arena.controlPlane.folder, `${name}-ca.pem`);
  writeFileSync(path, double.certificateAuthorityPem);
  return path;
}

async function addAccount(name: string, annotations: Record<string, string> = {}): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
  const { status } = await arena.controlPlane.admin('POST', path, { metadata: { name, annotations } });
  expect(status).toBe(201);
}

const tryPod = (hosts: readonly string[]) => addPod('dry-run', 'web', hosts, '?dryRun=All');

/** @returns the warnings that kubectl would show */
async function addPod(name: string, serviceAccountName: string, hosts: readonly string[], query = '') {
  const containers = hosts.map((host, at) => ({ name: `c${at}`, image: `${host}/team/app:1` }));
  const path = `/api/v1/namespaces/${NAMESPACE}/pods${query}`;
  const body = { metadata: { name }, spec: { serviceAccountName, containers } };
  const { status, warnings } = await arena.controlPlane.admin('POST', path, body);
  expect(status).toBe(201);
  return warnings;
}

async function podOf(name: string) {
  const pod = (await arena.pods(NAMESPACE)).find(({ metadata }) => metadata.name === name);
  return {
    references: (pod?.spec.imagePullSecrets ?? []).map((reference) => reference.name),
    isGated: (pod?.spec.schedulingGates ?? []).length > 0,
  };
}

const released = (name: string) =>
  waitUntil(`${name} is released`, async () => !(await podOf(name)).isGated, { deadlineMs: 40_000 });

interface Login {
  readonly username: string;
  readonly password: string;
}

async function loginsIn(secrets: readonly string[]): Promise<Record<string, Login>> {
  const found = await Promise.all(
    secrets.map(async (name) => {
      const path = `/api/v1/namespaces/${NAMESPACE}/secrets/${name}`;
      const { body } = await arena.controlPlane.admin<{ data: Record<string, string> }>('GET', path);
      const text = Buffer.from(body.data['.dockerconfigjson'] ?? '', 'base64').toString();
      return (JSON.parse(text) as { auths: Record<string, Login> }).auths;
    }),
  );
  return Object.assign({}, ...found) as Record<string, Login>;
}

async function expectGoodLogins(secrets: readonly string[], hosts: readonly string[]): Promise<void> {
  const auths = await loginsIn(secrets);
  expect(Object.keys(auths).sort()).toEqual([...hosts].sort());
  for (const host of hosts) {
    const { username, password } = auths[host] ?? { username: '', password: '' };
    expect(logins.get(host)?.(username, password), host).toBe(true);
  }
}

describe('an account with rules of several families', () => {
  test('gets one PullCredential and one Secret of each of four families, and each registry takes its login', async () => {
    const hosts = [ECR_ONE, ACR_ONE, GAR, QUAY];

    expect(await addPod('four', 'web', hosts)).toEqual([]);
    await released('four');

    const { references } = await podOf('four');
    const records = await arena.controlPlane.admin<{
      items: { spec: { registry: string; principal: string } }[];
    }>('GET', `/apis/keyless-pull.dev/v1alpha1/namespaces/${NAMESPACE}/pullcredentials`);
    expect(records.body.items.map(({ spec }) => `${spec.registry} ${spec.principal}`).sort()).toEqual(
      [
        `${ECR_ONE} ${roleIn('111122223333')}`,
        `${ACR_ONE} ${GUIDS[1]}`,
        `${GAR} ${EMAIL}`,
        `${QUAY} ${ROBOT}`,
      ].sort(),
    );
    await expectGoodLogins(references, hosts);
  });

  test('pulls in one pod from two Azure tenants and two AWS accounts, each as whom it is there', async () => {
    const hosts = [ACR_ONE, ACR_TWO, ECR_ONE, ECR_TWO];

    await addPod('two-of-each', 'web', hosts);
    await released('two-of-each');

    await expectGoodLogins((await podOf('two-of-each')).references, hosts);
  });

  test('starts a pod of all its registries with all references, and is warned of the one without a rule', async () => {
    const hosts = [...logins.keys(), HOST];

    const warnings = await addPod('all', 'web', [...hosts, 'elsewhere.example']);
    await released('all');

    const { references } = await podOf('all');
    expect(references).toHaveLength(7);
    expect(Object.keys(await loginsIn(references)).sort()).toEqual([...hosts].sort());
    expect(warnings).toEqual([expect.stringContaining('no rule covers registry elsewhere.example')]);
  });
});

test('the 17th credential of an account is refused by name, and the 16 before it are there', async () => {
  await addAccount('greedy');
  const hosts = Array.from({ length: 17 }, (_, at) => `r${at}.many.example`);
  await addPod('greedy-1', 'greedy', hosts.slice(0, 8));
  await addPod('greedy-2', 'greedy', hosts.slice(8, 16));
  await Promise.all([released('greedy-1'), released('greedy-2')]);

  await addPod('greedy-3', 'greedy', hosts.slice(16));
  await released('greedy-3');

  // Events are written behind what they tell of.
  let refusals: string[] = [];
  await waitUntil(
    'the refusal is told on account and pod',
    async () => {
      const { body } = await arena.controlPlane.admin<{ items: { reason: string; note: string }[] }>(
        'GET',
        `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`,
      );
      refusals = body.items
        .filter(({ note }) => note.includes('too-many-needs'))
        .map(({ reason }) => reason)
        .sort();
      return refusals.length >= 2;
    },
    { deadlineMs: 30_000 },
  );
  expect(refusals).toEqual(['CredentialRefused', 'PodReleasedLate']);
  const auths = await loginsIn([
    ...(await podOf('greedy-1')).references,
    ...(await podOf('greedy-2')).references,
  ]);
  expect(Object.keys(auths)).toHaveLength(16);
});

test('an account of the image-pull-secrets-provisioner works unchanged: its names, its two roles, and before any pod', async () => {
  await addAccount('old', {
    'imagepullsecrets.preferred.jp/registry': ECR_OLD,
    'imagepullsecrets.preferred.jp/audience': 'sts.amazonaws.com',
    'imagepullsecrets.preferred.jp/aws-role-arn': `${roleIn('111122223333')},${roleIn('444455556666')}`,
  });
  const recordsOf = async () => {
    const path = `/apis/keyless-pull.dev/v1alpha1/namespaces/${NAMESPACE}/pullcredentials`;
    const { body } = await arena.controlPlane.admin<{ items: Recorded[] }>('GET', path);
    return body.items.filter(
      ({ spec, status }) =>
        spec.serviceAccount.name === 'old' && status?.conditions?.some(({ reason }) => reason === 'issued'),
    );
  };
  await waitUntil('both credentials are there', async () => (await recordsOf()).length === 2, {
    deadlineMs: 30_000,
  });

  const records = await recordsOf();
  const roles = await Promise.all(
    records.map(async ({ spec }) => {
      const auths = await loginsIn([spec.secretName]);
      return [spec.principal, oldRoleOf(auths[ECR_OLD]?.password ?? '')];
    }),
  );
  expect(roles.every(([principal, role]) => principal === role)).toBe(true);
  expect(records.map(({ spec }) => spec.secretName)).toContain('imagepullsecret-old');

  const warnings = await addPod('old', 'old', [ECR_OLD]);
  const { references, isGated } = await podOf('old');
  expect({ warnings, isGated }).toEqual({ warnings: [], isGated: false });
  expect(references.sort()).toEqual(records.map(({ spec }) => spec.secretName).sort());
});

interface Recorded {
  readonly spec: {
    readonly serviceAccount: { readonly name: string };
    readonly principal: string;
    readonly secretName: string;
  };
  readonly status?: { readonly conditions?: readonly { readonly reason: string }[] };
}
