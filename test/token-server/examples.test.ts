// The example's files and the snippets of its README are taken as they stand there.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { runProgram } from '../../src/cli/program.ts';
import { loadTokenServerConfig, parseTokenServerConfig } from '../../src/token-server/token-server-config.ts';

const folder = 'examples/token-server';
const readme = readFileSync(`${folder}/README.md`, 'utf8');
const blocks = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block = '']) => block);
const blockWith = (text: string) => blocks.find((block) => block.includes(text)) ?? '';

interface Deployment {
  readonly spec: { readonly template: { readonly spec: PodSpec } };
}

interface PodSpec {
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly ports: unknown;
    readonly livenessProbe: { readonly httpGet: unknown };
    readonly readinessProbe: { readonly httpGet: unknown };
  }[];
  readonly volumes: readonly {
    readonly projected: {
      readonly sources: readonly {
        readonly secret?: { readonly items: readonly { readonly path: string }[] };
      }[];
    };
  }[];
}

async function helpOf(command: string): Promise<string> {
  let out = '';
  await runProgram('keyless-pull', [command, '--help'], {
    out: (text) => void (out += text),
    err: () => undefined,
    readStdin: async () => '',
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return out;
}

describe('the example', () => {
  test.for(['token-server.yaml', 'two-clusters.yaml'])('%s is accepted', (name) => {
    expect(() => loadTokenServerConfig(`${folder}/${name}`)).not.toThrow();
  });

  test('token-review.yaml gives one account two rights', () => {
    const objects = parseAllDocuments(readFileSync(`${folder}/token-review.yaml`, 'utf8')).map(
      (document) => document.toJS() as { kind: string; rules?: unknown },
    );

    expect(objects.map(({ kind }) => kind)).toEqual([
      'Namespace',
      'ServiceAccount',
      'ClusterRole',
      'ClusterRoleBinding',
    ]);
    expect(objects[2]?.rules).toEqual([
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      { nonResourceURLs: ['/openid/v1/jwks'], verbs: ['get'] },
    ]);
  });

  test('deployment.yaml probes the port that it opens, and mounts every file that the config names', () => {
    const [deployment] = parseAllDocuments(readFileSync(`${folder}/deployment.yaml`, 'utf8')).map(
      (document) => document.toJS() as Deployment,
    );
    const { containers, volumes } = deployment?.spec.template.spec ?? { containers: [], volumes: [] };
    const [container] = containers;
    const { signing, tls, listen } = loadTokenServerConfig(`${folder}/token-server.yaml`);
    const mounted = volumes[0]?.projected.sources.flatMap(({ secret }) => secret?.items ?? []);

    expect(container?.args.join(' ')).toBe('token-server --config token-server.yaml --metrics-port 9090');
    expect(container?.ports).toEqual([
      { name: 'https', containerPort: listen.port },
      { name: 'metrics', containerPort: 9090 },
    ]);
    expect(container?.livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'metrics' });
    expect(container?.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'metrics' });
    expect(new Set(mounted?.map(({ path }) => path))).toEqual(
      new Set([tls, ...signing.keys].flatMap((pair) => [pair?.keyFile, pair?.certificateFile])),
    );
  });

  test('deployment.yaml loses one replica to a node that is drained, and keeps its metrics from strangers', () => {
    const objects = parseAllDocuments(readFileSync(`${folder}/deployment.yaml`, 'utf8')).map(
      (document) => document.toJS() as { kind: string; metadata: { namespace: string }; spec: object },
    );
    const find = (kind: string) => objects.find((object) => object.kind === kind);
    const ours = { matchLabels: { app: 'token-server' } };

    expect(find('Deployment')?.spec).toMatchObject({
      selector: ours,
      template: { spec: { topologySpreadConstraints: [{ labelSelector: ours }] } },
    });
    expect(find('PodDisruptionBudget')?.spec).toMatchObject({ maxUnavailable: 1, selector: ours });
    expect(find('NetworkPolicy')?.spec).toMatchObject({
      podSelector: ours,
      policyTypes: ['Ingress'],
      ingress: [
        { ports: [{ port: 'https' }] },
        { ports: [{ port: 'metrics' }], from: [{ namespaceSelector: expect.anything() as unknown }] },
      ],
    });
    expect(new Set(objects.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['registry-auth']));
  });

  test('the access rules of the README are accepted', () => {
    const text = readFileSync(`${folder}/token-server.yaml`, 'utf8').replace(/^access:[\s\S]*/m, '');

    expect(() => parseTokenServerConfig(text + blockWith('access:'), 'README.md')).not.toThrow();
  });

  test("the README's docker_auth snippet passes flags that verify-token has, and labels that it writes", async () => {
    const { ext_auth: extAuth, acl } = parse(blockWith('ext_auth:')) as {
      ext_auth: { args: string[] };
      acl: { match: { labels: Record<string, string> } }[];
    };
    const [command = '', ...flags] = extAuth.args;
    const help = await helpOf(command);

    expect(flags.length).toBeGreaterThan(2);
    for (const flag of flags) expect(help).toContain(`${flag.split('=')[0]} `);
    expect(Object.keys(acl[0]?.match.labels ?? {})).toEqual(['serviceAccount']);
  });

  test('the commands of the README exist', async () => {
    const help = `${await helpOf('token-server')}${await helpOf('verify-token')}`;

    expect(readme).toContain('keyless-pull token-server --config token-server.yaml --print-jwks');
    expect(help).toContain('--print-jwks');
  });
});
