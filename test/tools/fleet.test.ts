// examples/fleet as kubectl reads it: every kind of cluster gets the whole installation, its own config, and a fence that knows
// the audiences of that config.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { findParts } from '../../tools/parts.ts';
import { manifestFiles, readManifests, type Manifest } from '../../tools/install.ts';

const FENCE = 'keyless-pull-worker-token-requests';

let kubectl: string;
beforeAll(async () => {
  ({ kubectl } = await findParts(['kubectl']));
});

async function build(folder: string): Promise<Manifest[]> {
  const { stdout, stderr } = await promisify(execFile)(kubectl, ['kustomize', `examples/fleet/${folder}`]);
  expect(stderr).toBe('');
  return parseAllDocuments(stdout).map((document): Manifest => document.toJS());
}

function find<Body>(objects: readonly Manifest[], kind: string, name: string): Body {
  return objects.find((one) => one.kind === kind && one.metadata.name === name) as Body;
}

const idsOf = (objects: readonly Manifest[]) =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`).toSorted();

describe.each([
  { folder: 'base', config: 'base', replicas: 2 },
  { folder: 'canary', config: 'canary', replicas: 2 },
  { folder: 'production', config: 'base', replicas: 3 },
])('$folder', ({ folder, config, replicas }) => {
  test('is all of webhook-config, with its own config and the audiences of that', async () => {
    const objects = await build(folder);

    const { data } = find<{ data: Record<string, string> }>(objects, 'ConfigMap', 'keyless-pull-config');
    const read = parseConfig(data['config.yaml'] ?? '', folder);
    const fence = find<{ spec: { variables: { name: string; expression: string }[] } }>(
      objects,
      'ValidatingAdmissionPolicy',
      FENCE,
    );
    const listed = fence.spec.variables.find(({ name }) => name === 'audiences')?.expression ?? '';
    expect(idsOf(objects)).toEqual(idsOf(manifestFiles().flatMap(readManifests)));
    expect(data['config.yaml']).toBe(readFileSync(`examples/fleet/${config}/config.yaml`, 'utf8'));
    expect(JSON.parse(listed)).toEqual(
      read.rules.flatMap(({ audience, acceptAudiences = [] }) => [audience, ...acceptAudiences]),
    );
  });

  test('runs the image of the inner registry', async () => {
    const { spec } = find<{
      spec: { replicas: number; template: { spec: { containers: { image: string }[] } } };
    }>(await build(folder), 'Deployment', 'keyless-pull');

    expect(spec.replicas).toBe(replicas);
    expect(spec.template.spec.containers.map(({ image }) => image)).toEqual([
      'registry.team.example/mirror/keyless-pull:0.1.0',
    ]);
  });
});

test('the canary has every rule of the base as it stands there, so that what it proves is the next base', () => {
  const rulesOf = (folder: string) => {
    const file = `examples/fleet/${folder}/config.yaml`;
    return parseConfig(readFileSync(file, 'utf8'), file).rules;
  };

  expect(rulesOf('canary').slice(0, rulesOf('base').length)).toEqual(rulesOf('base'));
  expect(rulesOf('canary').length).toBeGreaterThan(rulesOf('base').length);
});
