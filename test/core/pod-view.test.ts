// What we read of pods, accounts and namespaces, and what a malformed one is taken for.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { injectionOf, isGated, viewAccount, viewNamespace, viewPod } from '../../src/core/pod-view.ts';
import { aPod, aRawPod } from './builders.ts';

describe('a pod', () => {
  test('names its images in the order of init, ordinary and ephemeral containers, and image volumes', () => {
    const pod = aPod([], {
      ephemeralContainers: [{ name: 'debug', image: 'd/e:1' }],
      containers: [{ name: 'app', image: 'a/b:1' }],
      volumes: [
        { name: 'model', image: { reference: 'm/n:1', pullPolicy: 'Always' } },
        { name: 'tmp', emptyDir: {} },
      ],
      initContainers: [{ name: 'set-up', image: 'i/j:1' }],
    });

    expect(pod.images).toEqual([
      { origin: 'init', name: 'set-up', image: 'i/j:1' },
      { origin: 'container', name: 'app', image: 'a/b:1' },
      { origin: 'ephemeral', name: 'debug', image: 'd/e:1' },
      { origin: 'volume', name: 'model', image: 'm/n:1' },
    ]);
  });

  test('without an image in a container leaves that container out', () => {
    const pod = aPod([], {
      containers: [{ name: 'a' }, { name: 'b', image: '' }, { name: 'c', image: 'x' }],
    });

    expect(pod.images.map(({ name }) => name)).toEqual(['c']);
  });

  test.for([
    [{ serviceAccountName: 'checkout' }, 'checkout'],
    [{ serviceAccountName: '', serviceAccount: 'older-name' }, 'older-name'],
    [{ serviceAccountName: 'checkout', serviceAccount: 'older-name' }, 'checkout'],
    [{ serviceAccountName: undefined }, 'default'],
    [{ serviceAccountName: '' }, 'default'],
  ] as const)('with %j runs as %s', ([spec, account]) => {
    expect(aPod([], spec).serviceAccount).toBe(account);
  });

  test('has the namespace of the request where the object lacks its own', () => {
    expect(viewPod({}, 'shop').namespace).toBe('shop');
    expect(viewPod({ metadata: { namespace: 'own' } }).namespace).toBe('own');
  });

  test('without a name is called by its generateName and a star', () => {
    expect(viewPod({ metadata: { generateName: 'checkout-7f-' } }).name).toBe('checkout-7f-*');
  });

  test('has the pull secrets and gates that have names', () => {
    const pod = aPod([], {
      imagePullSecrets: [{ name: 'a' }, {}, { name: '' }, { name: 'b' }],
      schedulingGates: [{ name: 'g' }],
    });

    expect(pod.pullSecrets).toEqual(['a', 'b']);
    expect(pod.gates).toEqual(['g']);
  });

  test.for([
    [
      'owned by a DaemonSet',
      { ownerReferences: [{ kind: 'DaemonSet', name: 'd' }] },
      { ownedByDaemonSet: true },
    ],
    [
      'owned by a ReplicaSet',
      { ownerReferences: [{ kind: 'ReplicaSet', name: 'r' }] },
      { ownedByDaemonSet: false },
    ],
    [
      'the mirror of a static pod',
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
      { isMirror: true },
    ],
    ['an ordinary one', {}, { isMirror: false, isDeleting: false, createdAt: 0, uid: '' }],
    ['new, and so pending', {}, { isPending: true }],
    ['being deleted', { deletionTimestamp: '2026-11-21T12:00:00Z' }, { isDeleting: true }],
    [
      'stored',
      { uid: 'u', creationTimestamp: '2026-11-21T12:00:00Z' },
      { uid: 'u', createdAt: Date.parse('2026-11-21T12:00:00Z') },
    ],
  ] as const)('is known as %s', ([, metadata, view]) => {
    expect(aPod([], {}, metadata)).toMatchObject(view);
  });

  test.for([true, false])('that says automountServiceAccountToken: %s is remembered to', (says) => {
    expect(aPod([], { automountServiceAccountToken: says }).automountsToken).toBe(says);
    expect(viewAccount({ automountServiceAccountToken: says }).automountsToken).toBe(says);
  });

  test.for([undefined, null, 'false', 0])(
    'that says automountServiceAccountToken: %j says nothing',
    (says) => {
      expect(aPod([], { automountServiceAccountToken: says })).not.toHaveProperty('automountsToken');
      expect(viewAccount({ automountServiceAccountToken: says })).not.toHaveProperty('automountsToken');
    },
  );

  test('knows what controls it, if anything does', () => {
    const owners = [
      { kind: 'Team', name: 't', uid: 'u1' },
      { kind: 'ReplicaSet', name: 'r', uid: 'u2', controller: true },
    ];

    expect(aPod([], {}, { ownerReferences: owners }).controller).toEqual({ kind: 'ReplicaSet', uid: 'u2' });
    expect(aPod([], {}, { ownerReferences: owners.slice(0, 1) })).not.toHaveProperty('controller');
  });

  test('knows the images that could not be pulled, those of image volumes by the containers that mount them', () => {
    const spec = {
      initContainers: [{ name: 'init', image: 'a/init' }],
      containers: [
        { name: 'good', image: 'a/good', volumeMounts: [{ name: 'other' }] },
        { name: 'bad', image: 'a/bad', volumeMounts: [{ name: 'data' }, { name: 'plain' }] },
      ],
      ephemeralContainers: [{ name: 'debug', image: 'a/debug' }],
      volumes: [
        { name: 'data', image: { reference: 'a/data' } },
        { name: 'other', image: { reference: 'a/other' } },
        { name: 'plain', emptyDir: {} },
      ],
    };
    const waiting = (name: string, reason: string) => ({ name, state: { waiting: { reason } } });
    const failing = (status: unknown) => viewPod({ ...aRawPod([], spec), status }).failedImages;

    expect(
      failing({
        initContainerStatuses: [waiting('init', 'ErrImagePull')],
        containerStatuses: [waiting('bad', 'ImagePullBackOff'), waiting('good', 'ContainerCreating')],
      }),
    ).toEqual(['a/init', 'a/bad', 'a/data']);
    expect(failing({ ephemeralContainerStatuses: [waiting('debug', 'ErrImagePull')] })).toEqual(['a/debug']);
    expect(failing({ containerStatuses: [{ name: 'bad', state: { running: {} } }, null, 5] })).toEqual([]);
    expect(failing({ containerStatuses: [waiting('unknown', 'ErrImagePull')] })).toEqual([]);
    expect(failing(undefined)).toEqual([]);
  });

  test('of thirty thousand containers, none of which is among as many that fail, is read in no time', () => {
    const many = Array.from({ length: 30_000 }, (_, at) => at);
    const containers = many.map((at) => ({ name: `c${at}`, image: 'a/b' }));
    const state = { waiting: { reason: 'ErrImagePull' } };
    const status = { containerStatuses: many.map((at) => ({ name: `d${at}`, state })) };
    const started = performance.now();

    for (let turn = 0; turn < 10; turn++)
      expect(viewPod({ ...aRawPod([], { containers }), status }).failedImages).toEqual([]);

    // A quarter of a second is usual; looking through all names for each container takes twenty.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test.for([
    ['Pending', true, false],
    ['', true, false],
    ['Running', false, false],
    ['Unknown', false, false],
    ['Succeeded', false, true],
    ['Failed', false, true],
  ] as const)('in the phase %j is pending: %s, and over: %s', ([phase, isPending, isOver]) => {
    expect(viewPod({ ...aRawPod([]), status: { phase } })).toMatchObject({ isPending, isOver });
  });

  test('is gated by our gate alone', () => {
    expect(isGated(aPod([], { schedulingGates: [{ name: 'other.example/gate' }] }))).toBe(false);
    expect(
      isGated(
        aPod([], {
          schedulingGates: [{ name: 'other.example/gate' }, { name: 'keyless-pull.dev/credentials' }],
        }),
      ),
    ).toBe(true);
  });

  test('has labels and annotations that are plain text, whatever they are called', () => {
    const raw = JSON.parse(
      '{"metadata":{"labels":{"__proto__":"x","constructor":"y","a":5,"b":"z"}}}',
    ) as unknown;

    const { labels } = viewPod(raw);

    expect(Object.entries(labels)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
      ['b', 'z'],
    ]);
    expect(Object.getPrototypeOf(labels)).toBe(null);
    expect(labels['toString']).toBeUndefined();
  });

  test('that is any JSON at all can be looked at', () => {
    const anything = fc.jsonValue();
    const almost = fc.record({
      metadata: fc.oneof(
        anything,
        fc.record({ labels: anything, annotations: anything, ownerReferences: anything, name: anything }),
      ),
      spec: fc.oneof(
        anything,
        fc.record({
          containers: anything,
          volumes: anything,
          imagePullSecrets: anything,
          schedulingGates: anything,
        }),
      ),
      imagePullSecrets: anything,
      status: anything,
    });
    fc.assert(
      fc.property(fc.oneof(anything, almost), (raw) => {
        viewPod(raw);
        viewAccount(raw);
        viewNamespace(raw);
      }),
      { numRuns: 3000 },
    );
  });

  test('is not changed by being looked at', () => {
    const raw = aRawPod(['a', 'b'], { unknown: { deep: [1] } });
    const before = structuredClone(raw);

    viewPod(raw);

    expect(raw).toEqual(before);
  });
});

test('an account has a uid, annotations and pull secrets', () => {
  const raw = {
    metadata: {
      namespace: 'shop',
      name: 'checkout',
      uid: 'u',
      annotations: { a: 'b' },
      deletionTimestamp: '2026-11-21T12:00:00Z',
    },
    imagePullSecrets: [{ name: 'static' }],
  };

  expect(viewAccount(raw)).toEqual({
    namespace: 'shop',
    name: 'checkout',
    uid: 'u',
    annotations: { a: 'b' },
    pullSecrets: ['static'],
    isDeleting: true,
  });
});

test.for([
  ['enabled', 'enabled'],
  ['draining', 'draining'],
  ['disabled', 'off'],
  ['Enabled', 'off'],
  ['', 'off'],
  [undefined, 'off'],
] as const)('a namespace labelled %s is %s', ([value, injection]) => {
  const labels = value === undefined ? {} : { 'keyless-pull.dev/inject': value };

  expect(injectionOf(viewNamespace({ metadata: { name: 'shop', labels } }))).toBe(injection);
});

test('a namespace that nobody has seen is off', () => {
  expect(injectionOf(undefined)).toBe('off');
});

test.for([
  [{ metadata: { deletionTimestamp: '2026-11-21T12:00:00Z' } }, true],
  [{ status: { phase: 'Terminating' } }, true],
  [{ status: { phase: 'Active' } }, false],
  [{}, false],
] as const)('a namespace like %j terminates: %s', ([raw, isTerminating]) => {
  expect(viewNamespace(raw).isTerminating).toBe(isTerminating);
});
