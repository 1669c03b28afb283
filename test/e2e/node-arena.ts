// All of it for real: control plane with scheduler, webhook and worker, two private registries, and a node whose kubelet
// pulls from them.
import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';
import { freePorts } from '../../tools/free-ports.ts';
import { makeImage, type Image } from '../../tools/image.ts';
import type { ArchiveFile } from '../../tools/tar-archive.ts';
import { loginFromDockerConfig, type RegistryLogin } from '../../tools/image-transfer.ts';
import { startNode, type ClusterNode, type NodeOptions } from '../../tools/node.ts';
import { findParts } from '../../tools/parts.ts';
import { openRun, waitUntil } from '../../tools/processes.ts';
import { openArena, type Arena, type Program } from '../cluster/arena.ts';
import { startPrivateRegistry, type PrivateRegistry } from './private-registry.ts';

/** What a rule may say besides where its registry is. */
export type RuleChange = Readonly<Record<string, unknown>>;

export interface NodeArena extends AsyncDisposable {
  readonly arena: Arena;
  readonly controlPlane: ControlPlane;
  readonly node: ClusterNode;
  readonly programs: readonly Program[];
  /** Of rule `team`, whose token server looks at keys; of rule `other`, whose asks the API server. */
  readonly team: PrivateRegistry;
  readonly other: PrivateRegistry;
  /** Files of the run's own, for instance the authority of both registries (`ca.crt`). */
  readonly folder: string;
  readonly certificateAuthority: string;
  /** Writes the config of webhook and worker, who look at it every five seconds. */
  configure(change: { readonly team?: RuleChange; readonly other?: RuleChange }): void;
  /** Of all logs of this run, by name; what a program of ours printed, too. */
  logs(): Record<string, string>;
}

export interface NodeArenaOptions {
  readonly rules?: { readonly team?: RuleChange; readonly other?: RuleChange };
  /** Asked once the registries are there, for options that name them. */
  readonly node?: (arena: Omit<NodeArena, 'node' | 'logs' | 'programs' | symbol>) => NodeOptions;
}

const AUDIENCES = { team: 'https://team.registry.example', other: 'https://other.registry.example' };

export async function openNodeArena({ rules = {}, node: chosen }: NodeArenaOptions = {}): Promise<NodeArena> {
  await using opened = new AsyncDisposableStack();
  const [teamPort = 0, otherPort = 0] = await freePorts(2);
  const arena = opened.use(
    await openArena({ scheduler: true, audience: AUDIENCES.team, audiences: [AUDIENCES.other] }),
  );
  const { controlPlane } = arena;
  const run = opened.use(await openRun('e2e'));
  const authority = await createCertificateAuthority('e2e');
  await arena.addNamespace('builds');
  await arena.addAccounts('builds', 1);
  const place = {
    team: { port: teamPort, check: 'keys' },
    other: { port: otherPort, check: 'tokenReview' },
  } as const;
  const start = (name: 'team' | 'other') =>
    startPrivateRegistry(run, opened, controlPlane, authority, {
      name,
      audience: AUDIENCES[name],
      ...place[name],
    });
  const [team, other] = await Promise.all([start('team'), start('other')]);
  const configure: NodeArena['configure'] = (change) => {
    const ruleOf = (name: 'team' | 'other', { host, audience }: PrivateRegistry) => ({
      name,
      hosts: [host],
      audience,
      exchange: { kind: 'pass-through' },
      ...change[name],
    });
    const config = {
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [ruleOf('team', team), ruleOf('other', other)],
    };
    writeFileSync(arena.configFile, stringify(config));
  };
  configure(rules);
  const parts = {
    arena,
    controlPlane,
    team,
    other,
    folder: run.folder,
    certificateAuthority: authority.certificate,
    configure,
  };
  const node = opened.use(await startNode(controlPlane, chosen?.(parts)));
  for (const { host } of [team, other]) node.trustRegistry(host, `${run.folder}/team.ca.crt`);
  const programs = [await arena.start('webhook', 'webhook'), await arena.start('worker', 'worker')];
  await waitUntil('the worker leads', async () => programs.some((each) => each.isLeading()), {
    deadlineMs: 30_000,
  });
  await waitForGates(parts);
  const owned = opened.move();
  return {
    ...parts,
    node,
    programs,
    logs: () => ({
      ...Object.fromEntries(programs.map((each) => [each.name, each.output()])),
      ...Object.fromEntries(
        [
          node.kubeletLog,
          node.containerdLog,
          team.logFile,
          other.logFile,
          `${run.folder}/team-token-server.log`,
          `${run.folder}/other-token-server.log`,
          `${controlPlane.folder}/kube-apiserver.log`,
          controlPlane.auditLog ?? '',
        ].map((path) => [path, readFileSync(path, 'utf8')]),
      ),
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The webhook holds pods once it has seen that a worker works: it looks every two seconds. Asked by dry run. */
async function waitForGates({
  controlPlane,
  team,
  other,
}: Pick<NodeArena, 'controlPlane' | 'team' | 'other'>): Promise<void> {
  const containers = [team, other].map(({ host }, at) => ({ name: `c${at}`, image: `${host}/apps/none:1` }));
  const pod = {
    metadata: { generateName: 'dry-run-' },
    spec: { serviceAccountName: 'account-0', containers },
  };
  await waitUntil(
    'pods are held',
    async () => {
      const path = '/api/v1/namespaces/builds/pods?dryRun=All';
      const { body } = await controlPlane.admin('POST', path, pod);
      if (JSON.stringify(body).includes('schedulingGates')) return true;
      throw new Error(JSON.stringify(body));
    },
    { deadlineMs: 30_000, everyMs: 250 },
  );
}

/** An image of a program that waits, which differs from all others; `files` come besides. */
export async function makeApp(name: string, files: readonly ArchiveFile[] = []): Promise<Image> {
  const { waiter } = await findParts(['waiter']);
  const program = { path: 'waiter', content: readFileSync(waiter), mode: 0o755 };
  return makeImage({
    files: [program, { path: 'name', content: `${name}\n` }, ...files],
    command: ['/waiter'],
  });
}

/** The fields of a pod that every pod on this node needs: it has no network of its own to give. */
export function onThisNode(
  account: string,
  spec: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return { serviceAccountName: account, hostNetwork: true, terminationGracePeriodSeconds: 0, ...spec };
}

export interface ContainerState {
  readonly name: string;
  readonly restartCount: number;
  readonly state: {
    readonly running?: unknown;
    readonly waiting?: { readonly reason: string; readonly message?: string };
    readonly terminated?: { readonly exitCode: number };
  };
}

export interface RunningPod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly imagePullSecrets?: readonly { readonly name: string }[];
    readonly volumes?: readonly { readonly name: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly ContainerState[];
    readonly initContainerStatuses?: readonly ContainerState[];
  };
}

export interface ClusterEvent {
  readonly reason: string;
  readonly note: string;
  readonly type: string;
  readonly eventTime?: string | null;
  readonly deprecatedFirstTimestamp?: string | null;
  readonly regarding: { readonly kind: string; readonly name: string };
}

/** What tests ask of one namespace. @throws where the API server says no */
export function inNamespace({ controlPlane }: Pick<NodeArena, 'controlPlane'>, namespace: string) {
  const { admin } = controlPlane;
  const must = async <Body>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown) => {
    const answer = await admin<Body>(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const core = `/api/v1/namespaces/${namespace}`;
  const pods = async () => (await must<{ items: RunningPod[] }>('GET', `${core}/pods`)).items;
  const events = async () =>
    (await must<{ items: ClusterEvent[] }>('GET', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`))
      .items;
  return {
    must,
    pods,
    events,
    /** What went wrong with pulls here: events of kubelets, and what pods wait for now. */
    async pullTrouble(): Promise<string[]> {
      const bad = /^(Failed|BackOff|InspectFailed|FailedToRetrieveImagePullSecret|FailedCreatePodSandBox)$/;
      const told = (await events())
        .filter(({ reason, note }) => bad.test(reason) || /ErrImagePull|ImagePullBackOff/.test(note))
        .map(({ reason, note, regarding }) => `${regarding.name}: ${reason} ${note}`);
      const waiting = (await pods()).flatMap(({ metadata, status }) =>
        [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
          .map(({ state }) => state.waiting?.reason ?? '')
          .filter((reason) => /ErrImage|ImagePull/.test(reason))
          .map((reason) => `${metadata.name}: ${reason}`),
      );
      return [...told, ...waiting];
    },
    createAccount: (name: string, annotations = {}) =>
      must('POST', `${core}/serviceaccounts`, { metadata: { name, annotations } }),
    createPod: (name: string, spec: Record<string, unknown>, annotations: Record<string, string> = {}) =>
      must<RunningPod>('POST', `${core}/pods`, { metadata: { name, annotations }, spec }),
    pod: (name: string) => must<RunningPod>('GET', `${core}/pods/${name}`),
    async waitForPhase(phase: string, names: readonly string[], seconds = 120): Promise<void> {
      await waitUntil(
        `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} ${phase}`,
        async () => {
          const seen = new Map((await pods()).map(({ metadata, status }) => [metadata.name, status]));
          const others = names.filter((name) => seen.get(name)?.phase !== phase);
          if (others.length > 0)
            throw new Error(
              `${others.length}, such as ${others[0]}: ${JSON.stringify(seen.get(others[0] ?? ''))}`,
            );
          return true;
        },
        // The list of a crowd is work for the API server, which has others to answer.
        { deadlineMs: seconds * 1000, everyMs: names.length > 20 ? 2_000 : 200 },
      );
    },
    /** The login in a Secret, and the Secret's uid. */
    async secret(name: string, host: string): Promise<{ uid: string; login: RegistryLogin | undefined }> {
      interface Secret {
        readonly metadata: { readonly uid: string };
        readonly data: Readonly<Record<string, string>>;
      }
      const { metadata, data } = await must<Secret>('GET', `${core}/secrets/${name}`);
      const config = Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString();
      return { uid: metadata.uid, login: loginFromDockerConfig(config, host) };
    },
    deleteSecret: (name: string) => must('DELETE', `${core}/secrets/${name}`),
  };
}
