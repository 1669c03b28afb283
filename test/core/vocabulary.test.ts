// The words that users, their scripts and our own manifests have written down: they change with a CHANGELOG entry or not at all.
import { expect, test } from 'vitest';
import * as vocabulary from '../../src/core/vocabulary.ts';

test('labels, annotations and names are what they always were', () => {
  expect({ ...vocabulary }).toEqual({
    INJECT_LABEL: 'keyless-pull.dev/inject',
    STATIC_PULL_SECRETS_LABEL: 'keyless-pull.dev/static-pull-secrets',
    MANAGED_LABEL: 'keyless-pull.dev/managed',
    CREDENTIALS_ANNOTATION: 'keyless-pull.dev/credentials',
    MOUNT_ANNOTATION: 'keyless-pull.dev/mount',
    DOCKER_CONFIG_ANNOTATION: 'keyless-pull.dev/docker-config',
    GATE: 'keyless-pull.dev/credentials',
    TOKEN_VOLUME: 'keyless-pull-tokens',
    UNMOUNTED_TOKEN_VOLUME: 'keyless-pull-unmounted-tokens',
    DOCKER_CONFIG_VOLUME: 'keyless-pull-docker-config',
    SECRET_PREFIX: 'keyless-pull-',
    VELERO_EXCLUDE_LABEL: 'velero.io/exclude-from-backup',
    FENCE_PROBE_AUDIENCE: 'keyless-pull.dev/fence-probe',
    PREWARM_ANNOTATION: 'keyless-pull.dev/prewarm',
    LEASE_NAME: 'keyless-pull-worker',
    GATES_ANNOTATION: 'keyless-pull.dev/gates-in',
    API_GROUP: 'keyless-pull.dev',
    RECORD_API_VERSION: 'keyless-pull.dev/v1alpha1',
    RECORD_KIND: 'PullCredential',
    RECORD_PLURAL: 'pullcredentials',
    ENFORCE_MOUNTABLE_ANNOTATION: 'kubernetes.io/enforce-mountable-secrets',
    MIRROR_ANNOTATION: 'kubernetes.io/config.mirror',
    PROTECTED_NAMESPACES: ['kube-system', 'kube-public', 'kube-node-lease'],
  });
});

test('every label and annotation key is legal: a DNS name, a slash, 63 characters at most', () => {
  const keys = Object.values(vocabulary).filter((word) => typeof word === 'string' && word.includes('/'));

  for (const key of keys) expect(key).toMatch(/^[a-z0-9.-]+\/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/);
});
