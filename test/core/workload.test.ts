// Templates of workloads as the pods they become, and who wrote what stands in a pod.
import { describe, expect, test } from 'vitest';
import { isWorkload, viewWorkload, writerOf } from '../../src/core/workload.ts';

const template = {
  metadata: { name: 'ignored', labels: { app: 'web' } },
  spec: { imagePullSecrets: [{ name: 'nexus' }], containers: [{ name: 'app', image: 'nginx' }] },
};

describe('a workload', () => {
  test.for([
    ['apps', 'Deployment', true],
    ['apps', 'ReplicaSet', true],
    ['batch', 'CronJob', true],
    ['', 'Pod', false],
    ['example.com', 'Deployment', false],
    ['apps', 'constructor', false],
  ] as const)('in group %j of kind %s: %s', ([group, kind, expected]) => {
    expect(isWorkload(group, kind)).toBe(expected);
  });

  test.for([
    ['Deployment', { template }],
    ['CronJob', { jobTemplate: { spec: { template } } }],
  ] as const)('of kind %s is seen as the pod of its template, under its own name', ([kind, spec]) => {
    const seen = viewWorkload(kind, { metadata: { name: 'web' }, spec }, 'shop');

    expect(seen).toMatchObject({
      title: `${kind} web`,
      hasController: false,
      pod: { namespace: 'shop', name: 'web', pullSecrets: ['nexus'], labels: { app: 'web' } },
    });
  });

  test('that is broken is an empty pod, not a fault', () => {
    expect(viewWorkload('CronJob', { spec: 'no' }, 'shop').pod).toMatchObject({
      images: [],
      pullSecrets: [],
    });
  });

  test('that another one keeps says so; an owner that is no controller does not count', () => {
    const owned = (controller: boolean) => ({ metadata: { ownerReferences: [{ controller }] } });

    expect(viewWorkload('Job', owned(true), 'shop').hasController).toBe(true);
    expect(viewWorkload('Job', owned(false), 'shop').hasController).toBe(false);
  });
});

describe('the pull secrets of a pod were written', () => {
  const pod = (kind: string, name: string, labels = {}) => ({
    metadata: {
      labels,
      ownerReferences: [
        { kind: 'Other', name: 'x' },
        { kind, name, controller: true },
      ],
    },
  });

  test.for<[what: string, pod: unknown, writer: string | undefined]>([
    ['by whoever wrote the pod', { metadata: {} }, undefined],
    [
      'in a Deployment, seen by the hash of its ReplicaSet',
      pod('ReplicaSet', 'web-5d4f', { 'pod-template-hash': '5d4f' }),
      'the template of Deployment web',
    ],
    ['in a ReplicaSet of its own', pod('ReplicaSet', 'web-5d4f'), 'the template of ReplicaSet web-5d4f'],
    ['in a Job', pod('Job', 'nightly-29'), 'the template of Job nightly-29'],
    ['by a controller that we do not know', pod('TaskRun', 'build-1'), 'a pod made by TaskRun build-1'],
  ])('%s', ([, raw, writer]) => {
    expect(writerOf(raw)).toBe(writer);
  });
});
