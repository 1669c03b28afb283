// Files that a person named: their text, or the sentence that says why there is none.
import { readFileSync, statSync } from 'node:fs';
import { Problem } from './problem.ts';

/** @throws Problem `file-unreadable` */
export function readText(path: string): string {
  return reading(path, () => readFileSync(path, 'utf8'));
}

/** @throws Problem `file-unreadable` */
export function isFolder(path: string): boolean {
  return reading(path, () => statSync(path).isDirectory());
}

/** @throws Problem `file-unreadable` for whatever `read` throws */
export function reading<Found>(path: string, read: () => Found): Found {
  try {
    return read();
  } catch (cause) {
    throw new Problem('file-unreadable', `cannot read ${path}: ${errnoText(cause)}`, { cause });
  }
}

/**
 * Certificates to verify others with, as PEM. A text without any is refused: to Node an empty one means the system's
 * authorities, which nobody asked for. @throws Problem `file-unreadable`
 */
export function readAuthorities(path: string): string {
  const pem = readText(path);
  if (/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(pem)) return pem;
  throw new Problem('file-unreadable', `${path} holds no certificate`);
}

/** The text of a system error's code, for sentences: never its message, which repeats the path and more. */
export function errnoText(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EEXIST':
      return 'it is there already';
    case 'EISDIR':
      return 'it is a folder';
    case 'EADDRINUSE':
      return 'another program listens there';
    case 'EADDRNOTAVAIL':
      return 'the address is not one of this machine';
    default:
      return typeof code === 'string' ? code : 'unknown error';
  }
}
