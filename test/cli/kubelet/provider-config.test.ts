// The kubelet's own checks of its provider config, one by one, all faults at once.
import { expect, test } from 'vitest';
import { faultsTogether, parseProviderConfig } from '../../../src/cli/kubelet/provider-config.ts';
import { isProblem } from '../../../src/problem.ts';

const tokens = {
  serviceAccountTokenAudience: 'team',
  cacheType: 'Token',
  requireServiceAccount: true,
  requiredServiceAccountAnnotationKeys: ['team.example/a'],
  optionalServiceAccountAnnotationKeys: ['Team.example/B', 'plain'],
};
const provider = {
  name: 'plugin',
  matchImages: ['*.team.example'],
  defaultCacheDuration: '1h30m',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  args: ['--x'],
  env: [{ name: 'A', value: 'b' }],
  tokenAttributes: tokens,
};
const config = (change: object, ofTokens: object = {}) => ({
  apiVersion: 'kubelet.config.k8s.io/v1',
  kind: 'CredentialProviderConfig',
  providers: [{ ...provider, tokenAttributes: { ...tokens, ...ofTokens }, ...change }],
});

function faultsOf(object: unknown): readonly string[] {
  try {
    parseProviderConfig(JSON.stringify(object), 'file');
    return [];
  } catch (error) {
    if (!isProblem(error, 'config-invalid')) throw error;
    return error.details.faults ?? [];
  }
}

test('what the kubelet takes is taken', () => {
  expect(faultsOf(config({}))).toEqual([]);
  expect(faultsOf({ ...config({}), apiVersion: 'kubelet.config.k8s.io/v1alpha1' })).toEqual([]);
});

test.for<[string, object, object?]>([
  ['[0].name', { name: 'a/b' }],
  ['[0].name', { name: '..' }],
  ['[0].name', { name: '' }],
  ['[0].name', { name: 'a b' }],
  ['[0].matchImages', { matchImages: [] }],
  ['[0].matchImages[0]', { matchImages: ['reg.io:x'] }],
  ['[0].defaultCacheDuration', { defaultCacheDuration: undefined }],
  ['[0].defaultCacheDuration', { defaultCacheDuration: '-1m' }],
  ['[0].defaultCacheDuration', { defaultCacheDuration: '1d' }],
  ['[0].defaultCacheDuration', { defaultCacheDuration: 300 }],
  ['[0].apiVersion', { apiVersion: 'credentialprovider.kubelet.k8s.io/v2' }],
  ['[0]: more', { more: 1 }],
  ['[0]: tokenAttributes go with', { apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }],
  ['.serviceAccountTokenAudience', {}, { serviceAccountTokenAudience: '' }],
  ['.requireServiceAccount', {}, { requireServiceAccount: undefined }],
  ['.tokenAttributes: requireServiceAccount', {}, { requireServiceAccount: false }],
  ['.cacheType', {}, { cacheType: 'Global' }],
  ['Keys: lists a key twice', {}, { optionalServiceAccountAnnotationKeys: ['a', 'a'] }],
  ['required and optional at once', {}, { optionalServiceAccountAnnotationKeys: ['team.example/a'] }],
  ['Keys[0]', {}, { optionalServiceAccountAnnotationKeys: ['a/b/c'] }],
  ['Keys[0]', {}, { optionalServiceAccountAnnotationKeys: ['-a'] }],
])('it has a fault at %s', ([where, change, ofTokens]) => {
  const faults = faultsOf(config(change, ofTokens));

  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(where);
});

test('several faults are told at once', () => {
  expect(faultsOf({ ...config({ name: '', matchImages: [] }), kind: 'Pod' })).toHaveLength(3);
});

test('cacheType must be there from 1.34 on, and must not before', () => {
  const [read] = parseProviderConfig(JSON.stringify(config({}, { cacheType: undefined })), 'file').providers;
  const [full] = parseProviderConfig(JSON.stringify(config({})), 'file').providers;
  if (!read || !full) throw new Error('there is no provider');

  expect([faultsTogether([read], true).length, faultsTogether([read], false).length]).toEqual([1, 0]);
  expect([faultsTogether([full], true).length, faultsTogether([full], false).length]).toEqual([0, 1]);
});
