// What one line of `doctor system` says, which lines there are and in which order, and what its checks share.
import { textOf, fieldsOf } from '../../core/fields.ts';
import { replyOf } from '../doctor/live-cluster.ts';
import { TLS_SECRET } from './expected.ts';
import type { Clock } from '../../clock.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';
import type { Config } from '../../config.ts';
import type { Reply } from '../doctor/doctor-cluster.ts';
import type { Finding } from '../doctor/step.ts';

/** A contract: docs/doctor.md says what each of them checks. */
export const systemStepIds = [
  'cluster',
  'api-version',
  'crd',
  'config',
  'replicas',
  'versions',
  'readyz',
  'rights',
  'webhooks',
  'ca-bundle',
  'other-webhooks',
  'fences',
  'audiences',
  'dry-run',
  'worker',
  'clock',
  'issuer',
  'records',
  'secrets',
] as const;
export type SystemStepId = (typeof systemStepIds)[number];

export interface SystemStep extends Finding {
  readonly step: SystemStepId;
}

export interface SystemCheck {
  readonly step: SystemStepId;
  /** @throws Problem where it could not be checked at all */
  run(look: SystemLook): Finding | Promise<Finding>;
}

export interface SystemChoice {
  /** Where keyless-pull itself runs. */
  readonly ownNamespace: string;
  /** Where the dry-run pod is created; absent: the first namespace that opted in. */
  readonly tryIn?: string;
  /** Absent: the ConfigMap of the installation. */
  readonly config?: Config;
  /** False: not even the Secret that we serve with is read. */
  readonly readsCertificate: boolean;
}

/** The cluster as the checks ask it, each question once. */
export interface SystemLook extends SystemChoice {
  readonly cluster: UserCluster;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  get(path: string): Promise<Reply<unknown>>;
  list(path: string, query?: Readonly<Record<string, string>>): Promise<Reply<readonly unknown[]>>;
  /** Of the worker and of the webhook: the accounts that their Deployments run as. */
  accounts(): Promise<readonly RoleAccount[]>;
  /** What the installation's config says; undefined: it cannot be read. */
  installedConfig?: Config;
}

export interface RoleAccount {
  readonly role: 'all' | 'webhook' | 'worker';
  readonly name: string;
  /** What it serves with. */
  readonly tlsSecret: string;
  /** The worker sees to certificate and caBundle; else cert-manager or its user does. */
  readonly isCertificateOwn: boolean;
}

const DEPLOYMENTS = { labelSelector: 'app.kubernetes.io/name=keyless-pull' };

export function createLook(
  choice: SystemChoice,
  tools: Pick<SystemLook, 'cluster' | 'clock' | 'signal'>,
): SystemLook {
  const { cluster } = tools;
  const asked = new Map<string, Promise<Reply<unknown>>>();
  const once = (key: string, ask: () => Promise<unknown>) => {
    const found = asked.get(key) ?? replyOf(ask);
    asked.set(key, found);
    return found;
  };
  const look: SystemLook = {
    ...choice,
    ...tools,
    get: (path) => once(path, () => cluster.read(path)),
    list: (path, query = {}) =>
      once(`${path} ${JSON.stringify(query)}`, () => cluster.list(path, query)) as Promise<
        Reply<readonly unknown[]>
      >,
    async accounts() {
      const reply = await deploymentsOf(look);
      const found = (reply.kind === 'found' ? reply.thing : []).map((deployment): RoleAccount => {
        const pod = fieldsOf(fieldsOf(fieldsOf(fieldsOf(deployment)['spec'])['template'])['spec']);
        const words = JSON.stringify(pod['containers'] ?? []);
        const role = /"--role(?:=|",")(webhook|worker)"/.exec(words)?.[1];
        return {
          role: role === 'webhook' || role === 'worker' ? role : 'all',
          name: textOf(pod['serviceAccountName']) || 'default',
          tlsSecret: /"--tls-secret(?:=|",")([a-z0-9.-]+)"/.exec(words)?.[1] ?? TLS_SECRET,
          isCertificateOwn: !/"--ca-bundle(?:=|",")leave"/.test(words),
        };
      });
      const usual = {
        role: 'all',
        name: 'keyless-pull',
        tlsSecret: TLS_SECRET,
        isCertificateOwn: true,
      } as const;
      return found.length > 0 ? found : [usual];
    },
  };
  return look;
}

export function deploymentsOf({ list, ownNamespace }: SystemLook): Promise<Reply<readonly unknown[]>> {
  return list(`/apis/apps/v1/namespaces/${encodeURIComponent(ownNamespace)}/deployments`, DEPLOYMENTS);
}

/** Where a replica tells of itself, in plain HTTP and whatever its role: the port that the manifests call so. */
export function metricsPortOf(pod: unknown): number {
  const ports = listIn(pod, 'spec', 'containers').flatMap((container) => listIn(container, 'ports'));
  return Number(ports.map(fieldsOf).find(({ name }) => name === 'metrics')?.['containerPort'] ?? 9090);
}

const MOST_NAMED = 4;

/** `a, b and 3 more`. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMED).join(', ');
  const more = names.length - MOST_NAMED;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

export function nameOf(raw: unknown): string {
  return textOf(fieldsOf(fieldsOf(raw)['metadata'])['name']);
}

export function listIn(raw: unknown, ...path: readonly string[]): readonly unknown[] {
  let at: unknown = raw;
  for (const key of path) at = fieldsOf(at)[key];
  return Array.isArray(at) ? at : [];
}
