// What each right of webhook-config/rbac.yaml is for: the behaviour that ends when it is taken away.
import { createEndpointLimits } from '../../src/credentials/endpoint-limits.ts';
import { createIssuer } from '../../src/credentials/issuer.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { createLeader } from '../../src/credentials/leader.ts';
import { createRecordEnd } from '../../src/credentials/record-end.ts';
import { createSignOfLife } from '../../src/credentials/sign-of-life.ts';
import { systemClock } from '../../src/clock.ts';
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { needOf, podManifest, ruleFrom, TEST_HOST } from '../fakes/builders.ts';
import type { KubeCluster } from '../../src/cluster/kube-cluster.ts';
import type { CertificateStore } from '../../src/cluster/certificate-store.ts';
import type { ClusterChange } from '../../src/cluster/cluster.ts';
import type { PullCredentialRecord } from '../../src/core/pull-credential-record.ts';
import type { Log } from '../../src/log.ts';
import type { ApiRequest } from '../../tools/api-client.ts';

/** Whose right it is: our two roles, run apart, and people with the roles that join `view` and `edit`. */
export type Holder = 'webhook' | 'worker' | 'viewer' | 'deleter';

export interface Stage {
  readonly admin: ApiRequest;
  /** A person's own requests; each that is refused is told. */
  readonly person: (holder: 'viewer' | 'deleter') => ApiRequest;
  readonly log: Log;
  /** Given back when the behaviour has been tried. */
  readonly opened: AsyncDisposableStack;
  /** Opted in. */
  readonly namespace: string;
  freshName(): string;
  /** Watching, with that account's rights. */
  open(holder: 'webhook' | 'worker'): Promise<KubeCluster>;
  /** A worker that works has started, the same one for all. */
  replica(): Promise<void>;
  /** The worker's identity: the fences let nobody else make records. */
  readonly helper: KubeCluster;
}

export interface Behaviour {
  readonly what: string;
  /** A wider right that would do as well, and is not there where rights are given one namespace at a time. */
  readonly unless?: string;
  /** @returns whether it has happened by now. @throws Problem where a right is missing */
  begin(stage: Stage): Promise<() => boolean | Promise<boolean>>;
}

/** By holder, verb, group and resource. What runs while no other worker may lead stands before what needs one. */
export const behaviours: Readonly<Record<string, Behaviour>> = {
  ...seen('webhook', 'namespace', '/namespaces'),
  ...seen('webhook', 'account', '/serviceaccounts'),
  ...seen('webhook', 'record', 'keyless-pull.dev/pullcredentials'),
  'webhook list coordination.k8s.io/leases': {
    what: 'it knows that a worker works, and holds pods',
    async begin({ open, admin, log, opened }) {
      await putLease(admin, 'somebody');
      const life = createSignOfLife({ cluster: await open('webhook'), clock: systemClock, log });
      runs(opened, (signal) => life.run(signal));
      return () => life.isWorkerAlive();
    },
  },
  ...seen('worker', 'namespace', '/namespaces'),
  ...seen('worker', 'account', '/serviceaccounts'),
  ...seen('worker', 'pod', '/pods'),
  ...seen('worker', 'record', 'keyless-pull.dev/pullcredentials'),
  'worker list coordination.k8s.io/leases': leads('it leads where somebody has released the Lease', ''),
  'worker update coordination.k8s.io/leases': leads('it leads where somebody has released the Lease', ''),
  'worker create coordination.k8s.io/leases': leads('the first one leads', undefined),
  'webhook get /secrets keyless-pull-tls': {
    what: 'it serves with the certificate that the worker made',
    begin: async ({ open }) => {
      await servingSecret(await open('webhook'));
      return () => true;
    },
  },
  'worker get /secrets keyless-pull-tls': {
    what: 'it looks how long our certificate lasts',
    begin: async ({ open }) => {
      await servingSecret(await open('worker'));
      return () => true;
    },
  },
  'worker update /secrets keyless-pull-tls': {
    what: 'it renews our certificate',
    unless: 'worker update /secrets',
    async begin({ open, freshName }) {
      const cluster = await open('worker');
      const secret = await servingSecret(cluster);
      const text = freshName();
      await secret.change({ caBundle: text }, options());
      return async () => (await servingSecret(cluster)).caBundle === text;
    },
  },
  ...healed('mutatingwebhookconfigurations', 0),
  ...healed('validatingwebhookconfigurations', 1),
  'worker delete keyless-pull.dev/pullcredentials': {
    what: 'it tidies up a namespace that has left',
    begin: tidiesUp,
  },
  'worker create /pods/eviction': {
    what: 'with heal: evict it evicts a pod that a credential would cure',
    async begin({ open, admin, namespace, freshName }) {
      const worker = await open('worker');
      const stored = await must(admin, 'POST', `/api/v1/namespaces/${namespace}/pods`, {
        ...podManifest(namespace, freshName()),
      });
      const outcome = await worker.evictPod(viewPod(stored), { signal: AbortSignal.timeout(10_000) });
      return () => outcome === 'evicted';
    },
  },
  'worker create keyless-pull.dev/pullcredentials': issues('a record', ({ record }) => record !== undefined),
  'worker create /secrets': issues('a Secret', ({ secret }) => secret !== undefined),
  'worker create /serviceaccounts/token': issues('a filled Secret', isFilled),
  'worker update /secrets': issues('a filled Secret', isFilled),
  'worker update keyless-pull.dev/pullcredentials/status': issues('a record that is ready', ({ record }) =>
    JSON.stringify(record ?? {}).includes('"reason":"issued"'),
  ),
  'worker create events.k8s.io/events': issues('an event', ({ events }) =>
    events.includes('CredentialIssued'),
  ),
  // The last one: a worker that has met this refusal looks for half a minute whether it may work at all.
  'worker patch /pods': issues('a pod that is released', ({ isGated }) => !isGated),
  ...asked('viewer', 'get', 'GET', ({ namespace, name }) => `${namespace}/pullcredentials/${name}`),
  ...asked('viewer', 'list', 'GET', ({ namespace }) => `${namespace}/pullcredentials`),
  ...asked(
    'viewer',
    'watch',
    'GET',
    ({ namespace, name }) =>
      `${namespace}/pullcredentials?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3D${name}`,
  ),
  ...asked('deleter', 'delete', 'DELETE', ({ namespace, name }) => `${namespace}/pullcredentials/${name}`),
  ...asked('deleter', 'deletecollection', 'DELETE', ({ namespace }) => `${namespace}/pullcredentials`),
};

const options = () => ({ signal: AbortSignal.timeout(10_000) });

function servingSecret(cluster: KubeCluster): ReturnType<CertificateStore['servingSecret']> {
  return cluster.servingSecret('keyless-pull-tls', options());
}

/** @param at of the two configurations */
function healed(resource: string, at: 0 | 1): Record<string, Behaviour> {
  const behaviour: Behaviour = {
    what: `it heals the caBundle of ${resource}`,
    async begin({ open, freshName }) {
      const cluster = await open('worker');
      const trust = async () => (await cluster.webhookTrusts('keyless-pull', options()))[at];
      const text = `-----BEGIN CERTIFICATE-----\n${freshName()}\n-----END CERTIFICATE-----\n`;
      await (await trust())?.change(text, options());
      return async () => (await trust())?.caBundles.every((each) => each === text) ?? false;
    },
  };
  const right = (verb: string) => `worker ${verb} admissionregistration.k8s.io/${resource} keyless-pull`;
  return { [right('get')]: behaviour, [right('update')]: behaviour };
}

/** Both rights that a watch needs: one to begin, one to go on. */
function seen(
  holder: 'webhook' | 'worker',
  kind: ClusterChange['kind'],
  resource: string,
): Record<string, Behaviour> {
  const begin: Behaviour['begin'] = async (stage) => {
    const before = await make(stage, kind);
    const cluster = await stage.open(holder);
    let after: string | undefined;
    const knows = (name: string) => known(cluster, kind, stage.namespace, name);
    return async () => {
      if (!knows(before)) return false;
      after ??= await make(stage, kind);
      return knows(after);
    };
  };
  const what = (verb: string) => ({ what: `it sees each ${kind} that ${verb}`, begin });
  return {
    [`${holder} list ${resource}`]: what('was there before'),
    [`${holder} watch ${resource}`]: what('comes'),
  };
}

/** @returns its name */
async function make(
  { admin, helper, namespace, freshName }: Stage,
  kind: ClusterChange['kind'],
): Promise<string> {
  const name = freshName();
  const metadata = { name };
  if (kind === 'namespace') await must(admin, 'POST', '/api/v1/namespaces', { metadata });
  if (kind === 'account')
    await must(admin, 'POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata });
  if (kind === 'pod')
    await must(admin, 'POST', `/api/v1/namespaces/${namespace}/pods`, podManifest(namespace, name));
  return kind === 'record' ? (await recordOf(admin, helper, namespace, name)).name : name;
}

function known({ view }: KubeCluster, kind: ClusterChange['kind'], namespace: string, name: string): boolean {
  if (kind === 'namespace') return view.namespace(name) !== undefined;
  if (kind === 'account') return view.account(namespace, name) !== undefined;
  if (kind === 'record') return view.record(namespace, name) !== undefined;
  return [...view.pods()].some((pod) => pod.name === name);
}

/** @param holder of the Lease that is there; undefined: there is none */
function leads(what: string, holder: string | undefined): Behaviour {
  return {
    what,
    async begin({ open, admin, log, opened, freshName }) {
      await putLease(admin, holder);
      const cluster = await open('worker');
      const leader = createLeader({ cluster, clock: systemClock, log, identity: freshName() });
      runs(opened, (signal) => leader.run(signal));
      return () => leader.isLeading();
    },
  };
}

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/keyless-pull/leases';

async function putLease(admin: ApiRequest, holder: string | undefined): Promise<void> {
  await admin('DELETE', `${LEASES}/keyless-pull-worker`);
  if (holder === undefined) return;
  const renewTime = new Date().toISOString().replace('Z', '000Z');
  await must(admin, 'POST', LEASES, {
    metadata: { name: 'keyless-pull-worker' },
    spec: { holderIdentity: holder, leaseDurationSeconds: 6, renewTime, leaseTransitions: 0 },
  });
}

/** The caretaker's own way, with a clock that leaps over the seconds in which a label may come back. */
async function tidiesUp({ open, admin, helper, log, freshName }: Stage): Promise<() => boolean> {
  const namespace = freshName();
  const labels = { 'keyless-pull.dev/inject': 'enabled' };
  await must(admin, 'POST', '/api/v1/namespaces', { metadata: { name: namespace, labels } });
  await must(admin, 'POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'app' } });
  const { name } = await recordOf(admin, helper, namespace, 'app');
  await must(admin, 'PATCH', `/api/v1/namespaces/${namespace}`, {
    metadata: { labels: { 'keyless-pull.dev/inject': null } },
  });
  let leapt = 0;
  const clock = {
    ...systemClock,
    now: () => systemClock.now() + leapt,
    monotonic: () => systemClock.monotonic() + leapt,
  };
  const cluster = await open('worker');
  const isLeading = () => true;
  const exchange = () => Promise.reject(new TypeError('nothing is exchanged here'));
  const issuer = createIssuer({ cluster, exchange, clock, isLeading, needsPerAccount: () => 1 });
  const rate = () => ({ ratePerEndpoint: 1, burst: 1 });
  const ends = createRecordEnd({
    cluster,
    issuer,
    keeper: createKeeper({ view: cluster.view, clock, issuer }),
    limits: createEndpointLimits({ clock, rate }),
    clock,
    log,
    isLeading,
    settings: () => ({
      ...rate(),
      rules: [],
      needsPerPod: 1,
      needsPerAccount: 1,
      gateSeconds: 30,
      unusedHours: 72,
      heal: 'report',
    }),
  });
  return () => {
    const hasLeft = cluster.view.namespace(namespace)?.labels['keyless-pull.dev/inject'] === undefined;
    if (cluster.view.unsynced().length > 0 || !hasLeft) return false;
    leapt += 6_000;
    ends.look((_, work) => {
      void work();
      return true;
    }, []);
    return cluster.view.record(namespace, name) === undefined;
  };
}

interface Issued {
  readonly record: unknown;
  readonly secret: { readonly data?: Readonly<Record<string, string>> } | undefined;
  readonly isGated: boolean;
  readonly events: readonly string[];
}

/** From a gated pod of a new account on, done by a worker that works. */
function issues(what: string, isThere: (issued: Issued) => boolean): Behaviour {
  return {
    what: `a pod brings about ${what}`,
    async begin({ admin, namespace, freshName, replica }) {
      await replica();
      const name = freshName();
      const core = `/api/v1/namespaces/${namespace}`;
      await must(admin, 'POST', `${core}/serviceaccounts`, { metadata: { name } });
      const secretName = secretNameFor(name, 'team-registry', '', TEST_HOST);
      const pod = podManifest(namespace, name, { serviceAccount: name, imagePullSecrets: [secretName] });
      await must(admin, 'POST', `${core}/pods`, pod);
      const find = async <Found>(path: string) => {
        const { status, body } = await admin<Found>('GET', path);
        return status === 200 ? body : undefined;
      };
      return async () => {
        const records = `/apis/keyless-pull.dev/v1alpha1/namespaces/${namespace}/pullcredentials`;
        const events = await find<{ items: { reason: string; regarding: { name: string } }[] }>(
          `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
        );
        return isThere({
          record: await find(`${records}/${secretName}`),
          secret: await find(`${core}/secrets/${secretName}`),
          isGated: viewPod(await find(`${core}/pods/${name}`)).gates.length > 0,
          events: (events?.items ?? [])
            .filter(({ regarding }) => regarding.name === name)
            .map(({ reason }) => reason),
        });
      };
    },
  };
}

function isFilled({ secret }: Issued): boolean {
  const config = Buffer.from(secret?.data?.['.dockerconfigjson'] ?? '', 'base64').toString('utf8');
  return config.includes(TEST_HOST);
}

function asked(
  holder: 'viewer' | 'deleter',
  verb: string,
  method: 'GET' | 'DELETE',
  path: (record: PullCredentialRecord) => string,
): Record<string, Behaviour> {
  return {
    [`${holder} ${verb} keyless-pull.dev/pullcredentials`]: {
      what: `who may see a namespace may ${verb} what its pods pull with`,
      async begin({ admin, helper, namespace, freshName, person }) {
        const name = freshName();
        await must(admin, 'POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
        const record = await recordOf(admin, helper, namespace, name);
        const { status } = await person(holder)(
          method,
          `/apis/keyless-pull.dev/v1alpha1/namespaces/${path(record)}`,
        );
        return () => status === 200;
      },
    },
  };
}

/** Made by who alone may make it; its account too, where there is none. */
async function recordOf(
  admin: ApiRequest,
  helper: KubeCluster,
  namespace: string,
  account: string,
): Promise<PullCredentialRecord> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await admin('POST', accounts, { metadata: { name: account } });
  const stored = viewAccount(await must(admin, 'GET', `${accounts}/${account}`));
  return helper.createRecord(needOf(stored, ruleFrom()), { signal: AbortSignal.timeout(10_000) });
}

async function must(
  admin: ApiRequest,
  method: 'GET' | 'POST' | 'PATCH',
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await admin(method, path, body);
  if (answer.status < 300) return answer.body;
  throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

function runs(opened: AsyncDisposableStack, run: (signal: AbortSignal) => Promise<void>): void {
  const stop = new AbortController();
  const running = run(stop.signal);
  opened.defer(async () => {
    stop.abort();
    await running;
  });
}
