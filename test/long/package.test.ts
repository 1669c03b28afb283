// What `npm pack` makes, installed into an empty folder: every program of it runs there, on JavaScript, with no checkout about.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findParts } from '../../tools/parts.ts';
import manifest from '../../package.json' with { type: 'json' };

const MOST_KILOBYTES = 1_000;
const bins = Object.keys(manifest.bin);

let folder: string;
let tarball: string;
let installed: string;

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** In the empty folder, with this Node and the programs that npm linked first on PATH. */
function ran(command: string, words: readonly string[], more: Record<string, string> = {}): Promise<Ran> {
  const path = [join(folder, 'node_modules/.bin'), dirname(process.execPath), process.env['PATH']];
  const env = { ...process.env, PATH: path.join(delimiter), ...more };
  return promisify(execFile)(command, [...words], { cwd: folder, env }).then(
    (printed) => ({ code: 0, ...printed }),
    (error: Ran & Error) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-package-'));
  mkdirSync(join(folder, 'node_modules'));
  const packed = await promisify(execFile)('npm', ['pack', '--json', '--pack-destination', folder]);
  // What prepack prints comes before the list.
  const [{ filename } = { filename: '' }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as {
    filename: string;
  }[];
  tarball = join(folder, filename);
  const { code, stderr } = await ran('npm', ['install', '--prefer-offline', '--no-audit', tarball]);
  if (code !== 0) throw new Error(`npm install ended with ${code}: ${stderr}`);
  installed = join(folder, 'node_modules/keyless-pull');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('what is in it', () => {
  test('is JavaScript and what its README speaks of, without tests, tools and benches', () => {
    const inside = readdirSync(installed);
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });

    expect(inside).toEqual(expect.arrayContaining(['dist', 'docs', 'examples', 'webhook-config', 'LICENSE']));
    for (const name of ['src', 'test', 'tools', 'bench', 'Dockerfile', '.github'])
      expect(inside).not.toContain(name);
    expect(files.filter((path) => path.endsWith('.ts'))).toEqual([]);
  });

  test('is small', () => {
    const kilobytes = statSync(tarball).size / 1_000;

    console.log(`package: ${kilobytes.toFixed(0)} kB`);
    expect(kilobytes).toBeLessThan(MOST_KILOBYTES);
  });

  test('the links of its README lead somewhere, but for those to the tests', () => {
    const readme = readFileSync(join(installed, 'README.md'), 'utf8');
    const links = [...readme.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, link = '']) => link);

    expect(links.length).toBeGreaterThan(5);
    for (const link of links.filter((one) => !/^([a-z]+:|test\/)/.test(one)))
      expect(existsSync(join(installed, link)), link).toBe(true);
  });
});

describe('its programs', () => {
  test.each(bins)('%s --help', async (bin) => {
    expect(await ran(bin, ['--help'])).toMatchObject({ code: 0, stderr: '' });
  });

  test.each(bins)('%s tells an older Node which one it needs, in one sentence', async (bin) => {
    const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })`;

    const { code, stdout, stderr } = await ran(bin, ['--help'], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(older)}`,
    });

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^keyless-pull needs Node 24\.\d+ or later, and this is Node 20\.20\.2: .*\n$/);
  });

  test('render and check-config work on the examples that come along', async () => {
    const at = (name: string) => join(installed, 'examples/ecr', name);
    const files = ['-f', at('pod.yaml'), '--account', at('account.yaml'), '--config', at('config.yaml')];

    const rendered = await ran('keyless-pull', ['render', ...files]);
    const checked = await ran('keyless-pull', ['check-config', '--config', at('config.yaml')]);

    expect(rendered).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(rendered.stdout)).toMatchObject({ plan: { needs: [{ rule: 'ecr' }] } });
    expect(checked).toMatchObject({ code: 0, stderr: '' });
  });

  test('serve says what it lacks in one sentence', async () => {
    const { code, stderr } = await ran('keyless-pull', ['serve', '--config', 'missing.yaml']);

    expect(code).toBe(2);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('missing.yaml');
  });

  test('kubectl finds it as a plugin', async () => {
    const { kubectl } = await findParts(['kubectl']);

    expect(await ran(kubectl, ['keyless-pull', '--version'])).toMatchObject({
      code: 0,
      stdout: `${manifest.version}\n`,
    });
  });
});
