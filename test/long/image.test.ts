// The image as the Dockerfile says it, built over a base that is made on this machine: what is in it, and that it runs as a
// node would run it. Needs root on a Debian, which has buildah.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { buildLocally } from '../../tools/image/build.ts';
import { openImageStore, type ImageStore } from '../../tools/image/buildah.ts';
import { startInImage, type ImageRun } from '../../tools/image/image-root.ts';
import { freePort } from '../../tools/free-ports.ts';
import { OWN_NAMESPACE } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { openArena } from '../cluster/arena.ts';
import lock from '../../package-lock.json' with { type: 'json' };
import manifest from '../../package.json' with { type: 'json' };

const TAG = 'localhost/keyless-pull:test';
const SBOM = 'usr/share/sbom/keyless-pull.cdx.json';
const MOST_MEGABYTES = 200;
const MOST_COMPRESSED_MEGABYTES = 65;

interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
}

let store: ImageStore;
let root: string;
let config: ImageConfig;

beforeAll(async () => {
  store = await openImageStore(process.stderr);
  await buildLocally(store, TAG);
  root = await store.unpack(TAG);
  const told = JSON.parse(await store.buildah('inspect', '--type', 'image', TAG)) as {
    OCIv1: { config: ImageConfig };
  };
  config = told.OCIv1.config;
});
afterAll(() => store[Symbol.asyncDispose]());

/** Paths below the root, of files alone. */
function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

const environment = () => Object.fromEntries(config.Env.map((line) => line.split(/=(.*)/s).slice(0, 2)));

/** As the image's own entry point, or another program. */
function start(words: readonly string[], more: Partial<ImageRun> = {}) {
  return startInImage({
    root,
    ...more,
    words: more.words ?? [...config.Entrypoint, ...words],
    environment: { ...environment(), ...more.environment },
  });
}

async function run(words: readonly string[], more: Partial<ImageRun> = {}) {
  const child = start(words, more);
  const streams = [child.stdout, child.stderr].map((stream) => (stream ? text(stream) : ''));
  const [[code], out, err] = await Promise.all([once(child, 'close'), ...streams]);
  return { code: Number(code), out: String(out), err: String(err) };
}

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
}

const componentsOf = (kind: string) =>
  (JSON.parse(readFileSync(join(root, SBOM), 'utf8')) as { components: Component[] }).components
    .filter(({ purl }) => purl.startsWith(`pkg:${kind}/`))
    .map(({ name, version }) => `${name}@${version}`)
    .toSorted();

/** What lies in node_modules folders, however deep, as npm would name it. */
function installedPackages(): string[] {
  const manifests = filesIn('app/node_modules').filter((path) =>
    /node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/.test(path),
  );
  const named = manifests.map((path) => {
    const { name, version } = JSON.parse(readFileSync(join(root, path), 'utf8')) as Component;
    return `${name}@${version}`;
  });
  return [...new Set(named)].toSorted();
}

describe('what is in it', () => {
  test('is small', () => {
    const bytes = Number(execFileSync('du', ['-sb', root], { encoding: 'utf8' }).split('\t')[0]);
    const packed = execFileSync('sh', ['-c', 'tar -C "$1" -cf - . | gzip | wc -c', 'sh', root]);

    console.log(`image: ${(bytes / 1e6).toFixed(0)} MB, ${(Number(packed) / 1e6).toFixed(0)} MB compressed`);
    expect(bytes / 1e6).toBeLessThan(MOST_MEGABYTES);
    expect(Number(packed) / 1e6).toBeLessThan(MOST_COMPRESSED_MEGABYTES);
  });

  test('is run by nobody in particular, and says what it is', () => {
    expect(config.User).toBe('65532:65532');
    expect(config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'keyless-pull',
      'org.opencontainers.image.licenses': manifest.license,
      'org.opencontainers.image.version': manifest.version,
      'org.opencontainers.image.base.name': 'localhost/keyless-pull-base',
    });
    expect(config.Labels['org.opencontainers.image.revision']).toMatch(/^[0-9a-f]{40}$/);
  });

  test('is no program but Node: no shell, no package manager', () => {
    const programs = ['bin', 'sbin', 'usr'].flatMap((folder) =>
      existsSync(join(root, folder))
        ? filesIn(folder).filter((path) => (lstatSync(join(root, path)).mode & 0o111) !== 0)
        : [],
    );

    expect(programs.filter((path) => !/\.so(\.\d+)*$/.test(path))).toEqual(['usr/local/bin/node']);
  });

  test('can be written by nobody but root, the compiled code too', () => {
    const others = ['!', '-user', 'root', '-o', '!', '-type', 'l', '-perm', '/022'];

    expect(execFileSync('find', [root, '(', ...others, ')'], { encoding: 'utf8' })).toBe('');
  });

  test('has every production dependency of the lock file, at its version, and no other', () => {
    const wanted = Object.entries(lock.packages as Record<string, { version?: string; dev?: boolean }>)
      .filter(([path, { dev }]) => path !== '' && !dev)
      .map(([path, { version }]) => `${path.split('node_modules/').at(-1)}@${version}`);
    const inside = installedPackages();

    expect(wanted).toEqual(expect.arrayContaining(inside));
    for (const [name, version] of Object.entries(manifest.dependencies))
      expect(inside).toContain(`${name}@${version}`);
    for (const name of ['typescript', 'vitest', 'oxlint', 'node'])
      expect(inside.filter((one) => one.startsWith(`${name}@`))).toEqual([]);
  });

  test('is what its SBOM lists: npm packages, Node, and the Debian packages of every library', () => {
    const debian = readdirSync(join(root, 'var/lib/dpkg/status.d'));
    const libraries = ['lib', 'lib64', 'usr/lib']
      .filter((folder) => existsSync(join(root, folder)))
      .flatMap(filesIn)
      .map((path) => basename(path));

    expect(componentsOf('npm')).toEqual(installedPackages());
    expect(componentsOf('generic')).toEqual([`node@${process.versions.node}`]);
    expect(componentsOf('deb').map((one) => one.split('@')[0])).toEqual(debian.toSorted());
    expect(debian).toEqual(expect.arrayContaining(['libc6', 'libstdc++6']));
    expect(libraries).toEqual(expect.arrayContaining(['libc.so.6', 'libstdc++.so.6']));
    for (const name of debian) expect(existsSync(join(root, 'usr/share/doc', name, 'copyright'))).toBe(true);
  });
});

describe('how it runs', () => {
  test('commands that need no cluster', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, out: `${manifest.version}\n`, err: '' });
    expect((await run(['serve', '--help'])).out).toContain('Usage: keyless-pull serve');
    expect((await run(['token-server', '--help'])).out).toContain('Usage: keyless-pull token-server');
  });

  test('finds all that it loads compiled, though it can write nothing', async () => {
    const { code, out, err } = await run([], {
      words: ['/usr/local/bin/node', '--max-semi-space-size=8', '-e', "import('/app/src/cli/serve.ts')"],
      environment: { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' },
    });

    const lines = `${out}${err}`.split('\n').filter((line) => /V8 code cache for .* file:/.test(line));
    expect(code).toBe(0);
    expect(lines.length).toBeGreaterThan(200);
    expect(lines.filter((line) => !line.includes('was accepted'))).toEqual([]);
  });

  test('serve is ready on a real API server: as 65532, without capabilities, with a root that is read-only', async () => {
    await using arena = await openArena();
    const { folder, certificateAuthorityFile } = arena.controlPlane;
    const configFolder = join(folder, 'image');
    mkdirSync(configFolder);
    for (const name of ['config.yaml', 'tls.crt', 'tls.key'])
      writeFileSync(join(configFolder, name), readFileSync(join(folder, name)), { mode: 0o644 });
    writeFileSync(
      join(configFolder, 'kubeconfig'),
      withAuthority(await arena.kubeconfig(), certificateAuthorityFile),
    );
    const [port, metricsPort] = [await freePort(), await freePort()];
    const at = (name: string) => `/etc/keyless-pull/${name}`;

    const child = start(
      [
        ...['serve', '--config', at('config.yaml'), '--kubeconfig', at('kubeconfig')],
        ...['--namespace', OWN_NAMESPACE, '--tls-cert', at('tls.crt'), '--tls-key', at('tls.key')],
        ...['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)],
      ],
      { configFolder },
    );
    const [out, err] = [child.stdout, child.stderr].map((stream) => (stream ? text(stream) : ''));
    const ended = once(child, 'exit');
    await waitUntil(
      'the image is ready',
      async () => (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status === 200,
      { deadlineMs: 60_000 },
    );
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const mounts = readFileSync(`/proc/${child.pid}/mountinfo`, 'utf8');
    child.kill('SIGTERM');

    expect(await ended).toEqual([0, null]);
    expect(await err).toBe('');
    expect(await out).toContain('"stopped"');
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(mounts.split('\n').find((line) => line.split(' ')[4] === '/')).toMatch(/ \/ ro[, ]/);
  });
});

/** The files that a kubeconfig names are not in the image. */
function withAuthority(file: string, authority: string): string {
  const read = parse(readFileSync(file, 'utf8')) as { clusters: { cluster: Record<string, string> }[] };
  for (const { cluster } of read.clusters) {
    delete cluster['certificate-authority'];
    cluster['certificate-authority-data'] = readFileSync(authority).toString('base64');
  }
  return stringify(read);
}
