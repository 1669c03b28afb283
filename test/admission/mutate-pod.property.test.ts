// What holds for every pod there could be: tried on a hundred thousand.
import { expect, test } from 'vitest';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import type { AdmissionRequest } from '../../src/admission/review.ts';
import type { AccountView } from '../../src/core/pod-view.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import {
  DOCKER_CONFIG_ANNOTATION,
  DOCKER_CONFIG_VOLUME,
  GATE,
  MOUNT_ANNOTATION,
  TOKEN_VOLUME,
  UNMOUNTED_TOKEN_VOLUME,
} from '../../src/core/vocabulary.ts';
import type { Standing } from '../../src/credentials/keeper.ts';
import { createChance, generatePod, type Chance } from '../fakes/admission-generated-pods.ts';
import { applyStrictly } from '../fakes/admission-pod-patch.ts';
import { createAdmissionView, createBlindLookup } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { Rule } from '../fakes/builders.ts';

const PODS = 100_000;

const rules = [
  { name: 'team-registry', hosts: ['registry.team.example:5000'], token: { inject: 'volume' } },
  { name: 'mesh', hosts: ['mesh.example'], whenPending: 'admit', inPod: ['token', 'docker-config'] },
  {
    name: 'models',
    hosts: ['models.example', '*.models.example'],
    whenRefused: 'deny',
    token: { inject: 'mount' },
    inPod: ['docker-config'],
  },
  { name: 'node', hosts: ['node.example'], delivery: ['kubelet'] },
].map((rule) => Rule.parse({ audience: rule.name, exchange: { kind: 'pass-through' }, ...rule }));

const account = (name: string, more: Partial<AccountView> = {}): AccountView => ({
  namespace: 'team-a',
  name,
  uid: `uid-of-${name}`,
  annotations: {},
  pullSecrets: [],
  isDeleting: false,
  ...more,
});
const guarded = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
const meshOfListed = secretNameFor('listed', 'mesh', '', 'mesh.example');
const view = createAdmissionView({
  namespaces: [{ name: 'team-a', labels: { 'keyless-pull.dev/inject': 'enabled' }, isTerminating: false }],
  accounts: [
    account('default'),
    account('builder'),
    account('guarded', { annotations: guarded }),
    account('listed', { annotations: guarded, pullSecrets: [meshOfListed] }),
  ],
});
const ownSecrets = [
  meshOfListed,
  secretNameFor('builder', 'team-registry', '', 'registry.team.example:5000'),
  secretNameFor('stranger', 'mesh', '', 'mesh.example'),
];
const clock = createHandClock();

const inPodVolumes = [
  { name: DOCKER_CONFIG_VOLUME, secret: { secretName: 'of-another-life' } },
  { name: DOCKER_CONFIG_VOLUME, configMap: { name: 'not-ours' } },
  { name: UNMOUNTED_TOKEN_VOLUME, projected: { defaultMode: 420 } },
];
const inPodMounts = [
  { name: TOKEN_VOLUME, mountPath: '/tokens', subPath: 'mesh/token' },
  { name: 'data', mountPath: '/var/run/secrets/keyless-pull.dev/' },
  { name: DOCKER_CONFIG_VOLUME, mountPath: '/var/run/secrets/keyless-pull.dev-docker' },
  { name: 'data', mountPath: '/var/run/secrets/keyless-pull.dev-docker' },
];

/** The same pod, half of the time asking for things in its containers, some of which it has from another life. */
function withRequests(
  chance: Chance,
  raw: Record<string, unknown>,
  names = ['mesh', 'models', 'team-registry', 'ghost', ''],
): Record<string, unknown> {
  if (chance.happens(0.5)) return raw;
  const { metadata, spec } = raw as Raw;
  const list = () =>
    chance.oneOf(['*', 'c0', 'c1,c0', 'c0, ghost', '', 'c0,', '*,c0', '\u202e', 'c'.repeat(5000)]);
  const rule = () => chance.oneOf(names);
  const annotations = {
    ...(metadata['annotations'] as object | null),
    ...(chance.happens(0.7) && { [MOUNT_ANNOTATION]: list() }),
    ...(chance.happens(0.7) && {
      [DOCKER_CONFIG_ANNOTATION]: `${rule()}:${list()}${chance.happens(0.1) ? ',mesh:c0' : ''}`,
    }),
  };
  if (chance.happens(0.2) && Array.isArray(spec['volumes'])) spec['volumes'].push(chance.oneOf(inPodVolumes));
  if (chance.happens(0.2)) spec['automountServiceAccountToken'] = chance.happens(0.5);
  for (const container of spec['containers'] as Record<string, unknown>[]) {
    if (chance.happens(0.2))
      container['volumeMounts'] = chance.oneOf([null, [], [chance.oneOf(inPodMounts)]]);
    if (chance.happens(0.2))
      container['env'] = chance.oneOf([null, [], [{ name: 'DOCKER_CONFIG', value: '/x' }], [{ name: 'A' }]]);
  }
  return { ...raw, metadata: { ...metadata, annotations } };
}

function standingFor(chance: Chance): Standing {
  return chance.oneOf<Standing>([
    { kind: 'ready', expiresAt: clock.now() + 3_600_000 },
    { kind: 'pending' },
    { kind: 'pending' },
    { kind: 'refused', code: 'exchange-refused', message: 'no' },
    { kind: 'refused', code: 'secret-not-ours', message: 'no' },
  ]);
}

test('mutating twice is mutating once, patches apply and only add, and no needs mean no patch', async () => {
  let standing: Standing = { kind: 'pending' };
  let workerIsAlive = true;
  const mutate = createMutatePod({
    view,
    lookup: createBlindLookup(view),
    keeper: { standingOf: () => standing },
    settings: () => ({ rules, needsPerPod: 2 }),
    workerIsAlive: () => workerIsAlive,
    clock,
  });
  const call = { signal: () => new AbortController().signal };
  const tally: Record<string, number> = {};

  for (let seed = 0; seed < PODS; seed++) {
    const chance = createChance(seed);
    const raw = withRequests(chance, generatePod(chance, ownSecrets));
    standing = standingFor(chance);
    workerIsAlive = chance.happens(0.8);
    const before = JSON.stringify(raw);

    const verdict = await mutate(call, reviewOf(raw));

    tally[verdict.kind] = (tally[verdict.kind] ?? 0) + 1;
    if (JSON.stringify(raw) !== before) throw new Error(`seed ${seed}: the pod itself was changed`);
    for (const warning of verdict.warnings) {
      if (warning.length > 400 || /[\p{C}\p{Zl}\p{Zp}]/u.test(warning))
        throw new Error(`seed ${seed}: a warning of ${warning.length} characters`);
    }
    if (verdict.kind !== 'patch') continue;
    for (const { path } of verdict.operations) {
      const what = /^\/spec\/(?:initC|c)ontainers\/\d+\/(volumeMounts|env)/.exec(path)?.[1];
      if (what) tally[what] = (tally[what] ?? 0) + 1;
    }
    try {
      const patched = applyStrictly(raw, verdict.operations);
      holdToPromises(raw, patched, verdict.reason);
      const again = await mutate(call, reviewOf(patched));
      if (again.kind !== 'allow') throw new Error(`the second pass is ${JSON.stringify(again)}`);
    } catch (error) {
      throw new Error(`seed ${seed}: ${before}`, { cause: error });
    }
  }

  // All three outcomes were really tried, and both kinds of additions to a container.
  for (const what of ['allow', 'patch', 'deny', 'volumeMounts', 'env'])
    expect(tally[what], what).toBeGreaterThan(1_000);
});

test('an account that only a live look finds is given what it would be given had the watch seen it', async () => {
  const robots = Rule.parse({
    name: 'robots',
    hosts: ['ghcr.io'],
    audience: 'robots',
    exchange: { kind: 'quay' },
    parameters: { robot: { from: 'annotation' } },
    inPod: ['docker-config'],
  });
  const robot = { 'keyless-pull.dev/robot': 'web+pull' };
  const accounts = [account('default', { annotations: robot }), account('builder', { annotations: robot })];
  const namespaces = [
    { name: 'team-a', labels: { 'keyless-pull.dev/inject': 'enabled' }, isTerminating: false },
  ];
  const seen = createAdmissionView({ namespaces, accounts });
  const mutators = [seen, createAdmissionView({ namespaces, accounts: [] })].map((known) =>
    createMutatePod({
      view: known,
      lookup: {
        account: async (namespace, name) => seen.account(namespace, name),
        namespace: async (name) => seen.namespace(name),
      },
      keeper: { standingOf: () => ({ kind: 'pending' }) },
      settings: () => ({ rules: [...rules, robots], needsPerPod: 2 }),
      workerIsAlive: () => true,
      clock,
    }),
  );
  const call = { signal: () => new AbortController().signal };
  let ofRobots = 0;

  for (let seed = 0; seed < 10_000; seed++) {
    const chance = createChance(seed);
    const raw = withRequests(chance, generatePod(chance, ownSecrets), ['robots', 'mesh']);
    const [one, other] = await Promise.all(mutators.map((mutate) => mutate(call, reviewOf(raw))));
    if (JSON.stringify(one) !== JSON.stringify(other))
      throw new Error(`seed ${seed}: ${JSON.stringify(raw)}`);
    if (JSON.stringify(one).includes('robots=')) ofRobots++;
  }

  expect(ofRobots).toBeGreaterThan(500);
});

function reviewOf(object: unknown): AdmissionRequest {
  return {
    uid: 'a-uid',
    group: '',
    kind: 'Pod',
    subResource: '',
    name: '',
    namespace: 'team-a',
    operation: 'CREATE',
    dryRun: false,
    object,
    oldObject: null,
  };
}

type Raw = { metadata: Record<string, unknown>; spec: Record<string, unknown> };

/** Nothing lost, nothing reordered: every list begins with what it had, every map has what it had. */
function holdToPromises(rawPod: unknown, patchedPod: unknown, reason: string): void {
  const raw = rawPod as Raw;
  const patched = patchedPod as Raw;
  const isNoNeed = reason === 'no-needs' || reason === 'opted-out';
  const texts = (value: unknown) => (Array.isArray(value) ? value.map((entry) => JSON.stringify(entry)) : []);
  const isOurs = (text: string) => OURS.some((name) => text.includes(name));
  for (const [field, value] of Object.entries(raw.spec)) {
    if (field === 'initContainers' || field === 'containers') {
      holdContainers(value, patched.spec[field]);
      continue;
    }
    const kept = texts(value).filter((text) => !isOurs(text));
    const now = texts(patched.spec[field]).filter((text) => !isOurs(text));
    if (kept.some((text, at) => now[at] !== text))
      throw new Error(`spec.${field} was reordered or lost an entry`);
    const mayGrow = field === 'imagePullSecrets' && !isNoNeed;
    if (!mayGrow && Array.isArray(value) && now.length !== kept.length) throw new Error(`spec.${field} grew`);
    if (
      value !== null &&
      !Array.isArray(value) &&
      JSON.stringify(patched.spec[field]) !== JSON.stringify(value)
    ) {
      throw new Error(`spec.${field} was changed`);
    }
  }
  if (isNoNeed && JSON.stringify(raw.metadata) !== JSON.stringify(patched.metadata))
    throw new Error('metadata was changed');
}

const OURS = [GATE, TOKEN_VOLUME, UNMOUNTED_TOKEN_VOLUME, DOCKER_CONFIG_VOLUME];

/** Every container keeps its place and all that it had; mounts and variables are appended to, and nothing else. */
function holdContainers(raw: unknown, patched: unknown): void {
  if (!Array.isArray(raw) || !Array.isArray(patched)) {
    if (JSON.stringify(raw) !== JSON.stringify(patched)) throw new Error('a list of containers was changed');
    return;
  }
  if (raw.length !== patched.length) throw new Error('a list of containers grew');
  for (const [at, before] of (raw as Record<string, unknown>[]).entries()) {
    const { volumeMounts = [], env = [], ...rest } = before;
    const { volumeMounts: mountsNow, env: variablesNow, ...restNow } = patched[at] as Record<string, unknown>;
    if (JSON.stringify(rest) !== JSON.stringify(restNow)) throw new Error(`container ${at} was changed`);
    for (const [kept, now] of [
      [volumeMounts ?? [], mountsNow ?? []],
      [env ?? [], variablesNow ?? []],
    ] as [unknown[], unknown[]][]) {
      if (JSON.stringify(now.slice(0, kept.length)) !== JSON.stringify(kept))
        throw new Error(`container ${at} lost or reordered something`);
    }
  }
}
