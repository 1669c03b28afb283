// The folder that servers and load generator share for one run: certificates of the run's own, the config, the answer.
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { CONFIG } from './review.ts';
import { FILES, type AnswerTemplate } from './server-child.ts';

export interface Folder extends AsyncDisposable {
  readonly path: string;
  readonly authority: string;
  /** To be called before a server starts that answers the same bytes. */
  writeAnswer(template: AnswerTemplate): Promise<void>;
}

/** Disposing it deletes it, and so does whatever else ends the process but SIGKILL. */
export async function createFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'keyless-pull-bench-'));
  const remove = () => rmSync(path, { recursive: true, force: true });
  process.once('exit', remove);
  const write = (name: keyof typeof FILES, text: string) =>
    writeFile(join(path, FILES[name]), text, { mode: 0o600 });
  const authority = await createCertificateAuthority('keyless-pull bench');
  const { certificate, key } = await authority.issue(['localhost']);
  await write('certificate', certificate);
  await write('key', key);
  await write('authority', authority.certificate);
  await write('config', CONFIG);
  return {
    path,
    authority: authority.certificate,
    writeAnswer: (template) => write('answer', JSON.stringify(template)),
    async [Symbol.asyncDispose]() {
      process.off('exit', remove);
      remove();
    },
  };
}
