// The example of credentials inside the pod, run through what the webhook runs: each container sees what its pod asks for.
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readFileSync } from 'node:fs';
import { runProgram } from '../src/cli/program.ts';
import { DOCKER_CONFIG_PATH, TOKEN_PATH } from '../src/core/pod-mounts.ts';
import { secretNameFor } from '../src/core/pull-secret.ts';

const FOLDER = 'examples/in-pod';

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly volumeMounts?: readonly { readonly mountPath: string; readonly readOnly: boolean }[];
}
interface Rendered {
  readonly result: {
    readonly spec: { readonly containers: readonly Container[]; readonly volumes: readonly object[] };
  };
  readonly plan: { readonly needs: readonly { readonly rule: string }[]; readonly inPod: object };
  readonly warnings: readonly string[];
}

async function rendered(): Promise<Rendered[]> {
  let out = '';
  const at = (name: string) => `${FOLDER}/${name}.yaml`;
  const words = ['render', '-f', at('pod'), '--account', at('account'), '--config', at('config')];
  const code = await runProgram('keyless-pull', words, {
    out: (text) => (out += text),
    err: () => undefined,
    readStdin: async () => '',
    signal: new AbortController().signal,
    isTerminal: false,
  });
  expect(code).toBe(0);
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Rendered);
}

const pathsOf = ({ volumeMounts = [] }: Container) => volumeMounts.map(({ mountPath }) => mountPath);

test('the job copies with a docker config for a registry that it pulls no image from', async () => {
  const [job] = await rendered();
  const [crane] = job?.result.spec.containers ?? [];
  const secretName = secretNameFor('releaser', 'releases', '', 'releases.team.example');

  expect(job?.warnings).toEqual([]);
  expect(job?.plan.needs.map(({ rule }) => rule)).toEqual(['team-registry', 'releases']);
  expect(job?.plan.inPod).toEqual({ dockerConfig: { secretName, containers: ['crane'] } });
  expect(crane?.env).toEqual([{ name: 'DOCKER_CONFIG', value: DOCKER_CONFIG_PATH }]);
  expect(crane && pathsOf(crane)).toEqual([DOCKER_CONFIG_PATH]);
});

test('the uploader finds its token where its arguments say, and the app beside it none', async () => {
  const [, pod] = await rendered();
  const [uploader, app] = pod?.result.spec.containers ?? [];

  expect(pod?.warnings).toEqual([]);
  expect(uploader && pathsOf(uploader)).toEqual([TOKEN_PATH]);
  expect(uploader?.args).toEqual([`--token-file=${TOKEN_PATH}/team-registry/token`]);
  expect(app && pathsOf(app)).toEqual([]);
  expect(pod?.result.spec.volumes).toEqual([
    {
      name: 'keyless-pull-tokens',
      projected: {
        sources: [
          {
            serviceAccountToken: {
              audience: 'https://registry.team.example',
              expirationSeconds: 3600,
              path: 'team-registry/token',
            },
          },
        ],
      },
    },
  ]);
});

test('its README is short, and names rules and paths that are there', () => {
  const readme = readFileSync(`${FOLDER}/README.md`, 'utf8');
  const config = parse(readFileSync(`${FOLDER}/config.yaml`, 'utf8')) as { rules: { name: string }[] };
  const kinds = ['account', 'pod'].flatMap((name) =>
    parseAllDocuments(readFileSync(`${FOLDER}/${name}.yaml`, 'utf8')).map((one) => one.get('kind')),
  );

  expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(30);
  for (const path of [DOCKER_CONFIG_PATH, `${TOKEN_PATH}/<rule>/token`]) expect(readme).toContain(path);
  expect(config.rules.map(({ name }) => name)).toEqual(['team-registry', 'releases']);
  expect(kinds).toEqual(['Namespace', 'ServiceAccount', 'Job', 'Pod']);
});
