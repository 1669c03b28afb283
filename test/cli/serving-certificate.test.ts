// Which certificate serve serves with, by its flags and by where it runs.
import { expect, test } from 'vitest';
import { certificateChoice } from '../../src/cli/serving-certificate.ts';

const IN_CLUSTER = { isInCluster: true, namespace: 'ours' };
const OUTSIDE = { isInCluster: false, namespace: 'ours' };

test('in a cluster without any flag: our own authority, for the names of the Service', () => {
  expect(certificateChoice({}, IN_CLUSTER)).toEqual({
    kind: 'own',
    secretName: 'keyless-pull-tls',
    webhookConfiguration: 'keyless-pull',
    names: ['keyless-pull.ours.svc', 'keyless-pull.ours.svc.cluster.local'],
  });
});

test('files are never anybody else’s business', () => {
  const files = { tlsCert: 'tls.crt', tlsKey: 'tls.key' };

  for (const where of [IN_CLUSTER, OUTSIDE])
    expect(certificateChoice({ ...files, tlsSecret: 'x' }, where)).toEqual({
      kind: 'files',
      certificateFile: 'tls.crt',
      keyFile: 'tls.key',
    });
});

test('half a pair of files is wrong use', () => {
  expect(() => certificateChoice({ tlsCert: 'tls.crt' }, IN_CLUSTER)).toThrow('come together');
  expect(() => certificateChoice({ tlsKey: 'tls.key' }, IN_CLUSTER)).toThrow('come together');
});

test('left to somebody else, the Secret is read and nothing is written', () => {
  expect(certificateChoice({ caBundle: 'leave' }, IN_CLUSTER)).toMatchObject({ kind: 'others' });
});

test('outside of a cluster there is none, unless a Secret is named', () => {
  expect(certificateChoice({}, OUTSIDE)).toEqual({ kind: 'none' });
  expect(certificateChoice({ tlsSecret: 'mine', service: 'hooks' }, OUTSIDE)).toMatchObject({
    kind: 'own',
    secretName: 'mine',
    names: ['hooks.ours.svc', 'hooks.ours.svc.cluster.local'],
  });
});

test('webhooks that are reached by URL have the name of a host, or its address', () => {
  expect(certificateChoice({ tlsSecret: 'x', service: '192.0.2.7' }, OUTSIDE)).toMatchObject({
    names: ['192.0.2.7'],
  });
  expect(certificateChoice({ tlsSecret: 'x', service: 'hooks.team.example' }, OUTSIDE)).toMatchObject({
    names: ['hooks.team.example'],
  });
});
