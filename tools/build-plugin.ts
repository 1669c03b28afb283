// `npm run build:plugin`: the kubelet's plugin as one executable of this platform in dist/. Bundled, loaded once, and the
// loaded state put into a copy of the Node that runs this (https://nodejs.org/api/single-executable-applications.html).
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** Where Node finds out that there is a program in it (NODE_SEA_FUSE of its own source). */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/**
 * Of V8, for a process that lives for the time of one answer: threads and compilers would only warm up, and hashes that are
 * not seeded anew are guessable by a registry that could as well not answer at all. Together a third of the time of a run.
 */
const FLAGS = ['--no-rehash-snapshot', '--no-sparkplug', '--single-threaded'];

/**
 * Modules of Node that a run without an exchange does not need, and that make the loaded state larger than it must be:
 * each of these functions loads its module when it is called. In loaded state there is no `import()` either.
 */
const late: Readonly<Record<string, string>> = {
  'node:crypto': lateFunctions('node:crypto', ['createHash', 'createHmac', 'hash', 'randomUUID']),
  // Imported when it is needed, which is when this is run.
  'node:https': "export const { Agent, request } = process.getBuiltinModule('node:https');",
  'node:timers/promises': lateFunctions('node:timers/promises', ['setTimeout']),
  'node:util': "export const inspect = { custom: Symbol.for('nodejs.util.inspect.custom') };",
};

function lateFunctions(module: string, names: readonly string[]): string {
  const call = (name: string) =>
    `export const ${name} = (...all) => process.getBuiltinModule('${module}').${name}(...all);`;
  return names.map(call).join('\n');
}

const lateModules: Plugin = {
  name: 'late-modules',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path }) =>
      Object.hasOwn(late, path) ? { path, namespace: 'late' } : undefined,
    );
    bundler.onLoad({ filter: /./, namespace: 'late' }, ({ path }) => ({ contents: late[path] ?? '' }));
  },
};

/** @returns the path of the executable, which is there whole or as it was */
export async function buildPlugin(
  target: string = join(root, 'dist/keyless-pull-credential-provider'),
): Promise<string> {
  mkdirSync(dirname(target), { recursive: true });
  const folder = mkdtempSync(join(dirname(target), '.build-plugin-'));
  try {
    const bundle = join(folder, 'plugin.cjs');
    await build({
      entryPoints: [join(root, 'src/plugin/snapshot.ts')],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node24',
      minify: true,
      plugins: [lateModules],
      outfile: bundle,
      logLevel: 'warning',
    });
    const blob = join(folder, 'plugin.blob');
    const settings = join(folder, 'sea.json');
    writeFileSync(
      settings,
      JSON.stringify({
        main: bundle,
        output: blob,
        disableExperimentalSEAWarning: true,
        useSnapshot: true,
        execArgv: FLAGS,
        // The kubelet's NODE_OPTIONS, if it has any, are not meant for this.
        execArgvExtension: 'none',
      }),
    );
    await run(process.execPath, ['--experimental-sea-config', settings]);
    const executable = join(folder, 'plugin');
    copyFileSync(process.execPath, executable);
    chmodSync(executable, 0o755);
    const inject = ['NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE];
    if (process.platform === 'darwin') inject.push('--macho-segment-name', 'NODE_SEA');
    await run(process.execPath, [join(root, 'node_modules/postject/dist/cli.js'), executable, ...inject]);
    if (process.platform === 'darwin') await run('codesign', ['--force', '--sign', '-', executable]);
    renameSync(executable, target);
    return target;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) console.log(await buildPlugin());
