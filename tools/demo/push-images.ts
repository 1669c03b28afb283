// Images in the private registry, pushed by an account of the cluster with its own token as the password.
import { readFileSync } from 'node:fs';
import { makeImage } from '../image.ts';
import type { ArchiveFile } from '../tar-archive.ts';
import { pushImage } from '../image-transfer.ts';
import { findParts } from '../parts.ts';
import { OTHER_TEAM, TEAM } from './manifests.ts';
import { AUDIENCE, BUILDER } from './program-configs.ts';
import type { Parts } from './stage.ts';

export const TAG = '1.0';

/** What lies in the registry: two images of the team's, and one of another's. */
export const REPOSITORIES = [`${TEAM}/web`, `${TEAM}/report`, `${OTHER_TEAM}/ledger`] as const;

/** Pushes them; returns the digests of their manifests by repository. */
export async function pushImages({
  screen,
  shell,
  registry,
  certificateAuthorityFile,
  passwords,
  node,
}: Omit<Parts, 'digests'>): Promise<Record<string, string>> {
  const { namespace, name } = BUILDER;
  await shell.kubectl(['create', 'namespace', namespace]);
  await shell.kubectl(['create', 'serviceaccount', name, '-n', namespace]);
  const { stdout } = await shell.kubectl(
    ['create', 'token', name, '-n', namespace, `--audience=${AUDIENCE}`, '--duration=10m'],
    { show: 'size' },
  );
  const password = stdout.trim();
  passwords.add(password);
  const authorization = { username: `${namespace}/${name}`, password };
  return screen.check(
    `${REPOSITORIES.length} images pushed by ${namespace}/${name}, with that token as the password`,
    async () => {
      const digests: Record<string, string> = {};
      // What is to run needs a program; any will do.
      const program = node ? [await waiter()] : [];
      for (const repository of REPOSITORIES) {
        const hello = { path: 'hello.txt', content: `${repository} ${TAG}\n` };
        const image = makeImage({ files: [hello, ...program], command: node ? ['/waiter'] : [] });
        const options = { image, authorization, certificateAuthorityFile };
        digests[repository] = await pushImage(registry.url, repository, TAG, options);
      }
      return digests;
    },
    () => REPOSITORIES.map((repository) => `${repository}:${TAG}`).join(', '),
  );
}

async function waiter(): Promise<ArchiveFile> {
  const { waiter } = await findParts(['waiter']);
  return { path: 'waiter', content: readFileSync(waiter), mode: 0o755 };
}
