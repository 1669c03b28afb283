// The patch: it applies, it only adds, the second one is empty, and what nobody here has heard of survives.
import * as fc from 'fast-check';
import jsonpatch from 'fast-json-patch';
import { describe, expect, test } from 'vitest';
import { credentialsText, patchFor } from '../../src/core/pod-patch.ts';
import { viewPod } from '../../src/core/pod-view.ts';
import { aRawPod, aRule, anAccount, planOf, type Raw } from './builders.ts';
import type { PatchOperation } from '../../src/core/pod-patch.ts';
import type { PlanSettings } from '../../src/core/pull-plan.ts';

const TEAM = 'registry.team.example';
const GATE = { name: 'keyless-pull.dev/credentials' };
const onSecret: PlanSettings = { rules: [aRule()], needsPerPod: 8 };
const onNode: PlanSettings = { rules: [aRule({ delivery: ['kubelet'] })], needsPerPod: 8 };
const onBoth: PlanSettings = {
  rules: [
    aRule({ delivery: ['secret', 'kubelet'] }),
    aRule({
      name: 'other',
      hosts: ['*.other.example'],
      audience: 'other',
      token: { inject: 'volume', expirationSeconds: 600 },
    }),
  ],
  needsPerPod: 8,
};

const SECRET = secretOf(aRawPod([`${TEAM}/app`]));

function secretOf(raw: Raw): string {
  return planOf(viewPod(raw)).needs[0]?.need.secretName ?? '';
}

function patch(raw: Raw, settings = onSecret, gate = false): PatchOperation[] {
  const pod = viewPod(raw);
  return patchFor(raw, pod, planOf(pod, settings, anAccount()), gate);
}

function applied(raw: Raw, operations: readonly PatchOperation[]): Raw {
  const copy = structuredClone(raw);
  // Validates every operation, and throws where one does not fit.
  return jsonpatch.applyPatch(copy, structuredClone(operations) as PatchOperation[], true).newDocument;
}

describe('a pod with a need', () => {
  test('is given the reference, the label, the annotation and the gate', () => {
    const operations = patch(aRawPod([`${TEAM}/app`]), onSecret, true);

    expect(operations).toEqual([
      { op: 'add', path: '/spec/imagePullSecrets', value: [{ name: SECRET }] },
      { op: 'add', path: '/metadata/labels', value: { 'keyless-pull.dev/managed': 'true' } },
      {
        op: 'add',
        path: '/metadata/annotations',
        value: { 'keyless-pull.dev/credentials': `team=${SECRET}` },
      },
      { op: 'add', path: '/spec/schedulingGates', value: [GATE] },
    ]);
  });

  test('keeps what it has: everything is appended behind it', () => {
    const raw = aRawPod(
      [`${TEAM}/app`],
      { imagePullSecrets: [{ name: 'static' }], schedulingGates: [{ name: 'other.example/gate' }] },
      { labels: { app: 'checkout' }, annotations: { note: 'x' } },
    );

    const after = applied(raw, patch(raw, onSecret, true));

    expect(after).toMatchObject({
      metadata: {
        labels: { app: 'checkout', 'keyless-pull.dev/managed': 'true' },
        annotations: { note: 'x', 'keyless-pull.dev/credentials': `team=${SECRET}` },
      },
      spec: {
        imagePullSecrets: [{ name: 'static' }, { name: SECRET }],
        schedulingGates: [{ name: 'other.example/gate' }, GATE],
      },
    });
  });

  test('that has the reference already, or our annotation of another life, is given only what is missing', () => {
    const raw = aRawPod(
      [`${TEAM}/app`],
      { imagePullSecrets: [{ name: SECRET }] },
      {
        labels: { 'keyless-pull.dev/managed': 'true' },
        annotations: { 'keyless-pull.dev/credentials': 'team=of-another-life' },
      },
    );

    expect(patch(raw)).toEqual([
      { op: 'add', path: '/metadata/annotations/keyless-pull.dev~1credentials', value: `team=${SECRET}` },
    ]);
  });

  test('that carries the label with another value gets ours', () => {
    const raw = aRawPod([`${TEAM}/app`], {}, { labels: { 'keyless-pull.dev/managed': 'no' } });

    expect(applied(raw, patch(raw))).toMatchObject({
      metadata: { labels: { 'keyless-pull.dev/managed': 'true' } },
    });
  });

  test.for([
    ['null', null],
    ['absent', undefined],
  ] as const)('whose lists are %s gets new ones', ([, nothing]) => {
    const raw = aRawPod(
      [`${TEAM}/app`],
      { imagePullSecrets: nothing, schedulingGates: nothing },
      { labels: nothing, annotations: nothing },
    );

    const after = applied(raw, patch(raw, onSecret, true));

    expect(after).toMatchObject({
      metadata: { labels: { 'keyless-pull.dev/managed': 'true' } },
      spec: { imagePullSecrets: [{ name: SECRET }], schedulingGates: [GATE] },
    });
  });

  test('is patched with add alone, keys escaped as RFC 6901 wants', () => {
    const raw = aRawPod([`${TEAM}/app`], {}, { labels: { a: 'b' }, annotations: { 'a~b/c': 'd' } });

    const operations = patch(raw, onSecret, true);

    expect(operations.every(({ op }) => op === 'add')).toBe(true);
    expect(operations.map(({ path }) => path)).toContain('/metadata/labels/keyless-pull.dev~1managed');
    expect(applied(raw, operations)).toMatchObject({ metadata: { annotations: { 'a~b/c': 'd' } } });
  });
});

describe('no patch at all', () => {
  test('for a pod without needs', () => {
    expect(patch(aRawPod(['ghcr.io/a/b']))).toEqual([]);
  });

  test('for a pod that opted out', () => {
    expect(
      patch(aRawPod([`${TEAM}/app`], {}, { labels: { 'keyless-pull.dev/inject': 'disabled' } })),
    ).toEqual([]);
  });

  test('for a pod that has been patched', () => {
    const raw = aRawPod([`${TEAM}/app`, 'a.other.example/x']);

    const after = applied(raw, patch(raw, onBoth, true));

    expect(patch(after, onBoth, true)).toEqual([]);
  });
});

describe('a second pass', () => {
  test('appends what a sidecar needs that was added meanwhile', () => {
    const raw = aRawPod([`${TEAM}/app`]);
    const first = applied(raw, patch(raw, onBoth));
    const spec = first['spec'] as { containers: object[]; imagePullSecrets: object[] };
    spec.containers.push({ name: 'sidecar', image: 'a.other.example/sidecar' });

    const second = applied(first, patch(first, onBoth));

    expect((second['spec'] as typeof spec).imagePullSecrets.slice(0, 1)).toEqual(spec.imagePullSecrets);
    expect((second['spec'] as typeof spec).imagePullSecrets.length).toBe(2);
    expect(patch(second, onBoth)).toEqual([]);
  });

  test('removes our gate where it may not be, and no other', () => {
    const gates = [{ name: 'first.example/g' }, GATE, { name: 'second.example/g' }];
    const raw = aRawPod([`${TEAM}/app`], { schedulingGates: gates, imagePullSecrets: [{ name: SECRET }] });

    const after = applied(raw, patch(raw));

    expect((after['spec'] as Raw)['schedulingGates']).toEqual([gates[0], gates[2]]);
  });

  test('removes our gate as often as it is there', () => {
    const raw = aRawPod(['ghcr.io/a/b'], { schedulingGates: [GATE, { name: 'other.example/g' }, GATE] });

    const operations = patch(raw);

    expect(operations).toEqual([
      { op: 'remove', path: '/spec/schedulingGates/2' },
      { op: 'remove', path: '/spec/schedulingGates/0' },
    ]);
    expect((applied(raw, operations)['spec'] as Raw)['schedulingGates']).toEqual([
      { name: 'other.example/g' },
    ]);
  });
});

describe('the token volume', () => {
  const sources = [
    {
      serviceAccountToken: {
        audience: 'https://registry.team.example',
        expirationSeconds: 3600,
        path: 'team/token',
      },
    },
  ];
  const volume = { name: 'keyless-pull-tokens', projected: { sources } };

  test('comes as the first volume where there is none', () => {
    const raw = aRawPod([`${TEAM}/app`]);

    const after = applied(raw, patch(raw, onNode));

    expect((after['spec'] as Raw)['volumes']).toEqual([volume]);
    expect(after).not.toHaveProperty(['spec', 'imagePullSecrets']);
    expect(after).toMatchObject({
      metadata: { annotations: { 'keyless-pull.dev/credentials': 'team=kubelet' } },
    });
  });

  test('comes behind the others, with one source per rule', () => {
    const raw = aRawPod([`${TEAM}/app`, 'a.other.example/x'], { volumes: [{ name: 'tmp', emptyDir: {} }] });

    const after = applied(raw, patch(raw, onBoth));

    const other = { serviceAccountToken: { audience: 'other', expirationSeconds: 600, path: 'other/token' } };
    expect((after['spec'] as Raw)['volumes']).toEqual([
      { name: 'tmp', emptyDir: {} },
      { name: 'keyless-pull-tokens', projected: { sources: [...sources, other] } },
    ]);
  });

  test('of another life is brought to this plan', () => {
    const old = {
      name: 'keyless-pull-tokens',
      projected: { sources: [{ serviceAccountToken: { audience: 'old', path: 'old/token' } }] },
    };
    const raw = aRawPod([`${TEAM}/app`], { volumes: [{ name: 'tmp', emptyDir: {} }, old] });

    const after = applied(raw, patch(raw, onNode));

    expect((after['spec'] as Raw)['volumes']).toEqual([{ name: 'tmp', emptyDir: {} }, volume]);
  });

  test('of a pod that once pulled from more registries is brought to this plan', () => {
    const more = [
      ...sources,
      { serviceAccountToken: { audience: 'old', expirationSeconds: 3600, path: 'old/token' } },
    ];
    const raw = aRawPod([`${TEAM}/app`], {
      volumes: [{ name: 'keyless-pull-tokens', projected: { sources: more } }],
    });

    expect((applied(raw, patch(raw, onNode))['spec'] as Raw)['volumes']).toEqual([volume]);
  });

  test('is not needed where the rule says so, and the pod is marked all the same', () => {
    const settings = { ...onNode, rules: [aRule({ delivery: ['kubelet'], token: { inject: 'none' } })] };

    const paths = patch(aRawPod([`${TEAM}/app`]), settings).map(({ path }) => path);

    expect(paths).toEqual(['/metadata/labels', '/metadata/annotations']);
  });

  test('that the API server filled in stays as it is', () => {
    const defaulted = { name: 'keyless-pull-tokens', projected: { sources, defaultMode: 420 } };
    const raw = aRawPod([`${TEAM}/app`], { volumes: [defaulted] });

    expect(patch(raw, onNode).filter(({ path }) => path.startsWith('/spec/volumes'))).toEqual([]);
  });

  test("is not made of somebody else's volume that only has its name", () => {
    const raw = aRawPod([`${TEAM}/app`], { volumes: [{ name: 'keyless-pull-tokens', emptyDir: {} }] });

    expect(patch(raw, onNode).filter(({ path }) => path.startsWith('/spec/volumes'))).toEqual([]);
  });
});

test('the annotation says rule and Secret, or that the node serves it, in the order of the plan', () => {
  const raw = aRawPod([`${TEAM}/app`, 'a.other.example/x']);
  const plan = planOf(viewPod(raw), onBoth);

  const [team, other] = plan.needs.map(({ need }) => need.secretName);
  expect(credentialsText(plan)).toBe(`team=${team}, other=${other}, team=kubelet`);
});

describe('of 20,000 generated pods', () => {
  const image = fc.constantFrom(
    `${TEAM}/app:1`,
    `${TEAM}/b@sha256:${'a'.repeat(64)}`,
    'a.other.example/x',
    'b.other.example/y',
    'nginx',
    'ghcr.io/a/b',
    'NOT valid',
  );
  const named = (...names: string[]) => fc.constantFrom(...names).map((name) => ({ name }));
  const container = fc.record(
    { name: fc.constantFrom('a', 'b'), image, unknownField: fc.constant({ deep: [null, { x: 1 }] }) },
    { requiredKeys: [] },
  );
  const volume = fc.oneof(
    fc.constant({ name: 'tmp', emptyDir: {} }),
    fc.constant({ name: 'keyless-pull-tokens', emptyDir: {} }),
    fc.constant({ name: 'keyless-pull-tokens', projected: { sources: [], defaultMode: 420 } }),
    image.map((reference) => ({ name: 'model', image: { reference } })),
  );
  const map = fc.dictionary(
    fc.constantFrom(
      'app',
      'keyless-pull.dev/managed',
      'keyless-pull.dev/credentials',
      'keyless-pull.dev/inject',
      'a~b/c',
    ),
    fc.constantFrom('true', 'disabled', 'x'),
    { maxKeys: 3 },
  );
  const few = { maxLength: 3 };
  const spec = fc.record(
    {
      containers: fc.array(container, few),
      initContainers: fc.array(container, { maxLength: 1 }),
      imagePullSecrets: fc.option(fc.array(named('static', SECRET), few)),
      schedulingGates: fc.option(fc.array(named('keyless-pull.dev/credentials', 'other.example/g'), few)),
      volumes: fc.option(fc.array(volume, few)),
      fieldOfTomorrow: fc.constant({ kept: true }),
    },
    { requiredKeys: [] },
  );
  const metadata = fc.record(
    { name: fc.constant('p'), labels: fc.option(map), annotations: fc.option(map) },
    { requiredKeys: ['name'] },
  );
  const pods = fc.record(
    { metadata, spec, status: fc.constant({}), kindOfTomorrow: fc.constant(1) },
    { requiredKeys: ['metadata', 'spec'] },
  );

  test('each patch applies, adds alone, leaves the rest as it was, and makes the next one empty', () => {
    fc.assert(
      fc.property(pods, fc.constantFrom(onSecret, onNode, onBoth), fc.boolean(), (raw, settings, gate) => {
        const before = JSON.stringify(raw);

        const operations = patch(raw, settings, gate);
        const after = applied(raw, operations);

        if (JSON.stringify(raw) !== before) throw new Error('the pod itself was changed');
        if (patch(after, settings, gate).length > 0) throw new Error('a second pass finds something to do');
        const removed = operations.filter(({ op }) => op === 'remove');
        if (gate && removed.length > 0) throw new Error('something was removed');
        if (JSON.stringify(without(after)) !== JSON.stringify(without(raw)))
          throw new Error('something of others was changed');
      }),
      { numRuns: 20_000 },
    );
  });

  /** The pod without anything that is ours to add. */
  function without(raw: Raw): unknown {
    const pod = structuredClone(raw) as { metadata: Raw; spec: Raw };
    const others = (list: unknown, mine: (name: string) => boolean) =>
      (Array.isArray(list) ? (list as { name: string }[]) : []).filter(({ name }) => !mine(name));
    const { imagePullSecrets, schedulingGates, volumes, ...spec } = pod.spec;
    const { labels, annotations, ...metadata } = pod.metadata;
    const pairs = (members: unknown) =>
      Object.entries((members ?? {}) as Raw).filter(
        ([key]) => !/^keyless-pull.dev.(managed|credentials)$/.test(key),
      );
    return {
      ...pod,
      spec,
      metadata,
      labels: pairs(labels),
      annotations: pairs(annotations),
      secrets: others(imagePullSecrets, (name) => name.startsWith('keyless-pull-')),
      gates: others(schedulingGates, (name) => name === GATE.name),
      volumes: others(volumes, (name) => name === 'keyless-pull-tokens'),
    };
  }
});
