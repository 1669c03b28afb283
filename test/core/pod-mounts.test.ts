// Volumes and mounts: where they go, what is left as it is, and that a second pass has nothing to do.
import jsonpatch from 'fast-json-patch';
import { describe, expect, test } from 'vitest';
import {
  addMounts,
  addVolumes,
  append,
  DOCKER_CONFIG_PATH,
  takenVolumes,
  TOKEN_PATH,
} from '../../src/core/pod-mounts.ts';
import type { PatchOperation } from '../../src/core/pod-patch.ts';
import type { Plan } from '../../src/core/pull-plan.ts';
import { aRawPod, type Raw } from './builders.ts';

type Parts = Pick<Plan, 'tokens' | 'inPod'>;

const token = (rule: string) => ({ rule, audience: `https://${rule}`, expirationSeconds: 3600 });
const source = (rule: string) => ({
  serviceAccountToken: { audience: `https://${rule}`, expirationSeconds: 3600, path: `${rule}/token` },
});
const tokenVolume = { name: 'keyless-pull-tokens', projected: { sources: [source('team')] } };
const tokenMount = { name: 'keyless-pull-tokens', mountPath: TOKEN_PATH, readOnly: true };
const configVolume = {
  name: 'keyless-pull-docker-config',
  secret: {
    secretName: 'keyless-pull-x',
    optional: true,
    items: [{ key: '.dockerconfigjson', path: 'config.json' }],
  },
};
const configMount = { name: 'keyless-pull-docker-config', mountPath: DOCKER_CONFIG_PATH, readOnly: true };
const configVariable = { name: 'DOCKER_CONFIG', value: DOCKER_CONFIG_PATH };

const tokensIn = (...containers: string[]): Parts => ({
  tokens: [token('team')],
  inPod: { tokens: { rules: ['team'], containers } },
});
const configIn = (...containers: string[]): Parts => ({
  tokens: [],
  inPod: { dockerConfig: { secretName: 'keyless-pull-x', containers } },
});
const bothIn = (...containers: string[]): Parts => ({
  tokens: [token('team')],
  inPod: { ...tokensIn(...containers).inPod, ...configIn(...containers).inPod },
});

function patch(raw: Raw, plan: Parts): PatchOperation[] {
  const operations: PatchOperation[] = [];
  addVolumes(operations, raw['spec'] as Raw, plan);
  addMounts(operations, raw['spec'] as Raw, plan);
  return operations;
}

/** The patched spec, once it is certain that only `add` was used and that a second pass has nothing to do. */
function patched(raw: Raw, plan: Parts): Record<string, Raw[]> {
  const operations = patch(raw, plan);
  expect(operations.every(({ op }) => op === 'add')).toBe(true);
  const after = jsonpatch.applyPatch(
    structuredClone(raw),
    structuredClone(operations) as PatchOperation[],
    true,
  );
  expect(patch(after.newDocument, plan)).toEqual([]);
  return after.newDocument['spec'] as Record<string, Raw[]>;
}

const podOf = (container: Raw, spec: Raw = {}) =>
  aRawPod([], { containers: [{ name: 'app', image: 'x', ...container }], ...spec });

describe('the tokens', () => {
  test('are mounted read-only in the named containers, at the right index of either list', () => {
    const raw = aRawPod(['a', 'b'], {
      initContainers: [
        { name: 'first', image: 'i' },
        { name: 'second', image: 'i' },
      ],
      ephemeralContainers: [{ name: 'debug', image: 'd' }],
    });

    expect(patch(raw, tokensIn('second', 'c1', 'debug'))).toEqual([
      { op: 'add', path: '/spec/volumes', value: [tokenVolume] },
      { op: 'add', path: '/spec/initContainers/1/volumeMounts', value: [tokenMount] },
      { op: 'add', path: '/spec/containers/1/volumeMounts', value: [tokenMount] },
    ]);
    expect(patched(raw, tokensIn('second', 'c1', 'debug'))['ephemeralContainers']).toEqual([
      { name: 'debug', image: 'd' },
    ]);
  });

  test('of rules that let no pod have theirs stay in a volume of their own', () => {
    const plan: Parts = {
      tokens: [token('node'), token('team'), token('mesh')],
      inPod: { tokens: { rules: ['team', 'mesh'], containers: ['app'] } },
    };

    expect(patched(podOf({}), plan)).toMatchObject({
      volumes: [
        { name: 'keyless-pull-tokens', projected: { sources: [source('team'), source('mesh')] } },
        { name: 'keyless-pull-unmounted-tokens', projected: { sources: [source('node')] } },
      ],
      containers: [{ volumeMounts: [tokenMount] }],
    });
  });

  test('that nobody sees are all in one volume', () => {
    expect(patched(podOf({}), { tokens: [token('node'), token('team')], inPod: {} })['volumes']).toEqual([
      { name: 'keyless-pull-tokens', projected: { sources: [source('node'), source('team')] } },
    ]);
  });

  test('that were unmounted in an earlier pass are parted when they are asked for', () => {
    const before = patched(podOf({}), { tokens: [token('node'), token('team')], inPod: {} });

    const after = patched(
      { spec: before },
      {
        tokens: [token('node'), token('team')],
        inPod: { tokens: { rules: ['team'], containers: ['app'] } },
      },
    );

    expect(after['volumes']).toEqual([
      { name: 'keyless-pull-tokens', projected: { sources: [source('team')] } },
      { name: 'keyless-pull-unmounted-tokens', projected: { sources: [source('node')] } },
    ]);
  });
});

describe('the docker config', () => {
  test('is the Secret as config.json, and DOCKER_CONFIG says where', () => {
    expect(patch(podOf({}), configIn('app'))).toEqual([
      { op: 'add', path: '/spec/volumes', value: [configVolume] },
      { op: 'add', path: '/spec/containers/0/volumeMounts', value: [configMount] },
      { op: 'add', path: '/spec/containers/0/env', value: [configVariable] },
    ]);
  });

  test('leaves the variable as it is where the container has one of that name', () => {
    for (const variable of [{ name: 'DOCKER_CONFIG', value: '/kaniko/.docker' }, { name: 'DOCKER_CONFIG' }]) {
      const [container] = patched(podOf({ env: [variable] }), configIn('app'))['containers'] ?? [];

      expect(container).toMatchObject({ env: [variable], volumeMounts: [configMount] });
    }
  });

  test('of another life is brought to this plan, whatever the API server filled in', () => {
    const secret = { ...configVolume.secret, secretName: 'keyless-pull-old', defaultMode: 420 };
    const raw = podOf(
      { volumeMounts: [configMount], env: [configVariable] },
      {
        volumes: [
          { name: 'tmp', emptyDir: {} },
          { name: 'keyless-pull-docker-config', secret },
        ],
      },
    );

    expect(patch(raw, configIn('app'))).toEqual([
      { op: 'add', path: '/spec/volumes/1/secret', value: configVolume.secret },
    ]);
  });

  test.for([
    ['defaultMode', { ...configVolume.secret, defaultMode: 420 }, true],
    ['not optional', { ...configVolume.secret, optional: false }, false],
    ['without items', { secretName: 'keyless-pull-x', optional: true }, false],
    ['another file', { ...configVolume.secret, items: [{ key: '.dockerconfigjson', path: 'x' }] }, false],
    [
      'more items',
      { ...configVolume.secret, items: [...configVolume.secret.items, { key: 'a', path: 'b' }] },
      false,
    ],
    ['null', null, false],
  ] as const)('with %s is as it should be: %j, %s', ([, secret, isSame]) => {
    const raw = podOf(
      { volumeMounts: [configMount], env: [configVariable] },
      { volumes: [{ name: 'keyless-pull-docker-config', secret }] },
    );

    expect(patched(raw, configIn('app'))['volumes']?.[0]).toMatchObject({ secret: configVolume.secret });
    expect(patch(raw, configIn('app')).length).toBe(isSame ? 0 : 1);
  });
});

describe('lists of a container that are', () => {
  test.for([
    ['absent', undefined],
    ['null', null],
    ['empty', []],
  ] as const)('%s get what is missing', ([, nothing]) => {
    // Three lists, not one three times.
    const list = () => structuredClone(nothing);
    const raw = podOf({ volumeMounts: list(), env: list() }, { volumes: list() });

    expect(patched(raw, bothIn('app'))).toMatchObject({
      volumes: [tokenVolume, configVolume],
      containers: [{ volumeMounts: [tokenMount, configMount], env: [configVariable] }],
    });
  });

  test('there are appended to, and keep what nobody here has heard of', () => {
    const mount = { name: 'tmp', mountPath: '/tmp', mountOfTomorrow: { deep: [null] } };
    const variable = { name: 'A', valueFrom: { sourceOfTomorrow: {} } };
    const raw = podOf(
      { volumeMounts: [mount], env: [variable], fieldOfTomorrow: 1 },
      { volumes: [{ name: 'tmp', emptyDir: {} }] },
    );

    expect(patched(raw, bothIn('app'))).toEqual({
      serviceAccountName: 'checkout',
      volumes: [{ name: 'tmp', emptyDir: {} }, tokenVolume, configVolume],
      containers: [
        {
          name: 'app',
          image: 'x',
          fieldOfTomorrow: 1,
          volumeMounts: [mount, tokenMount, configMount],
          env: [variable, configVariable],
        },
      ],
    });
  });
});

describe('a container is left as it is that', () => {
  test.for([
    ['has our tokens elsewhere', { name: 'keyless-pull-tokens', mountPath: '/tokens' }],
    ['has one of them with subPath', { ...tokenMount, mountPath: '/t', subPath: 'team/token' }],
    ['has something else there', { name: 'tmp', mountPath: TOKEN_PATH }],
    [
      'has something else there, written otherwise',
      { name: 'tmp', mountPath: '/var/run//secrets/./keyless-pull.dev/' },
    ],
    ['has ours there and may write', { name: 'keyless-pull-tokens', mountPath: TOKEN_PATH }],
  ] as const)('%s', ([, mount]) => {
    const raw = podOf({ volumeMounts: [mount] }, { volumes: [tokenVolume] });

    expect(patch(raw, tokensIn('app'))).toEqual([]);
  });

  test.for([
    ['has our docker config elsewhere', { ...configMount, mountPath: '/root/.docker' }],
    ['has something else there', { name: 'tmp', mountPath: `${DOCKER_CONFIG_PATH}/` }],
  ] as const)('%s: no variable either', ([, mount]) => {
    const raw = podOf({ volumeMounts: [mount] }, { volumes: [configVolume] });

    expect(patch(raw, configIn('app'))).toEqual([]);
  });

  test('mounts below ours, or beside it', () => {
    const mounts = [
      { name: 'tmp', mountPath: `${TOKEN_PATH}/more` },
      { name: 'tmp', mountPath: '/var/run/secrets' },
      { name: 'tmp' },
      null,
    ];

    const [container] = patched(podOf({ volumeMounts: mounts }), tokensIn('app'))['containers'] ?? [];

    expect(container?.['volumeMounts']).toEqual([...mounts, tokenMount]);
  });
});

describe("somebody else's volume that only has our name", () => {
  const volumes = [
    { name: 'keyless-pull-tokens', emptyDir: {} },
    { name: 'keyless-pull-docker-config', configMap: {} },
  ];

  test('stays, is named, and nothing is mounted of it', () => {
    const raw = podOf({}, { volumes });

    expect(patch(raw, bothIn('app'))).toEqual([]);
    expect(takenVolumes(raw['spec'] as Raw, bothIn('app'))).toEqual([
      'keyless-pull-tokens',
      'keyless-pull-docker-config',
    ]);
  });

  test('does not hold up the other one', () => {
    const raw = podOf({}, { volumes: volumes.slice(0, 1) });

    expect(patched(raw, bothIn('app'))).toMatchObject({
      containers: [{ volumeMounts: [configMount], env: [configVariable] }],
    });
    expect(takenVolumes(raw['spec'] as Raw, bothIn('app'))).toEqual(['keyless-pull-tokens']);
  });

  test('is nobody’s business where we need none', () => {
    expect(takenVolumes({ volumes }, { tokens: [], inPod: {} })).toEqual([]);
  });
});

test('containers that are no containers are passed over', () => {
  const raw = aRawPod([], { containers: [null, 'x', { image: 'y' }, { name: 5 }], initContainers: {} });

  expect(patch(raw, bothIn('app')).map(({ path }) => path)).toEqual(['/spec/volumes']);
});

test('neither path lies in the other: a mount point cannot be made in a read-only volume', () => {
  expect(`${DOCKER_CONFIG_PATH}/`.startsWith(`${TOKEN_PATH}/`)).toBe(false);
  expect(`${TOKEN_PATH}/`.startsWith(`${DOCKER_CONFIG_PATH}/`)).toBe(false);
});

test('append adds a list where there is none, an entry each where there is one, and nothing for nothing', () => {
  const operations: PatchOperation[] = [];

  append(operations, '/a', undefined, [1, 2]);
  append(operations, '/b', [0], [1, 2]);
  append(operations, '/c', undefined, []);

  expect(operations).toEqual([
    { op: 'add', path: '/a', value: [1, 2] },
    { op: 'add', path: '/b/-', value: 1 },
    { op: 'add', path: '/b/-', value: 2 },
  ]);
});
