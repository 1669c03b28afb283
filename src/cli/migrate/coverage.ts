// Whether rules cover what pods pull: the core's own plan, read as a question about each registry host.
import { viewAccount, viewPod, type AccountView, type PodView } from '../../core/pod-view.ts';
import { principalsOf } from '../../core/identity-parameters.ts';
import { planPulls, type Plan } from '../../core/pull-plan.ts';
import { ruleForHost, ruleSpeaksOf } from '../../core/registry-rule.ts';
import { INJECT_LABEL, PROTECTED_NAMESPACES } from '../../core/vocabulary.ts';
import { hostOfImage } from '../../core/image-reference.ts';
import { podOf, type Manifest } from '../manifests.ts';
import type { Config } from '../../config.ts';
import type { AccountWishes } from './account-wishes.ts';

export interface MigrationSettings {
  readonly config: Config;
  /** What accounts are to say besides what they say. */
  readonly wishes: AccountWishes;
  /** Hosts that ask for no login, so that no rule has to cover them. */
  readonly publicHosts: ReadonlySet<string>;
}

/** One pod or template, its account, and what they get together once the namespace has opted in. */
export interface JudgedPod {
  readonly manifest: Manifest;
  readonly pod: PodView;
  readonly account: AccountView;
  readonly plan: Plan;
  /** By registry host of its images: undefined where a rule covers it, else why none does. */
  readonly hosts: ReadonlyMap<string, string | undefined>;
  /** Why nothing at all can be said of it. */
  readonly obstacle?: string;
}

/** Everything that a set of manifests, or a cluster, has for migrate. */
export interface MigrationWorld {
  readonly settings: MigrationSettings;
  readonly manifests: readonly Manifest[];
  readonly pods: readonly JudgedPod[];
  /** With what `wishes` add; one that is not among the manifests has nothing else. */
  account(namespace: string, name: string): AccountView;
  /** As they will be: opted in. */
  labels(namespace: string): Readonly<Record<string, string>>;
  find(kind: string, namespace: string, name: string): Manifest | undefined;
}

export function createWorld(manifests: readonly Manifest[], settings: MigrationSettings): MigrationWorld {
  const keyOf = (kind: string, namespace: string, name: string) => `${kind}/${namespace}/${name}`;
  const byKey = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const namespace = manifest.kind === 'Namespace' ? '' : manifest.namespace;
    byKey.set(keyOf(manifest.kind, namespace, manifest.name), manifest);
  }
  const find = (kind: string, namespace: string, name: string) => byKey.get(keyOf(kind, namespace, name));
  const accounts = new Map<string, AccountView>();
  const world: MigrationWorld = {
    settings,
    manifests,
    find,
    pods: [],
    account(namespace, name) {
      const key = `${namespace}/${name}`;
      const known = accounts.get(key);
      if (known) return known;
      const view = viewAccount(find('ServiceAccount', namespace, name)?.object);
      const annotations = { ...view.annotations, ...settings.wishes.get(key) };
      const account = { ...view, namespace, name, uid: 'unknown', annotations };
      accounts.set(key, account);
      return account;
    },
    labels(namespace) {
      const metadata = find('Namespace', '', namespace)?.object['metadata'];
      return { ...viewPod({ metadata }).labels, [INJECT_LABEL]: 'enabled' };
    },
  };
  const pods = manifests.flatMap((manifest) => {
    const pod = podOf(manifest);
    return pod ? [judgedPod(manifest, viewPod(pod, manifest.namespace), world)] : [];
  });
  return { ...world, pods };
}

function judgedPod(manifest: Manifest, pod: PodView, world: MigrationWorld): JudgedPod {
  const account = world.account(pod.namespace, pod.serviceAccount);
  const { config, publicHosts } = world.settings;
  const plan = planPulls(pod, account, world.labels(pod.namespace), {
    rules: config.rules,
    needsPerPod: config.worker.needsPerPod,
  });
  const hosts = new Map<string, string | undefined>();
  for (const { image } of pod.images) {
    const host = hostOfImage(image);
    if (host !== undefined) hosts.set(host, undefined);
  }
  for (const { reason, host, container, message } of plan.leftOut) {
    // What a pod asks to have mounted pulls nothing.
    if (host === '' || container === '') continue;
    hosts.set(
      host,
      reason === 'no-rule' && publicHosts.has(host) ? undefined : reasonOf(reason, host, message),
    );
  }
  const whole = plan.leftOut.find(({ reason }) => reason === 'opted-out' || reason === 'image-unparseable');
  const obstacle = obstacleOf(pod, world) ?? whole?.message;
  return { manifest, pod, account, plan, hosts, ...(obstacle !== undefined && { obstacle }) };
}

function reasonOf(reason: string, host: string, message: string): string {
  return reason === 'no-rule' ? `no rule covers ${host}` : message;
}

function obstacleOf(pod: PodView, world: MigrationWorld): string | undefined {
  if (PROTECTED_NAMESPACES.includes(pod.namespace)) return `namespace ${pod.namespace} is never touched`;
  if (injectLabelOf(world, pod.namespace) === 'draining')
    return `namespace ${pod.namespace} is draining: ${INJECT_LABEL}=draining gives no new credentials`;
  return pod.images.length === 0 ? 'it names no image, so its registries are unknown' : undefined;
}

/** As the manifest of the namespace has it; empty without one. */
export function injectLabelOf(world: MigrationWorld, namespace: string): string {
  const metadata = world.find('Namespace', '', namespace)?.object['metadata'];
  return viewPod({ metadata }).labels[INJECT_LABEL] ?? '';
}

/** Why no rule covers this host for this account; undefined where one does. */
export function whyUncovered(world: MigrationWorld, account: AccountView, host: string): string | undefined {
  const { config, publicHosts } = world.settings;
  const labels = world.labels(account.namespace);
  const rule = ruleForHost(config.rules, host, (one) => ruleSpeaksOf(one, account.name, labels));
  if (!rule) return publicHosts.has(host) ? undefined : `no rule covers ${host}`;
  return rule.delivery.includes('secret') ? principalsOf(rule, account, host).faults[0] : undefined;
}
