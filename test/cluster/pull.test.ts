// The whole way with real parts: a real ServiceAccount token, the token server, the real registry, and the very Secret
// that the worker wrote.
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent, request } from 'undici';
import { systemClock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { createCertificateAuthority, type CertificateAuthority } from '../../tools/certificates.ts';
import { startRegistry, type DistributionRegistry } from '../../tools/distribution-registry.ts';
import { loginFromDockerConfig, pullImage, pushImage } from '../../tools/image-transfer.ts';
import { waitUntil } from '../../tools/processes.ts';
import { freePort } from '../../tools/free-ports.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import { openArena, type Arena } from './arena.ts';
import {
  REGISTRY_SERVICE,
  REGISTRY_TOKEN_ISSUER,
  startTokenServer,
  type TokenServerChoice,
} from './token-server-stage.ts';

const AUDIENCE = 'https://registry.pull.example';
const opened = new AsyncDisposableStack();
let arena: Arena;
let registry: DistributionRegistry;
let authority: CertificateAuthority;
let authorityFile: string;

const file = (name: string, text: string) => {
  const path = join(arena.controlPlane.folder, name);
  writeFileSync(path, text);
  return path;
};

const tokenServer = (port: number, change: Pick<TokenServerChoice, 'issuer' | 'clock'> = {}) =>
  startTokenServer({ controlPlane: arena.controlPlane, authority, audience: AUDIENCE, port, ...change });

/** What a container runtime asks the token server; resolves to the status. */
async function login(port: number, user: string, password: string): Promise<number> {
  const agent = new Agent({ connect: { ca: authority.certificate }, allowH2: false });
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const scope = encodeURIComponent('repository:shop/web:pull');
  const url = `https://localhost:${port}/auth/token?service=${REGISTRY_SERVICE}&scope=${scope}`;
  const response = await request(url, { dispatcher: agent, headers: { authorization } });
  await response.body.dump();
  await agent.close();
  return response.statusCode;
}

const tokenFor = (namespace: string, account: string, audience: string) =>
  serviceAccountToken(arena.controlPlane, namespace, account, {
    audiences: [audience],
    expirationSeconds: 600,
  });

let tokenPort: number;

beforeAll(async () => {
  arena = opened.use(await openArena({ audience: AUDIENCE, host: `127.0.0.1:${await freePort()}` }));
  authority = await createCertificateAuthority('pull');
  authorityFile = file('pull-ca.crt', authority.certificate);
  tokenPort = await freePort();
  opened.use(await tokenServer(tokenPort));
  registry = opened.use(
    await startRegistry({
      port: Number(arena.host.split(':')[1]),
      auth: {
        realm: `https://localhost:${tokenPort}/auth/token`,
        service: REGISTRY_SERVICE,
        issuer: REGISTRY_TOKEN_ISSUER,
        rootCertBundle: authorityFile,
      },
    }),
  );
  for (const namespace of ['shop', 'builds', 'rivals']) {
    await arena.addNamespace(namespace);
    await arena.addAccounts(namespace, 1);
  }
  const authorization = {
    username: 'builds/account-0',
    password: await tokenFor('builds', 'account-0', AUDIENCE),
  };
  await pushImage(registry.url, 'shop/web', '1', { authorization, certificateAuthorityFile: authorityFile });
  await arena.start('webhook', 'webhook');
  await arena.start('worker', 'worker');
});

afterAll(() => opened.disposeAsync());

async function loginOf(namespace: string) {
  await arena.addPods(namespace, 1, 1, 'shop/web');
  await arena.waitForRelease(namespace, 30);
  const name = secretNameFor('account-0', 'team', '', arena.host);
  let config = '';
  const isFilled = async () => {
    const { body } = await arena.controlPlane.admin<{ data?: Record<string, string> }>(
      'GET',
      `/api/v1/namespaces/${namespace}/secrets/${name}`,
    );
    config = Buffer.from(body.data?.['.dockerconfigjson'] ?? '', 'base64').toString();
    return config.includes(arena.host);
  };
  await waitUntil('the Secret is filled', isFilled, { deadlineMs: 30_000 });
  return loginFromDockerConfig(config, arena.host);
}

const pull = (authorization?: { username: string; password: string }) =>
  pullImage(registry.url, 'shop/web', '1', {
    certificateAuthorityFile: authorityFile,
    ...(authorization && { authorization }),
  });

describe('a pull from the real registry', () => {
  test('of manifest and blobs succeeds with the Secret that the worker wrote', async () => {
    const image = await pull(await loginOf('shop'));

    expect(image.blobs.length).toBeGreaterThanOrEqual(2);
  });

  test('fails without a credential', async () => {
    await expect(pull()).rejects.toMatchObject({ status: 401 });
  });

  test("fails with another namespace's own credential", async () => {
    await expect(loginOf('rivals').then(pull)).rejects.toMatchObject({ status: 401 });
  });
});

describe('the token server, asked with tokens of the real API server', () => {
  const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const partsOf = (token: string) => token.split('.') as [string, string, string];

  test('accepts the right one', async () => {
    expect(await login(tokenPort, 'shop/account-0', await tokenFor('shop', 'account-0', AUDIENCE))).toBe(200);
  });

  test('refuses one for another audience', async () => {
    expect(
      await login(tokenPort, 'shop/account-0', await tokenFor('shop', 'account-0', 'https://other.example')),
    ).toBe(401);
  });

  test("refuses one for the API server's own audience", async () => {
    const token = await tokenFor('shop', 'account-0', 'https://kubernetes.default.svc');

    expect(await login(tokenPort, 'shop/account-0', token)).toBe(401);
  });

  test("refuses one under another account's name", async () => {
    expect(await login(tokenPort, 'rivals/account-0', await tokenFor('shop', 'account-0', AUDIENCE))).toBe(
      401,
    );
  });

  test('refuses one whose signature was touched', async () => {
    const [header, payload, signature] = partsOf(await tokenFor('shop', 'account-0', AUDIENCE));
    const touched = `${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;

    expect(await login(tokenPort, 'shop/account-0', `${header}.${payload}.${touched}`)).toBe(401);
  });

  test('refuses one with the algorithm none', async () => {
    const [header, payload] = partsOf(await tokenFor('shop', 'account-0', AUDIENCE));
    const kid = JSON.parse(Buffer.from(header, 'base64url').toString()).kid;

    for (const signature of ['', 'x']) {
      expect(
        await login(
          tokenPort,
          'shop/account-0',
          `${base64url({ alg: 'none', kid })}.${payload}.${signature}`,
        ),
      ).toBe(401);
    }
  });

  test('refuses the same claims signed with a foreign key of the same name', async () => {
    const [header, payload] = partsOf(await tokenFor('shop', 'account-0', AUDIENCE));
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const forged = sign('RSA-SHA256', Buffer.from(`${header}.${payload}`), privateKey).toString('base64url');

    expect(await login(tokenPort, 'shop/account-0', `${header}.${payload}.${forged}`)).toBe(401);
  });

  test('refuses one that has expired', async () => {
    const token = await tokenFor('shop', 'account-0', AUDIENCE);
    const port = await freePort();
    const later = { ...systemClock, now: () => systemClock.now() + 700_000 };
    await using _server = await tokenServer(port, { clock: later });

    expect(await login(port, 'shop/account-0', token)).toBe(401);
  });

  test('refuses one of an issuer that it does not trust', async () => {
    const token = await tokenFor('shop', 'account-0', AUDIENCE);
    const port = await freePort();
    await using other = await createFakeIssuer({ clock: systemClock, audience: AUDIENCE });
    await using _server = await tokenServer(port, { issuer: other });

    expect(await login(port, 'shop/account-0', token)).toBe(401);
  });
});
