// The Secret that carries a credential: its frozen name, and what exactly is written.
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as yaml from 'yaml';
import { secretManifest, secretNameFor } from '../../src/core/pull-secret.ts';
import { SecretText } from '../../src/secret-text.ts';
import { aNeed } from './builders.ts';
import type { Credential } from '../../src/core/pull-credential.ts';
import type { SecretManifest } from '../../src/core/pull-secret.ts';

interface Vector {
  readonly why: string;
  readonly account: string;
  readonly rule: string;
  readonly principal: string;
  readonly host: string;
  readonly name: string;
}

const golden = yaml.parse(readFileSync(new URL('secret-names.golden.yaml', import.meta.url), 'utf8')) as {
  vectors: Vector[];
};

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names, and short enough for a label value. */
const LEGAL_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

describe('the name of a Secret', () => {
  test.for(golden.vectors)('is what it always was: $why', ({ account, rule, principal, host, name }) => {
    expect(secretNameFor(account, rule, principal, host)).toBe(name);
  });

  test('is frozen for at least 25 vectors, all of them different', () => {
    expect(golden.vectors.length).toBeGreaterThanOrEqual(25);
    expect(new Set(golden.vectors.map(({ name }) => name)).size).toBe(golden.vectors.length);
  });

  test('is legal and at most 63 characters long for whatever Kubernetes and the config accept', () => {
    fc.assert(
      fc.property(accounts, rules, principals, registryHosts, (account, rule, principal, host) => {
        const name = secretNameFor(account, rule, principal, host);

        expect(name).toMatch(LEGAL_NAME);
        expect(name.length).toBeLessThanOrEqual(63);
        expect(name).toMatch(/^keyless-pull-/);
      }),
      { numRuns: 5000 },
    );
  });

  test('differs for 100,000 different needs that look alike', () => {
    const seen = new Map<string, string>();
    for (let at = 0; at < 100_000; at++) {
      const parts = [
        `checkout-service-of-shop-${at % 100}`,
        `registry-rule-${Math.floor(at / 100) % 10}`,
        `role-${Math.floor(at / 1000) % 10}`,
        `registry.example:${Math.floor(at / 10_000)}`,
      ];
      const name = secretNameFor(parts[0] ?? '', parts[1] ?? '', parts[2] ?? '', parts[3] ?? '');
      seen.set(name, parts.join(' '));
    }

    expect(seen.size).toBe(100_000);
  });

  test('tells apart parts that would be the same text when joined', () => {
    const names = [
      secretNameFor('a', 'b', 'c', 'd'),
      secretNameFor('a', 'b', '', 'cd'),
      secretNameFor('a', 'b', 'cd', ''),
      secretNameFor('a', 'b","c', '', 'd'),
      secretNameFor('a', 'b', '","c', 'd'),
    ];

    expect(new Set(names).size).toBe(names.length);
  });

  test('does not depend on the account having been made anew, nor on the namespace', () => {
    const first = aNeed({ identity: { namespace: 'one', account: 'a', uid: '1' } });
    const second = aNeed({ identity: { namespace: 'two', account: 'a', uid: '2' } });

    expect(first.secretName).toBe(second.secretName);
  });
});

describe('the manifest of a Secret', () => {
  test('without a credential is an empty docker config, which kubelets read as "no login here"', () => {
    const manifest = secretManifest(aNeed(), 'record-uid');

    expect(manifest.data).toEqual({ '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') });
    expect(manifest.metadata.uid).toBeUndefined();
  });

  test('is typed, labelled, owned by its record and left out of backups', () => {
    const need = aNeed();

    const { data: _data, ...rest } = secretManifest(need, 'record-uid');

    expect(rest).toEqual({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/dockerconfigjson',
      metadata: {
        name: need.secretName,
        namespace: 'shop',
        labels: { 'keyless-pull.dev/managed': 'true', 'velero.io/exclude-from-backup': 'true' },
        ownerReferences: [
          {
            apiVersion: 'keyless-pull.dev/v1alpha1',
            kind: 'PullCredential',
            name: need.secretName,
            uid: 'record-uid',
            controller: true,
            blockOwnerDeletion: false,
          },
        ],
      },
    });
  });

  test('with a credential carries username, password and auth, for readers of either form', () => {
    const manifest = secretManifest(aNeed(), 'record-uid', { uid: 'secret-uid', credential: aCredential() });

    expect(manifest.metadata.uid).toBe('secret-uid');
    expect(dockerConfigOf(manifest)).toEqual({
      auths: {
        'registry.team.example': {
          username: 'shop/checkout',
          password: 'marked-password',
          auth: Buffer.from('shop/checkout:marked-password').toString('base64'),
        },
      },
    });
  });

  test('can be emptied under its uid', () => {
    const manifest = secretManifest(aNeed(), 'record-uid', { uid: 'secret-uid' });

    expect(manifest.metadata.uid).toBe('secret-uid');
    expect(dockerConfigOf(manifest)).toEqual({ auths: {} });
  });

  test('names Docker Hub by the key that every client knows', () => {
    const manifest = secretManifest(aNeed(), 'r', {
      uid: 's',
      credential: aCredential({ hosts: ['docker.io'] }),
    });

    expect(Object.keys(dockerConfigOf(manifest).auths)).toEqual(['https://index.docker.io/v1/']);
  });

  test('repeats the login for every host that the answer serves, port included', () => {
    const hosts = ['a.example', 'b.example:5000'];

    const manifest = secretManifest(aNeed(), 'r', { uid: 's', credential: aCredential({ hosts }) });

    expect(Object.keys(dockerConfigOf(manifest).auths)).toEqual(hosts);
  });

  test('keeps a password whole, whatever characters it has', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const password = text.toWellFormed();

        const manifest = secretManifest(aNeed(), 'r', {
          uid: 's',
          credential: aCredential({ password: new SecretText(password) }),
        });

        const login = dockerConfigOf(manifest).auths['registry.team.example'];
        const auth = Buffer.from(login?.auth ?? '', 'base64').toString();
        expect(login?.password).toBe(password);
        expect(auth.slice(auth.indexOf(':') + 1)).toBe(password);
      }),
    );
  });
});

function aCredential(change: Partial<Credential> = {}): Credential {
  return {
    hosts: ['registry.team.example'],
    username: 'shop/checkout',
    password: new SecretText('marked-password'),
    issuedAt: 0,
    expiresAt: 3_600_000,
    ...change,
  };
}

function dockerConfigOf(manifest: SecretManifest) {
  const text = Buffer.from(manifest.data['.dockerconfigjson'], 'base64').toString();
  return JSON.parse(text) as { auths: Record<string, { username: string; password: string; auth: string }> };
}

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const accounts = fc
  .array(label, { minLength: 1, maxLength: 5 })
  .map((labels) => labels.join('.'))
  .filter((name) => name.length <= 253);
const rules = label;
const principals = fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 80 }));
const registryHosts = fc
  .tuple(accounts, fc.option(fc.integer({ min: 1, max: 65_535 })))
  .map(([name, port]) => (port === null ? name : `${name}:${port}`));
