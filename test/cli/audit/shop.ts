// A shop as objects: workloads, accounts and Secrets of every make, as manifests have them, and as an API server has stored them.
import type { RawObject } from '../../../src/cli/objects/json-objects.ts';

export const TEAM = 'registry.team.example';
/** Stands in every password, so that a leak is seen. */
export const MARK = 'M4rked-P4ssword';

export const CONFIG = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry
    hosts: [${TEAM}]
    audience: https://${TEAM}
    exchange: { kind: pass-through }
  - name: ecr
    hosts: ["*.dkr.ecr.*.amazonaws.com"]
    registries: ["111122223333"]
    audience: pull.team.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation, accept: [eks.amazonaws.com/ecr-role-arn] } }
`;

export function namespace(name: string, labels: Record<string, string> = {}): RawObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function account(
  of: string,
  name: string,
  {
    secrets = [],
    annotations = {},
  }: { secrets?: readonly string[]; annotations?: Record<string, string> } = {},
): RawObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { namespace: of, name, annotations },
    ...(secrets.length > 0 && { imagePullSecrets: secrets.map((secret) => ({ name: secret })) }),
  };
}

export interface PodWish {
  readonly account?: string;
  readonly images?: readonly string[];
  readonly secrets?: readonly string[];
}

export function podSpec({ account: of = 'default', images = [`${TEAM}/web:1`], secrets = [] }: PodWish = {}) {
  return {
    serviceAccountName: of,
    ...(secrets.length > 0 && { imagePullSecrets: secrets.map((name) => ({ name })) }),
    containers: images.map((image, at) => ({ name: `c${at}`, image })),
  };
}

const labels = (name: string) => ({ app: name });

export function deployment(of: string, name: string, wish: PodWish = {}, replicas = 1): RawObject {
  const template = { metadata: { labels: labels(name) }, spec: podSpec(wish) };
  const spec = { replicas, selector: { matchLabels: labels(name) }, template };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: of, name }, spec };
}

export function cronJob(of: string, name: string, wish: PodWish = {}): RawObject {
  const template = { spec: { ...podSpec(wish), restartPolicy: 'Never' } };
  const spec = { schedule: '0 3 * * *', jobTemplate: { spec: { template } } };
  return { apiVersion: 'batch/v1', kind: 'CronJob', metadata: { namespace: of, name }, spec };
}

export function pod(of: string, name: string, wish: PodWish = {}, more: object = {}): RawObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: of, name, ...more },
    spec: podSpec(wish),
  };
}

/** What the API server has besides: an owner, a uid, a time. */
export function ownedBy(kind: string, name: string, apiVersion = 'apps/v1') {
  return {
    uid: `uid-${name}`,
    ownerReferences: [{ apiVersion, kind, name, uid: `uid-${name}`, controller: true }],
  };
}

/** With a login for each host. */
export function pullSecret(
  of: string,
  name: string,
  hosts: readonly string[],
  createdAt?: string,
): RawObject {
  const login = { username: 'robot', password: MARK, auth: Buffer.from(`robot:${MARK}`).toString('base64') };
  const content = JSON.stringify({ auths: Object.fromEntries(hosts.map((host) => [host, login])) });
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: of, name, ...(createdAt !== undefined && { creationTimestamp: createdAt }) },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(content).toString('base64') },
  };
}
