// A serving certificate and its key in a folder of their own, renewed at will.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificateAuthority } from '../../tools/certificates.ts';

export interface CertificateFolder extends AsyncDisposable {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM of the authority that signs all of them. */
  readonly authority: string;
  /** Writes a new pair, or the halves that are named. Resolves to what it is. */
  renew(halves?: ('certificate' | 'key')[]): Promise<{ certificate: string; key: string }>;
  write(half: 'certificate' | 'key', text: string): Promise<void>;
}

/** With a first pair for localhost and 127.0.0.1 in place. */
export async function createCertificateFolder(): Promise<CertificateFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'keyless-pull-certificates-'));
  const authority = await createCertificateAuthority('test authority');
  const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const made: CertificateFolder = {
    certificateFile: files.certificate,
    keyFile: files.key,
    authority: authority.certificate,
    async renew(halves = ['certificate', 'key']) {
      const pair = await authority.issue(['localhost', '127.0.0.1']);
      for (const half of halves) await made.write(half, pair[half]);
      return pair;
    },
    write: (half, text) => writeFile(files[half], text),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
  await made.renew();
  return made;
}
