// Pods of all shapes from a seed: fast enough for a hundred thousand, and the same ones each time.
import {
  CREDENTIALS_ANNOTATION,
  GATE,
  INJECT_LABEL,
  MANAGED_LABEL,
  TOKEN_VOLUME,
} from '../../src/core/vocabulary.ts';

/** mulberry32: small, and good enough to mix shapes. */
export function createChance(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    happens: (probability: number) => next() < probability,
    upTo: (most: number) => Math.floor(next() * (most + 1)),
    oneOf: <Item>(items: readonly Item[]): Item => items[Math.floor(next() * items.length)] as Item, // never empty here
  };
}
export type Chance = ReturnType<typeof createChance>;

const IMAGES = [
  'registry.team.example:5000/web/app:1',
  'registry.team.example:5000/web/other@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
  'REGISTRY.team.example:5000/web/app',
  'registry.team.example/web/app',
  'mesh.example/proxy',
  'models.example/small:7',
  'node.example/app',
  'nginx',
  'library/nginx:latest',
  'ghcr.io/public/app',
  'localhost/app',
];
/** Rarer: each costs a Problem with its stack. */
const BAD_IMAGES = ['ghcr.io/Bad/App', '', ':', '__proto__/app'];

/** @param ownSecrets managed names that may stand in the pod already */
export function generatePod(chance: Chance, ownSecrets: readonly string[]): Record<string, unknown> {
  const spec: Record<string, unknown> = { containers: containers(chance, 1) };
  const metadata: Record<string, unknown> = {};
  if (chance.happens(0.5)) metadata['name'] = 'web';
  else metadata['generateName'] = 'web-';
  if (chance.happens(0.3)) spec['initContainers'] = chance.happens(0.1) ? null : containers(chance, 0);
  if (chance.happens(0.1)) spec['ephemeralContainers'] = containers(chance, 0);
  if (chance.happens(0.8))
    spec['serviceAccountName'] = chance.oneOf(['builder', 'listed', 'guarded', 'unseen', '']);
  if (chance.happens(0.2)) spec['fieldOfTomorrow'] = { deep: [null, { ['__proto__x']: 1 }] };
  if (chance.happens(0.2)) spec['nodeName'] = chance.oneOf(['node-a', '']);
  if (chance.happens(0.1)) spec['priorityClassName'] = chance.oneOf(['system-node-critical', 'high']);
  if (chance.happens(0.5)) spec['imagePullSecrets'] = pullSecrets(chance, ownSecrets);
  if (chance.happens(0.3)) spec['schedulingGates'] = gates(chance);
  if (chance.happens(0.4)) spec['volumes'] = volumes(chance);
  if (chance.happens(0.4)) metadata['labels'] = labels(chance);
  if (chance.happens(0.4)) metadata['annotations'] = annotations(chance);
  if (chance.happens(0.1))
    metadata['ownerReferences'] = [{ kind: chance.oneOf(['DaemonSet', 'ReplicaSet']) }];
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec };
}

function containers(chance: Chance, atLeast: number): unknown[] {
  return Array.from({ length: atLeast + chance.upTo(3) }, (_, at) => ({
    name: `c${at}`,
    ...(chance.happens(0.95) && { image: chance.oneOf(chance.happens(0.03) ? BAD_IMAGES : IMAGES) }),
    ...(chance.happens(0.2) && { volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
  }));
}

function pullSecrets(chance: Chance, ownSecrets: readonly string[]): unknown {
  if (chance.happens(0.1)) return null;
  return Array.from({ length: chance.upTo(3) }, () =>
    chance.oneOf([
      { name: 'nexus' },
      { name: 'zeta' },
      {},
      { name: '' },
      ...ownSecrets.map((name) => ({ name })),
    ]),
  );
}

function gates(chance: Chance): unknown {
  if (chance.happens(0.1)) return null;
  return Array.from({ length: chance.upTo(3) }, () => ({ name: chance.oneOf([GATE, 'example.com/quota']) }));
}

function volumes(chance: Chance): unknown {
  if (chance.happens(0.1)) return null;
  return Array.from({ length: chance.upTo(2) }, () =>
    chance.oneOf<object>([
      { name: 'data', emptyDir: {} },
      { name: 'model', image: { reference: 'models.example/small:7' } },
      { name: TOKEN_VOLUME, projected: { sources: [{ serviceAccountToken: { path: 'old/token' } }] } },
      { name: TOKEN_VOLUME, emptyDir: {} },
    ]),
  );
}

function labels(chance: Chance): unknown {
  if (chance.happens(0.1)) return null;
  return {
    app: 'web',
    ...(chance.happens(0.3) && { [MANAGED_LABEL]: chance.oneOf(['true', 'false']) }),
    ...(chance.happens(0.1) && { [INJECT_LABEL]: 'disabled' }),
  };
}

function annotations(chance: Chance): unknown {
  if (chance.happens(0.1)) return null;
  return {
    'a/b~c': 'd',
    ...(chance.happens(0.3) && { [CREDENTIALS_ANNOTATION]: 'of=another-life' }),
    ...(chance.happens(0.05) && { 'kubernetes.io/config.mirror': 'x' }),
  };
}
