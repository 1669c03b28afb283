// A tiny, valid container image made in memory: one gzip layer, a config and a manifest.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tarArchive } from './tar-archive.ts';
import type { ArchiveFile } from './tar-archive.ts';

/** Bytes with their media type and digest ("sha256:…"). */
export interface ImageBlob {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** An image: its manifest, and the blobs the manifest names (config first, then layers). */
export interface Image {
  readonly manifest: ImageBlob;
  readonly blobs: readonly ImageBlob[];
}

/** What may be chosen about an image. */
export interface ImageOptions {
  /** One small text file when absent. */
  readonly files?: readonly ArchiveFile[];
  /** The command a container of it runs; none when absent. */
  readonly command?: readonly string[];
  /** OCI's media types (default), or those of Docker's registry API. */
  readonly format?: 'oci' | 'docker';
}

const MEDIA_TYPES = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

/** The two manifest types above: what a puller says it accepts. */
export const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.oci.manifest, MEDIA_TYPES.docker.manifest];

const HELLO: ArchiveFile = { path: 'hello.txt', content: 'pulled without a long-lived key\n' };

/** Makes an image; the same options always give the same digests. */
export function makeImage({ files = [HELLO], command = [], format = 'oci' }: ImageOptions = {}): Image {
  const types = MEDIA_TYPES[format];
  const archive = tarArchive(files);
  const layer = blobOf(types.layer, gzipSync(archive));
  const config = jsonBlob(types.config, {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: command.length > 0 ? { Cmd: command } : {},
    // The digest of the archive before compression.
    rootfs: { type: 'layers', diff_ids: [sha256(archive)] },
  });
  const manifest = jsonBlob(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptorOf(config),
    layers: [descriptorOf(layer)],
  });
  return { manifest, blobs: [config, layer] };
}

/** The digest of some bytes as manifests write it. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function descriptorOf({ mediaType, digest, bytes }: ImageBlob): object {
  return { mediaType, digest, size: bytes.length };
}

function jsonBlob(mediaType: string, value: object): ImageBlob {
  return blobOf(mediaType, Buffer.from(JSON.stringify(value)));
}

function blobOf(mediaType: string, bytes: Uint8Array): ImageBlob {
  return { mediaType, digest: sha256(bytes), bytes };
}
