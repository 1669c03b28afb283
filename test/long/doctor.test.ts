// doctor with real parts: the API server with our fences, the token server and the registry. First all is well,
// then one thing at a time is not, and one line says so.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { runTokenServer } from '../../src/cli/token-server.ts';
import type { Step } from '../../src/cli/doctor/step.ts';
import { createLog } from '../../src/log.ts';
import { systemClock } from '../../src/clock.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { createCertificateAuthority, type CertificateAuthority } from '../../tools/certificates.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { startRegistry, type DistributionRegistry } from '../../tools/distribution-registry.ts';
import { freePort } from '../../tools/free-ports.ts';
import { pushImage } from '../../tools/image-transfer.ts';
import { installManifests, WORKER_USER } from '../../tools/install.ts';

const AUDIENCE = 'https://registry.doctor.example';
const opened = new AsyncDisposableStack();
let controlPlane: ControlPlane;
let authority: CertificateAuthority;
let registry: DistributionRegistry;
let tokenPort: number;
let authorityFile: string;
let configFile: string;

const file = (name: string, text: string) => {
  const path = join(controlPlane.folder, name);
  writeFileSync(path, text);
  return path;
};

async function must(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<void> {
  const answer = await controlPlane.admin(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

const BINDING = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
const showKeysToEverybody = () =>
  must('POST', BINDING, {
    metadata: { name: 'keys-for-everybody' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'system:service-account-issuer-discovery',
    },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:unauthenticated' }],
  });

/** At the realm's port, one at a time. */
async function startTokenServer(wish: { audience?: string; repositories?: string[] } = {}) {
  const serving = await authority.issue(['localhost', '127.0.0.1']);
  const signing = await authority.issue(['registry-tokens']);
  const { issuer, certificateAuthorityFile, tokens } = controlPlane;
  const { audience = AUDIENCE, repositories = ['{namespace}/**'] } = wish;
  const bearerFile = file('bearer', tokens['admin'] ?? '');
  const config = {
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: 'doctor-test', issuer: 'keyless-pull' },
    signing: {
      keys: [
        {
          keyFile: file('sign.key', signing.key),
          certificateFile: file('sign.crt', signing.certificate),
        },
      ],
    },
    listen: { host: '127.0.0.1', port: tokenPort },
    tls: {
      certificateFile: file('token.crt', serving.certificate),
      keyFile: file('token.key', serving.key),
    },
    issuers: [{ issuer, audience, certificateAuthorityFile, bearerFile }],
    access: [{ namespaces: ['*'], repositories, actions: ['pull', 'push'] }],
  };
  return runTokenServer(
    { config: file('token-server.yaml', stringify(config)) },
    { clock: systemClock, log: createLog('silent') },
  );
}

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program as a user runs it. */
async function run(...flags: string[]): Promise<Told> {
  const words = ['src/cli/main.ts', 'doctor', '--config', configFile, '--account', 'shop/web'];
  const kubeconfig = flags.some((flag) => flag.startsWith('--kubeconfig'))
    ? []
    : ['--kubeconfig', controlPlane.kubeconfig];
  const files = ['--issuer-ca', controlPlane.certificateAuthorityFile, '--registry-ca', authorityFile];
  return promisify(execFile)(process.execPath, [...words, ...kubeconfig, ...files, ...flags]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Told) => ({ code, stdout, stderr }),
  );
}

interface Report {
  readonly rule: string;
  readonly account: string;
  readonly host: string;
  readonly steps: readonly Step[];
  readonly ok: boolean;
}

async function doctor(...flags: string[]) {
  const { code, stdout, stderr } = await run('--output', 'json', '--rule', 'team', ...flags);
  expect(stderr).toBe('');
  expect(stdout, 'no token and no password is printed').not.toMatch(/eyJ[\w-]{10}/);
  const report = JSON.parse(stdout) as Report;
  const of = (outcome: Step['outcome']) => report.steps.filter((step) => step.outcome === outcome);
  const found = (id: string) => report.steps.find(({ step }) => step === id);
  return { code, report, of, found };
}

const image = () => `${registry.host}/shop/web:1`;

beforeAll(async () => {
  controlPlane = opened.use(await startControlPlane());
  authority = await createCertificateAuthority('doctor');
  authorityFile = file('doctor-ca.crt', authority.certificate);
  await installManifests(controlPlane, { audiences: [AUDIENCE], parts: ['crd', 'rights', 'fences'] });
  for (const [name, labels] of [
    ['shop', { 'keyless-pull.dev/inject': 'enabled' }],
    ['closed', {}],
  ] as const) {
    await must('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    await must('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'web' } });
  }
  tokenPort = await freePort();
  const serving = await authority.issue(['localhost', '127.0.0.1']);
  registry = opened.use(
    await startRegistry({
      auth: {
        realm: `https://localhost:${tokenPort}/auth/token`,
        service: 'doctor-test',
        issuer: 'keyless-pull',
        rootCertBundle: authorityFile,
      },
      tls: {
        certificateFile: file('registry.crt', serving.certificate),
        keyFile: file('registry.key', serving.key),
      },
    }),
  );
  configFile = file(
    'config.yaml',
    stringify({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [
        { name: 'team', hosts: [registry.host], audience: AUDIENCE, exchange: { kind: 'pass-through' } },
        {
          name: 'quay',
          hosts: ['quay.team.example'],
          audience: 'quay.team.example',
          exchange: { kind: 'quay' },
          parameters: { robot: { from: 'annotation' } },
        },
      ],
    }),
  );
  await using _server = await startTokenServer();
  const password = await serviceAccountToken(controlPlane, 'shop', 'web', { audiences: [AUDIENCE] });
  await pushImage(registry.url, 'shop/web', '1', {
    authorization: { username: 'shop/web', password },
    certificateAuthorityFile: authorityFile,
  });
});

afterAll(() => opened.disposeAsync());

describe('with everything in order', () => {
  test('an issuer that is shown to nobody is a warning with its cure, for the token server has a bearer', async () => {
    await using _server = await startTokenServer();

    const { code, report, of } = await doctor('--image', image());

    expect({ code, ok: report.ok, failed: of('failed') }).toEqual({ code: 0, ok: true, failed: [] });
    const { host } = new URL(controlPlane.issuer);
    expect(of('warning')).toEqual([
      {
        step: 'issuer-reachable',
        outcome: 'warning',
        found: `${host} answers 403 to anybody without credentials`,
        cure: expect.stringContaining(
          'bind ClusterRole system:service-account-issuer-discovery to system:unauthenticated',
        ),
      },
    ]);
    expect(of('skipped').map(({ step }) => step)).toEqual(['issuer-keys']);
  });

  test('every step is ok, and each says what it found', async () => {
    await showKeysToEverybody();
    await using _server = await startTokenServer();

    const { code, report } = await doctor('--image', image());

    const { issuer } = controlPlane;
    const { host } = new URL(issuer);
    expect(report).toMatchObject({ rule: 'team', account: 'shop/web', host: registry.host, ok: true });
    expect(code).toBe(0);
    const sub = 'system:serviceaccount:shop:web';
    expect(
      Object.fromEntries(report.steps.map(({ step, outcome, found }) => [step, `${outcome}: ${found}`])),
    ).toEqual({
      config: `ok: ${configFile} is a config with 2 rules`,
      rule: 'ok: team, exchange pass-through',
      host: `ok: ${registry.host} is served by rule team`,
      cluster: 'ok: the API server takes you for admin',
      account: 'ok: ServiceAccount shop/web exists',
      namespace: 'ok: namespace shop has opted in',
      subject: 'ok: rule team is meant for shop/web',
      parameters: 'ok: pass-through needs no parameters',
      issuer: `ok: ${issuer}`,
      'issuer-address': `ok: ${host} looks private: enough if the token server reaches it`,
      'issuer-reachable': `ok: ${host} answers without credentials`,
      'issuer-document': `ok: issuer equal byte for byte, keys at ${issuer}/openid/v1/jwks`,
      audience: `ok: ${AUDIENCE} is for this registry alone`,
      fence: `ok: the fence lets the worker ask for ${AUDIENCE}`,
      token: `ok: the API server issues a token of shop/web for ${AUDIENCE}`,
      claims: `ok: iss ${issuer}, sub ${sub}, aud ${AUDIENCE}`,
      'issuer-keys': expect.stringMatching(/^ok: [\w-]{43}, which signs tokens now, is among 1$/),
      'registry-limits': 'ok: nothing but iss, sub and aud counts for pass-through',
      exchange: expect.stringMatching(/^ok: user shop\/web, good for 10 min, until 20\S+Z$/),
      login: `ok: ${registry.host} takes the login, whose password goes to localhost:${tokenPort}, and gives shop/web:1`,
    });
  });

  test('a person reads one line per step', async () => {
    await using _server = await startTokenServer();

    const { code, stdout } = await run('--rule', 'team');

    const lines = stdout.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(lines).toHaveLength(21);
    expect(lines.slice(0, -1).every((line) => /^✓ [a-z-]+ +\S/.test(line))).toBe(true);
    expect(lines.at(-1)).toBe('20 ok, 0 failed');
  });
});

describe('one thing at a time is not in order', () => {
  const lineOf = ({ step, found }: Step) => `${step}: ${found}`;

  test('the token server wants another audience', async () => {
    await using _server = await startTokenServer({ audience: 'https://other.example' });

    const { code, of } = await doctor('--image', image());

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual([
      `login: localhost:${tokenPort} refuses this account (401 UNAUTHORIZED): the login is not accepted, or its user may not pull this (exchange-refused)`,
    ]);
    expect(of('failed')[0]?.cure).toBe(
      'compare what the registry trusts with the step claims, byte for byte',
    );
  });

  test('no access rule speaks of the repository', async () => {
    await using _server = await startTokenServer({ repositories: ['elsewhere/**'] });

    const { code, of } = await doctor('--image', image());

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual([
      `login: ${registry.host} refuses this account (401 insufficient_scope): the login is accepted, and its user may not pull this repository: grant it there (exchange-refused)`,
    ]);
  });

  test('there is no such image', async () => {
    await using _server = await startTokenServer();

    const { code, of } = await doctor('--image', `${registry.host}/shop/web:2`);

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual([
      `login: ${registry.host} refuses this account (404 MANIFEST_UNKNOWN): the login is accepted, and there is no such image (exchange-refused)`,
    ]);
  });

  test('the account is not annotated', async () => {
    const { code, of } = await doctor('--rule', 'quay');

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual([
      'parameters: ServiceAccount web has no annotation keyless-pull.dev/robot, which rule quay needs',
      'fence: the fence does not let the worker ask for tokens for quay.team.example',
    ]);
    expect(of('failed')[0]?.cure).toBe(
      "kubectl annotate serviceaccount web -n shop keyless-pull.dev/robot='organization+name'",
    );
    expect(of('skipped').map(lineOf)).toContain('token: because parameters failed');
  });

  test('the namespace has not opted in', async () => {
    await using _server = await startTokenServer();

    const { code, of } = await doctor('--account', 'closed/web');

    expect(code).toBe(1);
    expect(of('failed')).toEqual([
      {
        step: 'namespace',
        outcome: 'failed',
        found: 'namespace closed has not opted in: its pods are given no credentials',
        cure: 'kubectl label namespace closed keyless-pull.dev/inject=enabled --overwrite',
      },
    ]);
  });

  test('there is no such account', async () => {
    const { code, of } = await doctor('--account', 'shop/wep');

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual(['account: there is no ServiceAccount shop/wep']);
  });

  test('the user has no rights, and is told which', async () => {
    const { code, of } = await doctor('--as', 'nobody');

    expect(code).toBe(1);
    expect(of('failed').map(lineOf)).toEqual([
      'account: you may not read ServiceAccount shop/web',
      'issuer: you may not read the discovery document of the API server',
    ]);
    expect(of('skipped').map(lineOf)).toContain('fence: you may not read ValidatingAdmissionPolicies');
  });

  test('the worker itself is held by the fence, which knows the audience', async () => {
    const { code, of } = await doctor('--as', WORKER_USER);

    expect(code).toBe(0);
    expect(of('failed')).toEqual([]);
    expect(of('skipped').map(lineOf)).toContain(
      `token: the fence lets the worker ask for ${AUDIENCE}, bound to a Secret alone: run doctor as yourself for the rest`,
    );
  });

  test('the fence lacks the audience', async () => {
    await using _server = await startTokenServer();
    await installManifests(controlPlane, {
      audiences: ['https://other.example'],
      parts: ['rights', 'fences'],
    });

    const asUser = await doctor('--image', image());
    const asWorker = await doctor('--as', WORKER_USER);

    const found = `the fence does not let the worker ask for tokens for ${AUDIENCE}`;
    const cure = `add "${AUDIENCE}" to the variable audiences of the ValidatingAdmissionPolicy keyless-pull-worker-token-requests`;
    expect(asUser.code).toBe(1);
    expect(asUser.of('failed')).toEqual([{ step: 'fence', outcome: 'failed', found, cure }]);
    expect(asWorker.of('failed')).toEqual([{ step: 'token', outcome: 'failed', found, cure }]);
  });

  test('the API server is not there, which is no finding', async () => {
    const kubeconfig = file('nowhere.yaml', kubeconfigFor(`https://127.0.0.1:${await freePort()}`));

    const { code, of } = await doctor('--kubeconfig', kubeconfig);

    expect(code).toBe(2);
    expect(of('failed').map(lineOf)).toEqual([
      'cluster: the API server cannot be reached: nothing listens at its address (cluster-unreachable)',
    ]);
  });

  test.each([
    ['--kubeconfig=/nowhere/at/all', /^cannot read \/nowhere\/at\/all: .* \(file-unreadable\)$/],
    ['--context=nowhere', /^the kubeconfig has no context "nowhere": it knows .* \(config-invalid\)$/],
  ])('%s', async (flag, sentence) => {
    const { code, of } = await doctor(flag);

    expect(code).toBe(2);
    expect(of('failed').map(({ step }) => step)).toEqual(['cluster']);
    expect(of('failed')[0]?.found).toMatch(sentence);
  });
});

function kubeconfigFor(server: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'a',
    clusters: [{ name: 'a', cluster: { server } }],
    users: [{ name: 'a', user: { token: 'a' } }],
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
  });
}
