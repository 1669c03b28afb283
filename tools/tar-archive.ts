// Archives as tar and container runtimes read them, made in memory.

/** `path` has no leading slash; `mode` is 0o644 when absent. */
export interface ArchiveFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode?: number;
}

const TAR_BLOCK = 512;

/** The same files always give the same bytes. */
export function tarArchive(files: readonly ArchiveFile[]): Buffer {
  const parts = files.flatMap(({ path, content, mode = 0o644 }) => {
    const body = Buffer.from(content);
    const padding = Buffer.alloc((TAR_BLOCK - (body.length % TAR_BLOCK)) % TAR_BLOCK);
    return [tarHeader(path, body.length, mode), body, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * TAR_BLOCK)]);
}

// POSIX ustar, with owner 0 and time 0: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
function tarHeader(path: string, size: number, mode: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, offset: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset);
  if (Buffer.byteLength(path) > 100) throw new Error(`too long for the header of an archive: ${path}`);
  header.write(path, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  // Blanks while the sum is taken; then "an ordinary file", and the format's name and version.
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\u000000', 257);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
