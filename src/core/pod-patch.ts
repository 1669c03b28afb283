// The JSON patch (RFC 6902) that brings a raw pod to what its plan says: `add` alone, nothing replaced or reordered, and
// nothing at all where nothing is missing. The one `remove` is our own gate where it may not be.
import { fieldsOf, isGated, type PodView } from './pod-view.ts';
import { CREDENTIALS_ANNOTATION, GATE, MANAGED_LABEL, TOKEN_VOLUME } from './vocabulary.ts';
import type { Plan, TokenSource } from './pull-plan.ts';

export type PatchOperation =
  | { readonly op: 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * @param raw the pod as the API server sent it
 * @param pod its view
 * @param gate whether the pod must wait for a credential
 * @returns operations that apply to `raw` one after the other; none if the pod is as it should be
 */
export function patchFor(raw: unknown, pod: PodView, plan: Plan, gate: boolean): PatchOperation[] {
  const object = fieldsOf(raw);
  const metadata = fieldsOf(object['metadata']);
  const spec = fieldsOf(object['spec']);
  const carries = plan.needs.length > 0 || plan.onNode.length > 0 || plan.tokens.length > 0;
  const operations: PatchOperation[] = [];
  if (carries) {
    appendMissing(
      operations,
      spec,
      'imagePullSecrets',
      pod.pullSecrets,
      plan.needs.map(({ need }) => need.secretName),
    );
    addTokenVolume(operations, spec, plan.tokens);
    setMember(operations, metadata, 'labels', MANAGED, 'true');
    setMember(operations, metadata, 'annotations', CREDENTIALS, credentialsText(plan));
  }
  if (gate) appendMissing(operations, spec, 'schedulingGates', pod.gates, [GATE]);
  else if (isGated(pod)) removeGates(operations, spec);
  return operations;
}

/** `team-registry=keyless-pull-…, ecr=kubelet`: for people, never read back. */
export function credentialsText(plan: Plan): string {
  const secrets = plan.needs.map(({ need }) => `${need.rule}=${need.secretName}`);
  return [...secrets, ...plan.onNode.map((rule) => `${rule}=kubelet`)].join(', ');
}

function appendMissing(
  operations: PatchOperation[],
  spec: Readonly<Record<string, unknown>>,
  field: string,
  present: readonly string[],
  wanted: readonly string[],
): void {
  const missing = wanted.filter((name) => !present.includes(name)).map((name) => ({ name }));
  if (missing.length === 0) return;
  if (Array.isArray(spec[field])) {
    for (const value of missing) operations.push({ op: 'add', path: `/spec/${field}/-`, value });
  } else {
    operations.push({ op: 'add', path: `/spec/${field}`, value: missing });
  }
}

function addTokenVolume(
  operations: PatchOperation[],
  spec: Readonly<Record<string, unknown>>,
  tokens: readonly TokenSource[],
): void {
  if (tokens.length === 0) return;
  const projected = {
    sources: tokens.map((token) => ({
      serviceAccountToken: {
        audience: token.audience,
        expirationSeconds: token.expirationSeconds,
        path: `${token.rule}/token`,
      },
    })),
  };
  const volumes = Array.isArray(spec['volumes']) ? spec['volumes'] : undefined;
  const at = volumes?.findIndex((volume) => fieldsOf(volume)['name'] === TOKEN_VOLUME) ?? -1;
  if (!volumes) {
    operations.push({ op: 'add', path: '/spec/volumes', value: [{ name: TOKEN_VOLUME, projected }] });
  } else if (at === -1) {
    operations.push({ op: 'add', path: '/spec/volumes/-', value: { name: TOKEN_VOLUME, projected } });
  } else if (Object.hasOwn(fieldsOf(volumes[at]), 'projected') && !hasSources(volumes[at], tokens)) {
    // Adding a member that exists replaces it (RFC 6902 section 4.1): the volume of another life is brought to this plan.
    operations.push({ op: 'add', path: `/spec/volumes/${at}/projected`, value: projected });
  }
}

function hasSources(volume: unknown, tokens: readonly TokenSource[]): boolean {
  const sources = fieldsOf(fieldsOf(volume)['projected'])['sources'];
  if (!Array.isArray(sources) || sources.length !== tokens.length) return false;
  return tokens.every((token, index) => {
    const source = fieldsOf(fieldsOf(sources[index])['serviceAccountToken']);
    return (
      source['audience'] === token.audience &&
      source['expirationSeconds'] === token.expirationSeconds &&
      source['path'] === `${token.rule}/token`
    );
  });
}

interface Member {
  readonly key: string;
  /** The key as RFC 6901 section 3 writes it. */
  readonly pointer: string;
}

function memberOf(key: string): Member {
  return { key, pointer: key.replaceAll('~', '~0').replaceAll('/', '~1') };
}

const MANAGED = memberOf(MANAGED_LABEL);
const CREDENTIALS = memberOf(CREDENTIALS_ANNOTATION);

function setMember(
  operations: PatchOperation[],
  metadata: Readonly<Record<string, unknown>>,
  field: 'labels' | 'annotations',
  { key, pointer }: Member,
  value: string,
): void {
  const members = metadata[field];
  if (typeof members !== 'object' || members === null) {
    operations.push({ op: 'add', path: `/metadata/${field}`, value: { [key]: value } });
  } else if (!Object.hasOwn(members, key) || (members as Record<string, unknown>)[key] !== value) {
    operations.push({ op: 'add', path: `/metadata/${field}/${pointer}`, value });
  }
}

/** From the last to the first, so that the indices of the operations before stay true. */
function removeGates(operations: PatchOperation[], spec: Readonly<Record<string, unknown>>): void {
  const gates = Array.isArray(spec['schedulingGates']) ? spec['schedulingGates'] : [];
  for (let at = gates.length - 1; at >= 0; at--) {
    if (fieldsOf(gates[at])['name'] === GATE)
      operations.push({ op: 'remove', path: `/spec/schedulingGates/${at}` });
  }
}
