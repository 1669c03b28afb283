// Our volumes in a raw pod, and their mounts in its init and ordinary containers. What a container has at that path, of
// that volume or under that variable is its own and stays; nothing is mounted with subPath, which never sees a renewal.
import { fieldsOf, listOf, textOf, type Fields } from './fields.ts';
import { DOCKER_CONFIG_VOLUME, TOKEN_VOLUME, UNMOUNTED_TOKEN_VOLUME } from './vocabulary.ts';
import type { PatchOperation } from './pod-patch.ts';
import type { Plan } from './pull-plan.ts';
import type { TokenSource } from './token-volume.ts';

export const TOKEN_PATH = '/var/run/secrets/keyless-pull.dev';
/** Beside the tokens, not below: no runtime could make a mount point inside a read-only volume. */
export const DOCKER_CONFIG_PATH = '/var/run/secrets/keyless-pull.dev-docker';

type Parts = Pick<Plan, 'tokens' | 'inPod'>;

interface Volume {
  readonly name: string;
  /** The member of a volume that makes it ours. */
  readonly kind: 'projected' | 'secret';
  readonly value: Fields;
  /** Whether this member of another life, with what the API server filled in, is the same. */
  readonly isSame: (present: Fields) => boolean;
}

export function addVolumes(operations: PatchOperation[], spec: Fields, plan: Parts): void {
  const missing: unknown[] = [];
  for (const { name, kind, value, isSame } of volumesOf(plan)) {
    const [present, at] = find(spec, name);
    if (!present) missing.push({ name, [kind]: value });
    // Adding a member that exists replaces it (RFC 6902 section 4.1): the volume of another life is brought to this plan.
    else if (Object.hasOwn(present, kind) && !isSame(fieldsOf(present[kind])))
      operations.push({ op: 'add', path: `/spec/volumes/${at}/${kind}`, value });
  }
  append(operations, '/spec/volumes', spec['volumes'], missing);
}

/** Names of volumes that we would need and that are of somebody else's making: they stay, and nothing is mounted of them. */
export function takenVolumes(spec: Fields, plan: Parts): string[] {
  return volumesOf(plan)
    .filter(({ name, kind }) => {
      const [present] = find(spec, name);
      return present !== undefined && !Object.hasOwn(present, kind);
    })
    .map(({ name }) => name);
}

export function addMounts(operations: PatchOperation[], spec: Fields, plan: Parts): void {
  const taken = takenVolumes(spec, plan);
  const wanted = [
    { name: TOKEN_VOLUME, mountPath: TOKEN_PATH, containers: new Set(plan.inPod.tokens?.containers) },
    {
      name: DOCKER_CONFIG_VOLUME,
      mountPath: DOCKER_CONFIG_PATH,
      containers: new Set(plan.inPod.dockerConfig?.containers),
    },
  ].filter(({ name, containers }) => containers.size > 0 && !taken.includes(name));
  if (wanted.length === 0) return;
  for (const field of ['initContainers', 'containers']) {
    for (const [at, container] of listOf(spec[field]).entries()) {
      const mounts = listOf(container['volumeMounts']);
      const missing = [];
      let hasDockerConfig = false;
      for (const { name, mountPath, containers } of wanted) {
        if (!containers.has(textOf(container['name']))) continue;
        const present = mounts.filter((mount) => mount['name'] === name || isAt(mount, mountPath));
        if (present.length === 0) missing.push({ name, mountPath, readOnly: true });
        if (name !== DOCKER_CONFIG_VOLUME) continue;
        hasDockerConfig = present.every((mount) => mount['name'] === name && isAt(mount, mountPath));
      }
      const path = `/spec/${field}/${at}`;
      append(operations, `${path}/volumeMounts`, container['volumeMounts'], missing);
      if (!hasDockerConfig || listOf(container['env']).some(({ name }) => name === 'DOCKER_CONFIG')) continue;
      append(operations, `${path}/env`, container['env'], [
        { name: 'DOCKER_CONFIG', value: DOCKER_CONFIG_PATH },
      ]);
    }
  }
}

/** Behind what is there, or as a new list where there is none. */
export function append(
  operations: PatchOperation[],
  path: string,
  present: unknown,
  values: readonly unknown[],
): void {
  if (values.length === 0) return;
  if (!Array.isArray(present)) operations.push({ op: 'add', path, value: values });
  else for (const value of values) operations.push({ op: 'add', path: `${path}/-`, value });
}

function volumesOf({ tokens, inPod }: Parts): Volume[] {
  const isMounted = ({ rule }: TokenSource) => !inPod.tokens || inPod.tokens.rules.includes(rule);
  const volumes: Volume[] = [];
  const unmounted = tokens.filter((token) => !isMounted(token));
  if (unmounted.length < tokens.length) volumes.push(tokenVolume(TOKEN_VOLUME, tokens.filter(isMounted)));
  if (unmounted.length > 0) volumes.push(tokenVolume(UNMOUNTED_TOKEN_VOLUME, unmounted));
  if (inPod.dockerConfig) volumes.push(dockerConfigVolume(inPod.dockerConfig.secretName));
  return volumes;
}

function tokenVolume(name: string, tokens: readonly TokenSource[]): Volume {
  const sources = tokens.map(({ rule, audience, expirationSeconds }) => ({
    serviceAccountToken: { audience, expirationSeconds, path: `${rule}/token` },
  }));
  const isSame = (present: Fields) => {
    const all = present['sources'];
    if (!Array.isArray(all) || all.length !== sources.length) return false;
    return sources.every(({ serviceAccountToken: wanted }, index) => {
      const source = fieldsOf(fieldsOf(all[index])['serviceAccountToken']);
      return Object.entries(wanted).every(([key, value]) => source[key] === value);
    });
  };
  return { name, kind: 'projected', value: { sources }, isSame };
}

/** Optional, so that a pod that is not held until its Secret exists starts all the same. */
function dockerConfigVolume(secretName: string): Volume {
  const items = [{ key: '.dockerconfigjson', path: 'config.json' }];
  const isSame = (present: Fields) => {
    const [item, ...others] = listOf(present['items']);
    if (present['secretName'] !== secretName || present['optional'] !== true || others.length > 0)
      return false;
    return item?.['key'] === items[0]?.key && item?.['path'] === items[0]?.path;
  };
  return {
    name: DOCKER_CONFIG_VOLUME,
    kind: 'secret',
    value: { secretName, optional: true, items },
    isSame,
  };
}

function find(spec: Fields, name: string): [Fields | undefined, number] {
  const volumes = listOf(spec['volumes']);
  const at = volumes.findIndex((volume) => volume['name'] === name);
  return [volumes[at], at];
}

/** "/a//b/" is "/a/b". */
function isAt({ mountPath }: Fields, path: string): boolean {
  if (typeof mountPath !== 'string') return false;
  const steps = mountPath.split('/').filter((step) => step !== '' && step !== '.');
  return `/${steps.join('/')}` === path;
}
