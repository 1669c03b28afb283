// What stands on the stage once all is started, and the small questions that steps ask it without showing them.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import type { PodView } from '../../src/core/pod-view.ts';
import { viewPod } from '../../src/core/pod-view.ts';
import type { PullCredentialRecord } from '../../src/core/pull-credential-record.ts';
import { viewRecord } from '../../src/core/pull-credential-record.ts';
import { RECORD_API_VERSION, RECORD_PLURAL } from '../../src/core/vocabulary.ts';
import type { ControlPlane } from '../control-plane.ts';
import type { DistributionRegistry } from '../distribution-registry.ts';
import type { RegistryLogin } from '../image-transfer.ts';
import { loginFromDockerConfig } from '../image-transfer.ts';
import type { ClusterNode } from '../node.ts';
import type { Run, StartedProcess } from '../processes.ts';
import type { Screen } from './screen.ts';
import type { Shell } from './shell.ts';
import { TEAM } from './manifests.ts';

/** The real parts, before keyless-pull itself. */
export interface Parts {
  readonly screen: Screen;
  readonly shell: Shell;
  /** Started in the demo's own folder, which is also the current one: commands name its files without a path. */
  readonly run: Run;
  readonly controlPlane: ControlPlane;
  readonly registry: DistributionRegistry;
  /** Where the registry sends its clients: our token server. */
  readonly tokenUrl: string;
  /** PEM of the authority behind every server certificate but the control plane's, and its path. */
  readonly certificateAuthority: string;
  readonly certificateAuthorityFile: string;
  readonly serverCertificateFile: string;
  readonly serverKeyFile: string;
  /** Ours, as they were started; none of them may end by itself. */
  readonly programs: readonly StartedProcess[];
  /** With --node; otherwise the node is one on paper. */
  readonly node: ClusterNode | undefined;
  readonly nodeName: string;
  /** Digests of what was pushed, by repository. */
  readonly digests: Readonly<Record<string, string>>;
  /** Every password that the demo has held in its hands; `leak-search.ts` looks for them at the end. */
  readonly passwords: Set<string>;
}

/** All of it. */
export interface Stage extends Parts {
  /** Addresses of `keyless-pull serve`. */
  readonly webhookUrl: string;
  readonly metricsUrl: string;
  /** Path of its config, which it reloads. */
  readonly configFile: string;
  /** File name of the kubeconfig that it runs with, as the ServiceAccount keyless-pull/keyless-pull. */
  readonly workerKubeconfig: string;
  readonly workerToken: string;
}

/** One step of the demo, under a heading of its own. */
export interface Step {
  readonly title: string;
  readonly sentence: string;
  /** Whose logs help when it fails: names of `run.start`, or "registry". */
  readonly concerns: readonly string[];
  /** Left out where the node is one on paper. */
  readonly needsNode?: boolean;
  run(stage: Stage): Promise<void>;
}

/** A Secret with a registry login, as the administrator reads it. */
export interface StoredSecret {
  readonly type: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly ownerReferences: readonly {
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    }[];
  };
  readonly data: Readonly<Record<string, string>>;
}

/** https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets */
export const DOCKER_CONFIG_KEY = '.dockerconfigjson';

/** The list or object at a path of the API server. @throws where it answers anything but 200 */
export async function read<Body>({ controlPlane }: Pick<Parts, 'controlPlane'>, path: string): Promise<Body> {
  const { status, body } = await controlPlane.admin<Body & { message?: string }>('GET', path);
  if (status !== 200) throw new Error(`GET ${path} was answered with ${status}: ${body.message}`);
  return body;
}

const RECORDS_PATH = `/apis/${RECORD_API_VERSION}/namespaces/${TEAM}/${RECORD_PLURAL}`;

/** The team's PullCredentials, by account. */
export async function recordsOfTeam(stage: Parts): Promise<Map<string, PullCredentialRecord>> {
  const { items } = await read<{ items: unknown[] }>(stage, RECORDS_PATH);
  return new Map(items.map(viewRecord).map((record) => [record.account, record]));
}

/** The record of one account. @throws where there is none */
export async function recordOf(stage: Parts, account: string): Promise<PullCredentialRecord> {
  const record = (await recordsOfTeam(stage)).get(account);
  if (!record) throw new Error(`there is no PullCredential of ServiceAccount ${TEAM}/${account}`);
  return record;
}

/** The team's Secret of that name, as the administrator reads it. */
export async function secretOfTeam(stage: Parts, name: string): Promise<StoredSecret> {
  return read<StoredSecret>(stage, `/api/v1/namespaces/${TEAM}/secrets/${name}`);
}

/** The login in the data of a pull Secret (base64), as a kubelet reads it; remembered among the passwords. */
export function loginIn({ registry, passwords }: Parts, dockerConfig = ''): RegistryLogin {
  const login = loginFromDockerConfig(Buffer.from(dockerConfig, 'base64').toString(), registry.host);
  if (!login?.password) throw new Error(`the Secret has no login for ${registry.host}`);
  passwords.add(login.password);
  return login;
}

/** The login that an account of the team has now. */
export async function loginOf(stage: Parts, account: string): Promise<RegistryLogin> {
  const { secretName } = await recordOf(stage, account);
  return loginIn(stage, (await secretOfTeam(stage, secretName)).data[DOCKER_CONFIG_KEY]);
}

/** The uids of those to whom a record of the team's belongs. */
export async function ownersOf(stage: Parts, recordName: string): Promise<string[]> {
  interface Owned {
    readonly metadata: { readonly ownerReferences?: readonly { readonly uid: string }[] };
  }
  const { metadata } = await read<Owned>(stage, `${RECORDS_PATH}/${recordName}`);
  return (metadata.ownerReferences ?? []).map(({ uid }) => uid);
}

/** The team's pods. */
export async function podsOfTeam(stage: Parts): Promise<PodView[]> {
  const { items } = await read<{ items: unknown[] }>(stage, `/api/v1/namespaces/${TEAM}/pods`);
  return items.map((pod) => viewPod(pod));
}

/** What the events say of each pod of the team's that was released in time, by the pod's name. */
export async function releasesOfTeam(stage: Parts): Promise<Map<string, string>> {
  interface Event {
    readonly reason: string;
    readonly note: string;
    readonly regarding: { readonly name: string };
  }
  const path = `/apis/events.k8s.io/v1/namespaces/${TEAM}/events`;
  const { items } = await read<{ items: Event[] }>(stage, path);
  const released = items.filter(({ reason }) => reason === 'PodReleased');
  return new Map(released.map(({ regarding, note }) => [regarding.name, note]));
}

/** Status and text of what a program on this machine answers; its certificate must be the demo authority's. */
export async function ask(
  url: string,
  certificateAuthority: string,
): Promise<{ status: number; text: string; headers: Readonly<Record<string, unknown>> }> {
  const dispatcher = new Agent({ allowH2: false, connect: { ca: certificateAuthority } });
  try {
    const { statusCode, headers, body } = await request(url, { dispatcher });
    return { status: statusCode, headers, text: await body.text() };
  } finally {
    await dispatcher.close();
  }
}

/** The last lines of a log. */
export function lastLinesOf(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}
