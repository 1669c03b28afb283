// The registry's side with real parts: both lines of the registry, the real API server, two clusters behind one token
// server, and keys that change under running registries.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent, request } from 'undici';
import { parseAllDocuments, stringify } from 'yaml';
import { describeKeySet, runTokenServer } from '../../src/cli/token-server.ts';
import { systemClock, type Clock } from '../../src/clock.ts';
import { createLog } from '../../src/log.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import {
  createCertificateAuthority,
  type CertificateAuthority,
  type CertificatePair,
} from '../../tools/certificates.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { startRegistry, type DistributionRegistry } from '../../tools/distribution-registry.ts';
import { freePort } from '../../tools/free-ports.ts';
import { pullImage, pushImage, type RegistryLogin } from '../../tools/image-transfer.ts';
import { waitUntil } from '../../tools/processes.ts';
import { createFakeIssuer, type FakeIssuer } from '../fakes/fake-issuer.ts';

const AUDIENCE = 'https://registry.lines.example';
const LINES = ['3', '2.8'] as const;
const opened = new AsyncDisposableStack();
let controlPlane: ControlPlane;
let edge: FakeIssuer;
let authority: CertificateAuthority;
let authorityFile: string;

/** Looks at files every half second instead of every ten, so that a test need not wait. */
const hurried: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 20, signal) };

const file = (name: string, text: string) => {
  const path = join(controlPlane.folder, name);
  writeFileSync(path, text);
  return path;
};

async function must(
  method: 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await controlPlane.admin(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

interface Wishes {
  readonly name: string;
  readonly check?: 'keys' | 'tokenReview';
  readonly header?: 'x5c' | 'kid';
  readonly key?: CertificatePair;
}

/** A token server for the real cluster and the one at the edge, and the files that its signing key is read from. */
async function startTokenServer({ name, check = 'keys', header = 'x5c', key }: Wishes) {
  const port = await freePort();
  const serving = await authority.issue(['localhost', '127.0.0.1']);
  const signing = key ?? (await authority.issue(['registry-tokens']));
  const { issuer, url, certificateAuthorityFile, tokens } = controlPlane;
  const bearerFile = file(`${name}.bearer`, tokens['admin'] ?? '');
  const tokenReview = {
    server: url,
    certificateAuthorityFile,
    bearerFile: join(controlPlane.folder, 'reviewer'),
  };
  const replaceKey = (pair: CertificatePair) => ({
    keyFile: file(`${name}-sign.key`, pair.key),
    certificateFile: file(`${name}-sign.crt`, pair.certificate),
  });
  const config = {
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: 'lines', issuer: 'keyless-pull' },
    signing: { keys: [replaceKey(signing)], header },
    listen: { host: '127.0.0.1', port },
    tls: {
      certificateFile: file(`${name}.crt`, serving.certificate),
      keyFile: file(`${name}.key`, serving.key),
    },
    issuers: [
      {
        issuer,
        audience: AUDIENCE,
        check,
        ...(check === 'keys' ? { certificateAuthorityFile, bearerFile } : { tokenReview }),
      },
      {
        issuer: edge.url,
        audience: AUDIENCE,
        certificateAuthorityFile: file('edge-ca.crt', edge.certificateAuthorityPem),
      },
    ],
    access: [
      { issuer, namespaces: ['*'], repositories: ['{namespace}/**'], actions: ['pull', 'push'] },
      {
        issuer: edge.url,
        namespaces: ['*'],
        repositories: ['edge/{namespace}/**'],
        actions: ['pull', 'push'],
      },
    ],
  };
  const configFile = file(`${name}.yaml`, stringify(config));
  const server = await runTokenServer({ config: configFile }, { clock: hurried, log: createLog('silent') });
  opened.use(server);
  return { url: `https://localhost:${port}/auth/token`, configFile, replaceKey };
}

async function startLine(
  line: (typeof LINES)[number],
  realm: string,
  trust: { rootCertBundle?: string; jwks?: string } = { rootCertBundle: authorityFile },
): Promise<DistributionRegistry> {
  const auth = { realm, service: 'lines', issuer: 'keyless-pull', ...trust };
  return opened.use(await startRegistry({ line, auth }));
}

const transfer = (authorization: RegistryLogin) => ({
  authorization,
  certificateAuthorityFile: authorityFile,
});

const clusterLogin = async (): Promise<RegistryLogin> => ({
  username: 'shop/web',
  password: await serviceAccountToken(controlPlane, 'shop', 'web', {
    audiences: [AUDIENCE],
    expirationSeconds: 600,
  }),
});

/** What a container runtime asks for; the status, and the certificate or key id that the token names. */
async function logIn(realm: string, { username, password }: RegistryLogin) {
  const agent = new Agent({ connect: { ca: authority.certificate }, allowH2: false });
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const response = await request(`${realm}?service=lines`, { dispatcher: agent, headers: { authorization } });
  const body = (await response.body.json()) as { token?: string };
  await agent.close();
  const header = Buffer.from(body.token?.split('.')[0] ?? '', 'base64url').toString() || '{}';
  return { status: response.statusCode, header: JSON.parse(header) as { kid?: string; x5c?: string[] } };
}

beforeAll(async () => {
  controlPlane = opened.use(await startControlPlane({ controllers: false }));
  edge = opened.use(await createFakeIssuer({ clock: systemClock, audience: AUDIENCE }));
  authority = await createCertificateAuthority('lines');
  authorityFile = file('lines-ca.crt', authority.certificate);
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } });
  await must('POST', '/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'web' } });
});

afterAll(() => opened.disposeAsync());

describe('with two clusters behind one token server', () => {
  let realm: string;
  const registries = new Map<string, DistributionRegistry>();
  let replaceKey: (pair: CertificatePair) => unknown;

  beforeAll(async () => {
    ({ url: realm, replaceKey } = await startTokenServer({ name: 'two' }));
    for (const line of LINES) registries.set(line, await startLine(line, realm));
  });

  const urlOf = (line: string) => registries.get(line)?.url ?? '';

  test.for(LINES)(
    'a registry of %s lets each push and pull what is its own, and nothing else',
    async (line) => {
      const own = transfer(await clusterLogin());
      const foreign = transfer({ username: 'team-a/builder', password: await edge.token() });

      await pushImage(urlOf(line), 'shop/web', '1', own);
      await pushImage(urlOf(line), 'edge/team-a/web', '1', foreign);

      expect((await pullImage(urlOf(line), 'shop/web', '1', own)).blobs.length).toBeGreaterThan(1);
      expect((await pullImage(urlOf(line), 'edge/team-a/web', '1', foreign)).blobs.length).toBeGreaterThan(1);
      await expect(pullImage(urlOf(line), 'shop/web', '1', foreign)).rejects.toMatchObject({ status: 401 });
      await expect(pullImage(urlOf(line), 'edge/team-a/web', '1', own)).rejects.toMatchObject({
        status: 401,
      });
    },
  );

  test('a signing key that is replaced costs no pull, while both registries keep running', async () => {
    const login = await clusterLogin();
    const leaf = async () => (await logIn(realm, login)).header.x5c?.[0];
    const before = await leaf();
    for (const line of LINES) await pushImage(urlOf(line), 'shop/rotating', '1', transfer(login));
    let pulls = 0;
    const pullEverywhere = async () => {
      for (const line of LINES) await pullImage(urlOf(line), 'shop/rotating', '1', transfer(login));
      pulls += LINES.length;
    };
    await pullEverywhere();

    replaceKey(await authority.issue(['registry-tokens-2']));
    await waitUntil(
      'the next key signs',
      async () => {
        await pullEverywhere();
        return (await leaf()) !== before;
      },
      { deadlineMs: 30_000 },
    );
    await pullEverywhere();

    expect(pulls).toBeGreaterThan(4);
  });
});

describe('with keys that the registry knows without an authority', () => {
  test('a bundle with both certificates carries both lines from one key to the next', async () => {
    const [first, second] = await Promise.all([selfSigned('first'), selfSigned('second')]);
    const bundle = file('pinned.pem', `${first.certificate}${second.certificate}`);
    const { url, replaceKey } = await startTokenServer({ name: 'pinned', key: first });
    const login = await clusterLogin();
    const registries = await Promise.all(
      LINES.map((line) => startLine(line, url, { rootCertBundle: bundle })),
    );
    const before = (await logIn(url, login)).header.kid;
    for (const registry of registries) await pushImage(registry.url, 'shop/web', '1', transfer(login));

    replaceKey(second);
    await waitUntil('the next key signs', async () => (await logIn(url, login)).header.kid !== before, {
      deadlineMs: 30_000,
    });

    for (const registry of registries)
      await expect(pullImage(registry.url, 'shop/web', '1', transfer(login))).resolves.toBeDefined();
  });

  test('a jwks file as --print-jwks writes it does for 3.x, if tokens name their key by id', async () => {
    const { url, configFile } = await startTokenServer({ name: 'by-id', header: 'kid' });
    const { url: byChain } = await startTokenServer({ name: 'by-chain' });
    const jwks = file('registry.jwks', describeKeySet(configFile));
    const login = await clusterLogin();
    const registry = await startLine('3', url, { jwks });
    const refusing = await startLine('3', byChain, { jwks });

    await pushImage(registry.url, 'shop/web', '1', transfer(login));

    expect((await logIn(url, login)).header).not.toHaveProperty('x5c');
    await expect(pullImage(registry.url, 'shop/web', '1', transfer(login))).resolves.toBeDefined();
    await expect(pushImage(refusing.url, 'shop/web', '1', transfer(login))).rejects.toMatchObject({
      status: 401,
    });
  });

  test('a registry of 2.8 that pins the certificate takes tokens that name it by id', async () => {
    const key = await selfSigned('by id');
    const { url } = await startTokenServer({ name: 'old-by-id', header: 'kid', key });
    const registry = await startLine('2.8', url, { rootCertBundle: file('old-by-id.pem', key.certificate) });
    const login = await clusterLogin();

    await pushImage(registry.url, 'shop/web', '1', transfer(login));

    await expect(pullImage(registry.url, 'shop/web', '1', transfer(login))).resolves.toBeDefined();
  });

  /** As `openssl req -x509` makes it: the authority itself signs. */
  async function selfSigned(name: string): Promise<CertificatePair> {
    const { certificate, key } = await createCertificateAuthority(name);
    return { certificate, key };
  }
});

describe('with check: tokenReview, as an account that has the rights of the example and no other', () => {
  let realm: string;

  beforeAll(async () => {
    const manifests = parseAllDocuments(readFileSync('examples/token-server/token-review.yaml', 'utf8'));
    for (const document of manifests) {
      const object = document.toJS() as { kind: string; metadata: { namespace?: string } };
      await must('POST', pathOf(object), object);
    }
    file('reviewer', await serviceAccountToken(controlPlane, 'registry-auth', 'token-server'));
    ({ url: realm } = await startTokenServer({ name: 'review', check: 'tokenReview' }));
  });

  const pathOf = ({ kind, metadata: { namespace } }: { kind: string; metadata: { namespace?: string } }) => {
    const plural = `${kind.toLowerCase()}s`;
    if (kind.startsWith('ClusterRole')) return `/apis/rbac.authorization.k8s.io/v1/${plural}`;
    return namespace === undefined ? `/api/v1/${plural}` : `/api/v1/namespaces/${namespace}/${plural}`;
  };

  test('a token that is bound to a Secret opens the registry until the Secret is deleted', async () => {
    const secret = await must('POST', '/api/v1/namespaces/shop/secrets', { metadata: { name: 'pull' } });
    const { uid } = secret['metadata'] as { uid: string };
    const made = await must('POST', '/api/v1/namespaces/shop/serviceaccounts/web/token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: [AUDIENCE],
        expirationSeconds: 600,
        boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'pull', uid },
      },
    });
    const { token: password } = made['status'] as { token: string };
    const login = { username: 'shop/web', password };
    const registry = await startLine('3', realm);
    await pushImage(registry.url, 'shop/web', '1', transfer(login));

    await must('DELETE', '/api/v1/namespaces/shop/secrets/pull');

    await waitUntil('the password is refused', async () => (await logIn(realm, login)).status === 401, {
      deadlineMs: 30_000,
    });
    await expect(pullImage(registry.url, 'shop/web', '1', transfer(login))).rejects.toMatchObject({
      status: 401,
    });
  });

  test('a token for another audience, or of nobody, is refused', async () => {
    const password = await serviceAccountToken(controlPlane, 'shop', 'web', {
      audiences: ['https://other.example'],
    });

    expect((await logIn(realm, { username: 'shop/web', password })).status).toBe(401);
    expect((await logIn(realm, { username: 'shop/web', password: 'x' })).status).toBe(401);
  });

  test('nobody gets in while the API server is away', async () => {
    const fresh = await clusterLogin();
    await controlPlane.stopApiServer();

    expect((await logIn(realm, fresh)).status).toBe(503);
    expect((await logIn(realm, { username: 'team-a/builder', password: await edge.token() })).status).toBe(
      200,
    );
    await controlPlane.startApiServer();
    expect((await logIn(realm, fresh)).status).toBe(200);
  });
});
