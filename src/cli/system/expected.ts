// What an installation of this version has: rights, fences, webhooks. Tests compare it with webhook-config/.

import type { RoleAccount } from './step.ts';

/** What we serve with, unless the installation names another. */
export const TLS_SECRET = 'keyless-pull-tls';

export interface ExpectedRight {
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  /** Absent: all of them. */
  readonly name?: string;
  /** `own`: in our namespace alone. `optedIn`: may be given one namespace at a time. */
  readonly scope: 'cluster' | 'own' | 'optedIn';
  /** Granted or not: the installation does not use it. */
  readonly isSpare?: boolean;
}

const LOOKS: readonly ExpectedRight[] = ['namespaces', 'serviceaccounts'].map((resource) => ({
  group: '',
  resource,
  verbs: ['list', 'watch'],
  scope: 'cluster',
}));
const RECORDS = { group: 'keyless-pull.dev', resource: 'pullcredentials' };
const LEASES = { group: 'coordination.k8s.io', resource: 'leases', scope: 'own' } as const;
const CERTIFICATE = { group: '', resource: 'secrets', name: TLS_SECRET, scope: 'own' } as const;

export const expectedRights: Readonly<Record<'webhook' | 'worker', readonly ExpectedRight[]>> = {
  webhook: [
    ...LOOKS,
    { ...RECORDS, verbs: ['list', 'watch'], scope: 'cluster' },
    { ...LEASES, verbs: ['list'] },
    { ...CERTIFICATE, verbs: ['get'] },
  ],
  worker: [
    ...LOOKS,
    { group: '', resource: 'pods', verbs: ['list', 'watch'], scope: 'cluster' },
    { group: '', resource: 'pods', verbs: ['patch'], scope: 'optedIn' },
    { group: '', resource: 'secrets', verbs: ['create', 'update'], scope: 'optedIn' },
    { group: '', resource: 'serviceaccounts/token', verbs: ['create'], scope: 'optedIn' },
    { ...RECORDS, verbs: ['list', 'watch'], scope: 'cluster' },
    { ...RECORDS, verbs: ['create', 'delete'], scope: 'optedIn' },
    { group: RECORDS.group, resource: 'pullcredentials/status', verbs: ['update'], scope: 'optedIn' },
    { group: 'events.k8s.io', resource: 'events', verbs: ['create'], scope: 'cluster' },
    { ...LEASES, verbs: ['list', 'create', 'update'] },
    { ...CERTIFICATE, verbs: ['get', 'update'] },
    ...['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'].map(
      (resource): ExpectedRight => ({
        group: 'admissionregistration.k8s.io',
        resource,
        verbs: ['get', 'update'],
        name: 'keyless-pull',
        scope: 'cluster',
      }),
    ),
  ],
};

/** Of this installation; without a certificate of our own making the worker needs none of the rights for it. */
export function expectedRightsOf({
  role,
  tlsSecret,
  isCertificateOwn,
}: RoleAccount): readonly ExpectedRight[] {
  const forWorker = expectedRights.worker.map((right) => ({
    ...right,
    isSpare: !isCertificateOwn && isForCertificate(right),
  }));
  const forAll = [...expectedRights.webhook, ...forWorker];
  const rights = role === 'all' ? forAll : role === 'worker' ? forWorker : expectedRights.webhook;
  return rights.map((right) => (right.name === TLS_SECRET ? { ...right, name: tlsSecret } : right));
}

/** Its Secret, and the caBundle of our webhooks. */
function isForCertificate({ group, name }: ExpectedRight): boolean {
  return name === TLS_SECRET || group === 'admissionregistration.k8s.io';
}

/** Granted for `heal: evict`, and needed by nothing else. */
export const EVICTION: ExpectedRight = {
  group: '',
  resource: 'pods/eviction',
  verbs: ['create'],
  scope: 'optedIn',
};

/** Of all that nobody of us may do, what would be worst, however it was granted. */
export const worstRights: readonly {
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
}[] = [
  ...['get', 'list', 'watch', 'patch', 'delete'].map((verb) => ({ group: '', resource: 'secrets', verb })),
  { group: '', resource: 'pods', verb: 'create' },
  { group: '', resource: 'pods', verb: 'delete' },
  { group: '', resource: 'pods/exec', verb: 'create' },
  { group: '', resource: 'users', verb: 'impersonate' },
  { group: '', resource: 'serviceaccounts', verb: 'impersonate' },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', verb: 'escalate' },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings', verb: 'create' },
];

/** Policies and their bindings have the same names. */
export const expectedFences: readonly string[] = [
  'keyless-pull-worker-secrets',
  'keyless-pull-worker-own-secrets',
  'keyless-pull-worker-token-requests',
  'keyless-pull-worker-pods',
  'keyless-pull-worker-pullcredentials',
  'keyless-pull-worker-webhooks',
  'keyless-pull-tenant-pullcredentials',
  'keyless-pull-tenant-secrets',
];

export const TOKEN_FENCE = 'keyless-pull-worker-token-requests';

/** By configuration kind: each webhook and what is to happen while we are away. */
export const expectedWebhooks: Readonly<
  Record<'mutating' | 'validating', Readonly<Record<string, 'Fail' | 'Ignore'>>>
> = {
  mutating: { 'mutate.keyless-pull.dev': 'Fail' },
  validating: { 'enforce.keyless-pull.dev': 'Fail' },
};

export const OLDEST_API_VERSION = { major: 1, minor: 30 };
