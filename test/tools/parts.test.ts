// Where parts are looked for, and what is said when they cannot be had; with a stand-in for Go, so nothing is compiled.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requiredVersion } from '../../tools/build-part.ts';

const program = join(import.meta.dirname, '../../tools/parts.ts');
const version = requiredVersion('control-plane', 'go.etcd.io/etcd/server/v3');
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-parts-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('without Go, assets and cache, one sentence says what is missing and what to do, and the exit code is 2', () => {
  const result = runParts(['etcd', 'kubectl'], { PATH: '' });

  expect(result.status).toBe(2);
  expect(result.stdout).toBe('');
  expect(result.stderr.trim().split('\n')).toHaveLength(1);
  expect(result.stderr).toMatch(
    /^Missing etcd, kubectl: not in KUBEBUILDER_ASSETS \(not set\), not in the cache/,
  );
  expect(result.stderr).toContain(join(folder, 'cache', 'parts'));
  expect(result.stderr).toMatch(
    /Go 1\.\d+\.\d+ or newer is not on PATH; install Go from https:\/\/go\.dev\/dl/,
  );
});

test('a Go that is too old is named with its version', () => {
  writeProgram(join(folder, 'bin', 'go'), 'echo go version go1.21.13 linux/amd64');

  const result = runParts(['etcd'], { PATH: join(folder, 'bin') });

  expect(result.status).toBe(2);
  expect(result.stderr).toMatch(/bin\/go is 1\.21\.13, and Go 1\.\d+\.\d+ or newer is wanted/);
});

test('a Go that refuses to switch its toolchain is quoted', () => {
  writeProgram(join(folder, 'bin', 'go'), 'echo "go: go.mod requires go >= 1.26.0" >&2; exit 1');

  const result = runParts(['etcd'], { PATH: join(folder, 'bin') });

  expect(result.status).toBe(2);
  expect(result.stderr).toContain('does not run: go: go.mod requires go >= 1.26.0');
});

test('KUBEBUILDER_ASSETS comes before the cache', () => {
  const assets = join(folder, 'assets');
  writeProgram(join(assets, 'etcd'), 'exit 0');
  writeProgram(cachedEtcd(), 'exit 0');

  const result = runParts(['etcd'], { PATH: '', KUBEBUILDER_ASSETS: assets });

  expect(result).toMatchObject({ status: 0, stdout: `etcd  ${join(assets, 'etcd')}\n`, stderr: '' });
});

test('a part in the cache is found by its version', () => {
  writeProgram(cachedEtcd(), 'exit 0');

  const result = runParts(['etcd'], { PATH: '' });

  expect(result).toMatchObject({ status: 0, stdout: `etcd  ${cachedEtcd()}\n`, stderr: '' });
});

test('a kubectl on PATH is taken only where it runs', () => {
  writeProgram(join(folder, 'good', 'kubectl'), '[ "$1" = version ]');
  writeProgram(join(folder, 'stub', 'kubectl'), 'echo "kubectl is not installed"; exit 1');

  expect(runParts(['kubectl'], { PATH: join(folder, 'good') }).stdout).toBe(
    `kubectl  ${join(folder, 'good', 'kubectl')}\n`,
  );
  expect(runParts(['kubectl'], { PATH: join(folder, 'stub') }).status).toBe(2);
});

test('a missing part is built into the cache, and progress goes to standard error', () => {
  // "go build … -o FILE PACKAGE": the file is the last argument but one.
  const build =
    'while [ $# -gt 2 ]; do shift; done; echo k8s.io/api/core/v1 >&2; echo built > "$1"; chmod 755 "$1"';
  writeProgram(
    join(folder, 'bin', 'go'),
    `if [ "$1" = version ]; then echo go version go1.99.0 x/y; else ${build}; fi`,
  );

  const result = runParts(['etcd'], { PATH: `${join(folder, 'bin')}:/usr/bin:/bin` });

  expect(result).toMatchObject({ status: 0, stdout: `etcd  ${cachedEtcd()}\n` });
  expect(result.stderr).toBe(
    `building etcd ${version} (about a minute the first time) …\nbuilt etcd ${version} in 0 s, 0 MB\n`,
  );
  expect(readdirSync(join(cachedEtcd(), '..'))).toEqual(['etcd']);
});

test('a failed build shows what Go said, leaves nothing in the cache, and the exit code is 1', () => {
  writeProgram(
    join(folder, 'bin', 'go'),
    'if [ "$1" = version ]; then echo go version go1.99.0 x/y; else echo "no space left on device" >&2; exit 1; fi',
  );

  const result = runParts(['etcd'], { PATH: join(folder, 'bin') });

  expect(result.status).toBe(1);
  expect(result.stderr).toContain('no space left on device');
  expect(existsSync(cachedEtcd())).toBe(false);
});

test('Chromium is the one that a variable names; without any, one sentence says what to install', () => {
  const named = join(folder, 'my-chromium');
  writeProgram(named, 'exit 0');

  expect(runParts(['chromium'], { PATH: '', KEYLESS_PULL_CHROMIUM: named }).stdout).toBe(
    `chromium  ${named}\n`,
  );
  expect(runParts(['chromium'], { PATH: '', KEYLESS_PULL_CHROMIUM: join(folder, 'none') })).toMatchObject({
    status: 2,
    stdout: '',
    stderr:
      'Missing chromium: not on PATH, and KEYLESS_PULL_CHROMIUM names no program: install Chromium or Chrome, or let KEYLESS_PULL_CHROMIUM name its program.\n',
  });
});

test('an unknown part is answered with the names there are', () => {
  const result = runParts(['kube-proxy'], { PATH: '' });

  expect(result.status).toBe(2);
  expect(result.stderr).toMatch(/^Unknown part kube-proxy; there are etcd, kube-apiserver/);
});

test('runc is the one on PATH, and nobody builds it', () => {
  writeProgram(join(folder, 'bin', 'runc'), 'exit 0');

  expect(runParts(['runc'], { PATH: join(folder, 'bin') }).stdout).toBe(
    `runc  ${join(folder, 'bin', 'runc')}\n`,
  );
  expect(runParts(['runc'], { PATH: '' })).toMatchObject({
    status: 2,
    stdout: '',
    stderr: expect.stringMatching(/^Missing runc: not on PATH, and .*: install runc, or put it on PATH\.\n$/),
  });
});

test('where no node can run, --node says in one sentence what it needs, and the exit code is 2', () => {
  const result = runParts(['--node'], { PATH: '' });

  expect(result).toMatchObject({ status: 2, stdout: '' });
  expect(result.stderr).toMatch(/^A node with a real kubelet cannot run here: .*\.\n$/);
});

function cachedEtcd(): string {
  return join(folder, 'cache', 'parts', `etcd-${version}-${process.platform}-${architecture}`, 'etcd');
}

function writeProgram(path: string, script: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

function runParts(names: readonly string[], environment: Record<string, string>) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...names], {
    encoding: 'utf8',
    env: { KEYLESS_PULL_CACHE: join(folder, 'cache'), ...environment },
  });
  return { status, stdout, stderr };
}
