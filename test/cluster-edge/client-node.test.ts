// What is loaded of client-node: a process of its own, for here other tests may have loaded it.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';

const cache = mkdtempSync(join(tmpdir(), 'keyless-pull-compiled-'));
afterAll(() => rmSync(cache, { recursive: true, force: true }));

/** Prints which of client-node's files were loaded, by Node's own account of what it looks for compiled. */
async function loadedBy(program: string): Promise<string[]> {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '--eval', program],
    {
      env: {
        ...process.env,
        NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
        NODE_COMPILE_CACHE: cache,
      },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  const paths = `${stdout}${stderr}`.matchAll(/file:\S*\/client-node\/dist\/([\w./-]+\.js)/g);
  return [...new Set([...paths].map(([, path = '']) => path))];
}

test('client-node comes without the clients and models of every API', async () => {
  const loaded = await loadedBy(`await import('${import.meta.dirname}/../../src/cluster/kube-cluster.ts')`);

  expect(loaded).toContain('config.js');
  expect(loaded.filter((path) => /^gen\/(index|apis|models|types)/.test(path))).toEqual([]);
  expect(loaded.length).toBeLessThan(40);
});

test('a client that its KubeConfig makes has its server all the same', async () => {
  const { KubeConfig } = await import('../../src/cluster/client-node.ts');
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'here', server: 'https://cluster.example', skipTLSVerify: false }],
    contexts: [{ name: 'here', cluster: 'here', user: 'me' }],
    users: [{ name: 'me' }],
    currentContext: 'here',
  });

  let server: unknown;
  config.makeApiClient(
    class {
      constructor(settings: {
        baseServer: { makeRequestContext(path: string, method: 'GET'): { getUrl(): string } };
      }) {
        server = settings.baseServer.makeRequestContext('/version', 'GET').getUrl();
      }
    } as unknown as Parameters<typeof config.makeApiClient>[0],
  );

  expect(server).toBe('https://cluster.example/version');
});
