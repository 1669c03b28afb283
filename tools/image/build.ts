// `npm run build:image`: the Dockerfile built by Docker or Podman, or by Debian's buildah over a base that is made here, for
// machines that reach no registry.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findOnPath } from '../command-lines.ts';
import { openImageStore, run, type ImageStore } from './buildah.ts';
import { makeLocalBase } from './local-base.ts';
import manifest from '../../package.json' with { type: 'json' };

const ROOT = join(import.meta.dirname, '../..');
const HELP = `Usage: npm run build:image -- [options]

Options:
  --tag <name>       name of the image (default keyless-pull:${manifest.version})
  --base <image>     what the Dockerfile builds on (default: what it says)
  --platform <list>  such as linux/amd64,linux/arm64, where the builder can run them
  --local <archive>  no registry is asked: the base is made from this Debian and this Node by buildah, and the image
                     written as an archive for \`docker load\` or \`ctr images import\`
  --help             this text
`;

/** The Dockerfile by buildah, over a base that is made here. Returns the image's name. */
export async function buildLocally(store: ImageStore, tag: string): Promise<string> {
  const base = await makeLocalBase(store);
  const words = [
    '--isolation',
    'chroot',
    '--layers=false',
    '--format',
    'oci',
    ...(await registrySecrets(store)),
  ];
  await store.buildah('build', ...words, ...buildArguments(base), '--tag', tag, ROOT);
  return tag;
}

function buildArguments(base: string | undefined): string[] {
  const said = { VERSION: manifest.version, REVISION: revision(), ...(base !== undefined && { BASE: base }) };
  return Object.entries(said).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
}

function revision(): string {
  const { status, stdout } = spawnSync('git', ['-C', ROOT, 'rev-parse', 'HEAD'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : 'unknown';
}

/** The registry of packages and its authority are this machine's, in the build as outside of it. */
async function registrySecrets({ folder }: ImageStore): Promise<string[]> {
  const [registry, ownFile] = await Promise.all(
    ['registry', 'cafile'].map(async (name) => (await run('npm', ['config', 'get', name])).trim()),
  );
  const authority = ownFile === 'null' ? process.env['NODE_EXTRA_CA_CERTS'] : ownFile;
  const npmrc = join(folder, 'npmrc');
  writeFileSync(npmrc, `registry=${registry}\n${authority ? 'cafile=/run/secrets/ca\n' : ''}`);
  return [
    ...['--secret', `id=npmrc,src=${npmrc}`],
    ...(authority ? ['--secret', `id=ca,src=${authority}`] : []),
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      tag: { type: 'string', default: `keyless-pull:${manifest.version}` },
      base: { type: 'string' },
      platform: { type: 'string' },
      local: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.local !== undefined) {
    await using store = await openImageStore(process.stderr);
    await store.buildah('push', await buildLocally(store, values.tag), `docker-archive:${values.local}`);
    return 0;
  }
  const builder = ['docker', 'podman', 'buildah'].find((name) => findOnPath(name) !== undefined);
  if (builder === undefined) {
    console.error('Missing docker, podman and buildah: install one of them, or take --local on a Debian.');
    return 2;
  }
  const platform = values.platform === undefined ? [] : ['--platform', values.platform];
  const words = ['build', ...platform, ...buildArguments(values.base), '--tag', values.tag, ROOT];
  return spawnSync(builder, words, { stdio: 'inherit' }).status ?? 2;
}

if (import.meta.main) process.exitCode = await main();
