// The real registry: pushed and pulled, openly and with a token server in front, as a kubelet would.
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, importPKCS8 } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CertificatePair } from '../../tools/certificates.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { startRegistry } from '../../tools/distribution-registry.ts';
import { makeImage } from '../../tools/image.ts';
import { pullImage, pushImage } from '../../tools/image-transfer.ts';

const login = { username: 'pod', password: 'short-lived' };
let folder: string;
let certificateAuthorityFile: string;
let pair: CertificatePair;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-registry-test-'));
  const authority = await createCertificateAuthority('registry test');
  pair = await authority.issue(['localhost', '127.0.0.1']);
  certificateAuthorityFile = write('ca.pem', authority.certificate);
});
afterAll(() => rmSync(folder, { recursive: true }));

test('an open registry gives back what was pushed, by tag and by digest, and is gone when stopped', async () => {
  const registry = await startRegistry();
  const image = makeImage({ format: 'docker' });

  const digest = await pushImage(registry.url, 'team/app', 'v1', { image });

  expect(digest).toBe(image.manifest.digest);
  expect((await pullImage(registry.url, 'team/app', 'v1')).manifest.digest).toBe(digest);
  expect((await pullImage(registry.url, 'team/app', digest)).blobs.map((blob) => blob.digest)).toEqual(
    image.blobs.map((blob) => blob.digest),
  );
  await expect(pullImage(registry.url, 'team/app', 'v2')).rejects.toMatchObject({ status: 404 });
  await registry.stop();
  expect(existsSync(registry.folder)).toBe(false);
});

test.for(['3', '2.8'] as const)(
  'a registry of %s with tokens lets in the login its token server accepts, and nobody else',
  async (line) => {
    await using tokenServer = await startTokenServer();
    await using registry = await startRegistry({
      line,
      auth: {
        realm: tokenServer.realm,
        service: 'registry.test',
        issuer: 'token-server.test',
        rootCertBundle: certificateAuthorityFile,
      },
      tls: {
        certificateFile: write('server.pem', pair.certificate),
        keyFile: write('server-key.pem', pair.key),
      },
    });
    const options = { certificateAuthorityFile, authorization: login };
    const wrong = { certificateAuthorityFile, authorization: { ...login, password: 'expired' } };

    const digest = await pushImage(registry.url, 'team/app', 'v1', options);
    const pulled = await pullImage(registry.url, 'team/app', 'v1', options);

    expect(pulled.manifest.digest).toBe(digest);
    expect(tokenServer.scopes).toEqual(['repository:team/app:pull,push', 'repository:team/app:pull']);
    await expect(pullImage(registry.url, 'team/app', 'v1', wrong)).rejects.toMatchObject({
      status: 401,
      address: tokenServer.realm,
    });
    await expect(pullImage(registry.url, 'team/app', 'v1', { certificateAuthorityFile })).rejects.toThrow(
      '401',
    );
  },
);

async function startTokenServer() {
  const scopes: string[] = [];
  const key = await importPKCS8(pair.key, 'ES256');
  const certificate = new X509Certificate(pair.certificate).raw.toString('base64');
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;

  async function answer(scope: string): Promise<string> {
    const [type, name, actions = ''] = scope.split(':');
    scopes.push([type, name, actions.split(',').toSorted().join(',')].join(':'));
    return new SignJWT({ access: [{ type, name, actions: actions.split(',') }] })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c: [certificate] })
      .setIssuer('token-server.test')
      .setAudience('registry.test')
      .setSubject(login.username)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(key);
  }

  const server = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
    const scope = new URL(request.url ?? '', 'https://localhost').searchParams.get('scope') ?? '';
    if (request.headers.authorization !== expected) {
      response.writeHead(401).end('wrong password');
      return;
    }
    answer(scope).then(
      (token) => response.writeHead(200).end(JSON.stringify({ token })),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    realm: `https://localhost:${port}/token`,
    scopes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}
