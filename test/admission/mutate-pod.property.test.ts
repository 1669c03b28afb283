// What holds for every pod there could be: tried on a hundred thousand.
import { expect, test } from 'vitest';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import type { AdmissionRequest } from '../../src/admission/review.ts';
import type { AccountView } from '../../src/core/pod-view.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { RegistryRule } from '../../src/core/registry-rule.ts';
import { GATE, TOKEN_VOLUME } from '../../src/core/vocabulary.ts';
import type { Standing } from '../../src/credentials/keeper.ts';
import { createChance, generatePod, type Chance } from '../fakes/admission-generated-pods.ts';
import { applyStrictly } from '../fakes/admission-pod-patch.ts';
import { createAdmissionView, createBlindLookup } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const PODS = 100_000;

const rules = [
  { name: 'team-registry', hosts: ['registry.team.example:5000'], token: { inject: 'volume' } },
  { name: 'mesh', hosts: ['mesh.example'], whenPending: 'admit' },
  { name: 'models', hosts: ['models.example', '*.models.example'], whenRefused: 'deny' },
  { name: 'node', hosts: ['node.example'], delivery: ['kubelet'] },
].map((rule) => RegistryRule.parse({ audience: rule.name, exchange: { kind: 'ecr' }, ...rule }));

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

function standingFor(chance: Chance): Standing {
  return chance.oneOf<Standing>([
    { kind: 'ready', expiresAt: clock.now() + 3_600_000 },
    { kind: 'pending' },
    { kind: 'pending' },
    { kind: 'refused', code: 'exchange-refused', message: 'no' },
    { kind: 'refused', code: 'secret-not-ours', message: 'no' },
  ]);
}

test(
  'mutating twice is mutating once, patches apply and only add, and no needs mean no patch',
  { timeout: 60_000 },
  async () => {
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
      const raw = generatePod(chance, ownSecrets);
      standing = standingFor(chance);
      workerIsAlive = chance.happens(0.8);
      const before = JSON.stringify(raw);

      const verdict = await mutate(call, reviewOf(raw));

      tally[verdict.kind] = (tally[verdict.kind] ?? 0) + 1;
      if (JSON.stringify(raw) !== before) throw new Error(`seed ${seed}: the pod itself was changed`);
      if (verdict.kind !== 'patch') continue;
      try {
        const patched = applyStrictly(raw, verdict.operations);
        holdToPromises(raw, patched, verdict.reason);
        const again = await mutate(call, reviewOf(patched));
        if (again.kind !== 'allow') throw new Error(`the second pass is ${JSON.stringify(again)}`);
      } catch (error) {
        throw new Error(`seed ${seed}: ${before}`, { cause: error });
      }
    }

    // All three outcomes were really tried.
    expect(Math.min(tally['allow'] ?? 0, tally['patch'] ?? 0, tally['deny'] ?? 0)).toBeGreaterThan(1_000);
  },
);

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
  const isOurs = (text: string) => text.includes(GATE) || text.includes(TOKEN_VOLUME);
  for (const [field, value] of Object.entries(raw.spec)) {
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
