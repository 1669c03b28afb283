// Which references to static pull secrets can go, because rules cover what they are for, and which must stay, and why.
import { viewAccount, viewPod, type AccountView } from '../../core/pod-view.ts';
import { podOf, type Manifest } from '../manifests.ts';
import { whyUncovered, type JudgedPod, type MigrationWorld } from './coverage.ts';
import { hostsOfSecret } from './secret-hosts.ts';

/** One Secret that one object names. */
export interface Reference {
  readonly holder: Manifest;
  readonly secret: string;
  /** What it is for, as far as it can be known. */
  readonly hosts: readonly string[];
  /** Why it must stay; absent: it can go. */
  readonly stays?: string;
}

/** In the order of the manifests; what is ours is not among them. */
export function judgeReferences(world: MigrationWorld): Reference[] {
  const byManifest = new Map(world.pods.map((judged) => [judged.manifest, judged]));
  return world.manifests.flatMap((manifest) => {
    const judged = byManifest.get(manifest);
    if (judged) return referencesOfPod(world, judged);
    return manifest.kind === 'ServiceAccount' ? referencesOfAccount(world, manifest) : [];
  });
}

function referencesOfPod(world: MigrationWorld, judged: JudgedPod): Reference[] {
  const { manifest, pod, account, plan } = judged;
  const ours = new Set(plan.needs.map(({ need }) => need.secretName));
  return [...new Set(pod.pullSecrets)]
    .filter((secret) => !ours.has(secret))
    .map((secret) => {
      const known = secretHosts(world, pod.namespace, secret);
      const hosts = known ?? [...judged.hosts.keys()];
      const stays = judged.obstacle ?? firstReason(hosts, (host) => whyNot(world, judged, account, host));
      return { holder: manifest, secret, hosts, ...(stays !== undefined && { stays }) };
    });
}

/** An account's entries are for every pod of it: of each that is known, all hosts count where the Secret's are not known. */
function referencesOfAccount(world: MigrationWorld, manifest: Manifest): Reference[] {
  const { namespace, name } = manifest;
  const account = world.account(namespace, name);
  const users = world.pods.filter(({ pod }) => pod.namespace === namespace && pod.serviceAccount === name);
  const ours = new Set(users.flatMap(({ plan }) => plan.needs.map(({ need }) => need.secretName)));
  const names = new Set(viewAccount(manifest.object).pullSecrets);
  return [...names]
    .filter((secret) => !ours.has(secret))
    .map((secret) => {
      const known = secretHosts(world, namespace, secret);
      const hosts = known ?? [...new Set(users.flatMap((judged) => [...judged.hosts.keys()]))];
      const stays =
        known === undefined && users.length === 0
          ? `no pod of this account is known here, nor what ${secret} opens`
          : (obstacleOf(users) ??
            firstReason(hosts, (host) =>
              users.length === 0
                ? whyUncovered(world, account, host)
                : firstReason(users, (judged) => whyNot(world, judged, account, host)),
            ));
      return { holder: manifest, secret, hosts, ...(stays !== undefined && { stays }) };
    });
}

function obstacleOf(users: readonly JudgedPod[]): string | undefined {
  const blocked = users.find(({ obstacle }) => obstacle !== undefined);
  return blocked && `${blocked.manifest.kind} ${blocked.manifest.name} uses it: ${blocked.obstacle}`;
}

/** A host that the pod does not name may be that of a container which others inject: a rule must cover it all the same. */
function whyNot(
  world: MigrationWorld,
  { hosts }: JudgedPod,
  account: AccountView,
  host: string,
): string | undefined {
  return hosts.has(host) ? hosts.get(host) : whyUncovered(world, account, host);
}

function firstReason<Thing>(
  things: readonly Thing[],
  why: (thing: Thing) => string | undefined,
): string | undefined {
  for (const thing of things) {
    const reason = why(thing);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function secretHosts(world: MigrationWorld, namespace: string, name: string): string[] | undefined {
  const secret = world.find('Secret', namespace, name);
  return secret && hostsOfSecret(secret.object);
}

/** Names of the pull secrets that an object itself lists. */
export function listedSecrets(manifest: Manifest): readonly string[] {
  if (manifest.kind === 'ServiceAccount') return viewAccount(manifest.object).pullSecrets;
  const pod = podOf(manifest);
  return pod ? viewPod(pod).pullSecrets : [];
}
