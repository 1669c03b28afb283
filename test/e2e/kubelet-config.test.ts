// The real kubelet as the judge of provider configs: it starts with what we generate, and refuses what we refuse.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startControlPlane } from '../../tools/control-plane.ts';
import { startNode, type ClusterNode } from '../../tools/node.ts';
import { makeProviderFolder, runCli, type ProviderFolder } from './provider-folder.ts';

const opened = new AsyncDisposableStack();
let node: ClusterNode;
let providers: ProviderFolder;

beforeAll(async () => {
  node = opened.use(await startNode(opened.use(await startControlPlane())));
  const rule = (name: string) => ({
    name,
    hosts: [`${name}.registry.example:5000`],
    audience: `https://${name}.registry.example`,
    exchange: { kind: 'pass-through' },
    delivery: ['kubelet'],
  });
  const config = { apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule('team'), rule('other')] };
  providers = makeProviderFolder(node.folder, stringify(config));
  writeFileSync(join(providers.programs, 'one'), '#!/bin/sh\n');
  chmodSync(join(providers.programs, 'one'), 0o755);
});

afterAll(() => opened.disposeAsync());

test.for(['yaml', 'json', 'directory'] as const)(
  'the kubelet starts with what we generate as %s',
  async (form) => {
    const { exitCode, said } = await node.tryKubelet({
      credentialProviders: { config: providers.generate(form), programs: providers.programs },
    });

    expect(exitCode, said).toBeNull();
  },
);

const one = {
  name: 'one',
  matchImages: ['registry.example'],
  defaultCacheDuration: '5m',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
};
const token = { serviceAccountTokenAudience: 'a', cacheType: 'Token', requireServiceAccount: true };
const { defaultCacheDuration: _, ...lifeless } = one;
const { requireServiceAccount: __, ...undecided } = token;
const { cacheType: ___, ...cacheless } = token;
const withToken = (change: object) => [{ ...one, tokenAttributes: { ...token, ...change } }];

test('the kubelet starts with what we carried over from an alpha config', async () => {
  const alpha = join(node.folder, 'alpha.yaml');
  const older = { ...one, apiVersion: 'credentialprovider.kubelet.k8s.io/v1alpha1' };
  writeFileSync(
    alpha,
    stringify({
      apiVersion: 'kubelet.config.k8s.io/v1alpha1',
      kind: 'CredentialProviderConfig',
      providers: [older],
    }),
  );
  const config = providers.generate('yaml', alpha);

  const { exitCode, said } = await node.tryKubelet({
    credentialProviders: { config, programs: providers.programs },
  });

  expect(exitCode, said).toBeNull();
  expect(readFileSync(config, 'utf8')).toContain('registry.example');
});

/** What is wrong, the providers, and the words of the kubelet and of ours. */
const BAD: readonly (readonly [string, readonly object[], string, string])[] = [
  ['no provider at all', [], 'at least 1 item in plugins is required', 'providers: '],
  ['a slash in a name', [{ ...one, name: 'a/b' }], "provider name cannot contain '/'", 'no "/"'],
  ['a space in a name', [{ ...one, name: 'a b' }], 'provider name cannot contain spaces', 'no space'],
  ['a name twice', [one, one], 'duplicate provider name', 'another provider has the same name'],
  [
    'an unknown protocol',
    [{ ...one, apiVersion: 'credentialprovider.kubelet.k8s.io/v2' }],
    'providers.apiVersion: Unsupported value',
    'providers[0].apiVersion: must be one of',
  ],
  [
    'no pattern',
    [{ ...one, matchImages: [] }],
    'at least 1 item in matchImages',
    'providers[0].matchImages: ',
  ],
  [
    'a pattern that is no name',
    [{ ...one, matchImages: ['%zz'] }],
    'match image is invalid',
    'cannot be read as the beginning of an image name',
  ],
  [
    'no duration',
    [lifeless],
    'providers.defaultCacheDuration: Required value',
    'defaultCacheDuration: is required',
  ],
  [
    'a negative duration',
    [{ ...one, defaultCacheDuration: '-5m' }],
    'must be greater than or equal to 0',
    'must not be negative',
  ],
  [
    'a duration in words',
    [{ ...one, defaultCacheDuration: '5 minutes' }],
    'unknown unit',
    'is a Go duration',
  ],
  [
    'a token by the older protocol',
    [{ ...one, apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1', tokenAttributes: token }],
    'tokenAttributes is only supported for credentialprovider.kubelet.k8s.io/v1',
    'tokenAttributes go with apiVersion',
  ],
  [
    'no audience',
    withToken({ serviceAccountTokenAudience: '' }),
    'serviceAccountTokenAudience: Required value',
    'serviceAccountTokenAudience: must not be empty',
  ],
  [
    'no word on accounts',
    [{ ...one, tokenAttributes: undecided }],
    'requireServiceAccount: Required value',
    'requireServiceAccount: is required',
  ],
  [
    'annotations required of nobody',
    withToken({ requireServiceAccount: false, requiredServiceAccountAnnotationKeys: ['a.example/b'] }),
    'requireServiceAccount cannot be false',
    'requireServiceAccount must be true',
  ],
  [
    'an annotation in both lists',
    withToken({
      requiredServiceAccountAnnotationKeys: ['a.example/b'],
      optionalServiceAccountAnnotationKeys: ['a.example/b'],
    }),
    'annotation keys cannot be both required and optional',
    'required and optional at once',
  ],
  [
    'an annotation twice',
    withToken({ optionalServiceAccountAnnotationKeys: ['a.example/b', 'a.example/b'] }),
    'Duplicate value',
    'lists a key twice',
  ],
  [
    'an annotation that cannot be',
    withToken({ optionalServiceAccountAnnotationKeys: ['a b'] }),
    'name part must consist of alphanumeric characters',
    'is no annotation key',
  ],
  [
    'no cache type',
    [{ ...one, tokenAttributes: cacheless }],
    'cacheType: Required value',
    'cacheType is required',
  ],
  [
    'an unknown cache type',
    withToken({ cacheType: 'Pod' }),
    'cacheType: Unsupported value',
    'cacheType: must be one of',
  ],
  [
    'an unknown field',
    [{ ...one, timeout: '5s' }],
    'unknown field \\"providers[0].timeout\\"',
    'timeout is not a known key',
  ],
  ['no program', [{ ...one, name: 'absent' }], 'plugin binary executable', 'absent'],
];

test.for(BAD)('%s: the kubelet ends, and doctor node says why', async ([what, list, words, ours]) => {
  const folder = join(node.folder, what.replaceAll(' ', '-'));
  mkdirSync(folder);
  const config = join(folder, 'providers.yaml');
  const file = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers: list };
  writeFileSync(config, stringify(file));

  const { exitCode, said } = await node.tryKubelet({
    credentialProviders: { config, programs: providers.programs },
  });
  const doctor = runCli([
    ...['doctor', 'node', '--provider-config', config, '--bin-dir', providers.programs],
    ...['--image', 'registry.example/app:1', '--namespace', 'shop', '--service-account', 'web'],
    ...['--config', providers.rulesFile, '--root-dir', folder],
  ]);

  expect(exitCode).toBe(1);
  expect(said).toContain(words);
  expect(doctor.status, doctor.stderr).not.toBe(0);
  expect(doctor.stdout + doctor.stderr).toContain(ours);
});
