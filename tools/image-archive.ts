// An image as one file that containerd imports, for what no registry serves: the image of a pod's sandbox.
import type { Image } from './image.ts';
import { tarArchive } from './tar-archive.ts';

/** An OCI layout in a tar archive (https://specs.opencontainers.org/image-spec/image-layout/) under the name `reference`. */
export function imageArchive({ manifest, blobs }: Image, reference: string): Buffer {
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.bytes.length,
        annotations: { 'io.containerd.image.name': reference },
      },
    ],
  };
  return tarArchive([
    { path: 'oci-layout', content: JSON.stringify({ imageLayoutVersion: '1.0.0' }) },
    { path: 'index.json', content: JSON.stringify(index) },
    ...[manifest, ...blobs].map(({ digest, bytes }) => ({
      path: `blobs/${digest.replace(':', '/')}`,
      content: bytes,
    })),
  ]);
}
