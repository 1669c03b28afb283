// The bytes of an image: digests must be right, or a registry refuses it and a node cannot unpack it.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { makeImage } from '../../tools/image.ts';
import { loginFromDockerConfig, pullImage } from '../../tools/image-transfer.ts';

test('the manifest names its config and layer by digest and size', () => {
  const { manifest, blobs } = makeImage();

  const parsed = parse(manifest.bytes);
  const [config, layer] = blobs;
  expect(manifest.digest).toBe(digestOf(manifest.bytes));
  expect(parsed).toMatchObject({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { digest: digestOf(config?.bytes), size: config?.bytes.length },
    layers: [{ digest: digestOf(layer?.bytes), size: layer?.bytes.length }],
  });
});

test('the config names the layer as it is before compression', () => {
  const [config, layer] = makeImage({ command: ['/app'] }).blobs;

  expect(parse(config?.bytes)).toMatchObject({
    os: 'linux',
    config: { Cmd: ['/app'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(gunzipSync(layer?.bytes ?? ''))] },
  });
});

test('the layer is an archive that tar reads, with modes and contents', () => {
  const files = [
    { path: 'bin/app', content: Buffer.alloc(1000, 'x'), mode: 0o755 },
    { path: 'empty', content: '' },
  ];
  const [, layer] = makeImage({ files }).blobs;

  const listing = spawnSync('tar', ['-tvzf', '-'], { input: layer?.bytes, encoding: 'utf8' });
  const content = spawnSync('tar', ['-xzOf', '-', 'bin/app'], { input: layer?.bytes, encoding: 'utf8' });

  expect(listing).toMatchObject({ status: 0, stderr: '' });
  expect(listing.stdout).toMatch(/^-rwxr-xr-x .* 1000 .*bin\/app\n-rw-r--r-- .* 0 .*empty\n$/);
  expect(content.stdout).toBe('x'.repeat(1000));
});

test('the same image has the same digests, another content another one', () => {
  const other = makeImage({ files: [{ path: 'hello.txt', content: 'another' }] });

  expect(makeImage().manifest.digest).toBe(makeImage().manifest.digest);
  expect(other.manifest.digest).not.toBe(makeImage().manifest.digest);
});

test('the Docker format has the media types of Docker', () => {
  const { manifest } = makeImage({ format: 'docker' });

  expect(manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
  expect(parse(manifest.bytes)).toMatchObject({
    layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }],
  });
});

test('a pull notices a layer whose bytes are not those of its digest', async () => {
  const { manifest } = makeImage();
  const server = createServer((request, response) => {
    response.end(request.url?.includes('/manifests/') ? manifest.bytes : 'something else');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const pull = pullImage(`http://127.0.0.1:${port}`, 'team/app', 'v1');

  await expect(pull).rejects.toThrow(/^blob should be sha256:[0-9a-f]{64} and is sha256:/);
  server.close();
});

test('a login is read from a docker config by its registry host', () => {
  const auth = Buffer.from('pod:a:b').toString('base64');
  const config = JSON.stringify({
    auths: { 'one.example:5000': { username: 'pod', password: 'secret' }, 'two.example': { auth } },
  });

  expect(loginFromDockerConfig(config, 'one.example:5000')).toEqual({ username: 'pod', password: 'secret' });
  expect(loginFromDockerConfig(config, 'two.example')).toEqual({ username: 'pod', password: 'a:b' });
  expect(loginFromDockerConfig(config, 'three.example')).toBeUndefined();
});

function digestOf(bytes: Uint8Array | undefined): string {
  return `sha256:${createHash('sha256')
    .update(bytes ?? '')
    .digest('hex')}`;
}

function parse(bytes: Uint8Array | undefined): unknown {
  return JSON.parse(Buffer.from(bytes ?? '').toString());
}
