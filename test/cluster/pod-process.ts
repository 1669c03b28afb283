// A pod of one of our Deployments, run as a kubelet would run it, but as a process on this machine's own network: its command
// line, environment, volumes, token and probe are what the API server stores, and stand nowhere else.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../tools/free-ports.ts';
import { waitUntil } from '../../tools/processes.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';

export interface PodProcess extends AsyncDisposable {
  readonly pod: string;
  output(): string;
  /** Where a port of the container, by its name, is on this machine. */
  urlOf(port: string): string;
  /** What the container's readiness probe says. */
  isReady(): Promise<boolean>;
}

interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: {
    readonly serviceAccountName: string;
    readonly volumes: readonly Volume[];
    readonly containers: readonly Container[];
  };
}

interface Volume {
  readonly name: string;
  readonly configMap?: { readonly name: string };
  readonly secret?: { readonly secretName: string };
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly EnvironmentVariable[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
}

interface EnvironmentVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

/** An address of this machine that an EndpointSlice takes: not of its loopback. */
export function ownAddress(): string {
  const found = Object.values(networkInterfaces())
    .flat()
    .find((one) => one && one.family === 'IPv4' && !one.internal);
  if (!found)
    throw new Error('this machine has no IPv4 address but loopback, and an EndpointSlice takes none');
  return found.address;
}

/** Waits for a pod of the Deployment, which Kubernetes' own controllers make, and starts it. */
export async function runPodOf(
  controlPlane: ControlPlane,
  namespace: string,
  deployment: string,
): Promise<PodProcess> {
  const { admin, folder } = controlPlane;
  const get = async <Body>(path: string) => (await admin<Body>('GET', path)).body;
  let found: Pod | undefined;
  await waitUntil(
    `Deployment ${deployment} has a pod`,
    async () => {
      const { items } = await get<{ items: Pod[] }>(`/api/v1/namespaces/${namespace}/pods`);
      found = items.find(({ metadata }) => metadata.name.startsWith(`${deployment}-`));
      return found !== undefined;
    },
    { deadlineMs: 30_000 },
  );
  const pod = found;
  const [container] = pod?.spec.containers ?? [];
  if (!pod || !container) throw new Error(`no pod of ${deployment} with a container`);
  const { metadata, spec } = pod;

  const mounted = new Map<string, string>();
  for (const { name, mountPath } of container.volumeMounts) {
    const volume = spec.volumes.find((each) => each.name === name);
    const files = volume && (await filesOf(volume));
    if (!files) continue;
    const place = join(folder, metadata.name, name);
    mkdirSync(place, { recursive: true });
    for (const [file, content] of Object.entries(files)) writeFileSync(join(place, file), content);
    mounted.set(mountPath, place);
  }

  /** Undefined for the token's own volume: the kubeconfig below takes its place. */
  async function filesOf({
    configMap,
    secret,
  }: Volume): Promise<Record<string, string | Buffer> | undefined> {
    if (configMap)
      return (
        await get<{ data: Record<string, string> }>(
          `/api/v1/namespaces/${namespace}/configmaps/${configMap.name}`,
        )
      ).data;
    if (!secret) return undefined;
    const { data } = await get<{ data: Record<string, string> }>(
      `/api/v1/namespaces/${namespace}/secrets/${secret.secretName}`,
    );
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')]),
    );
  }

  const ports = await freePorts(container.ports.length);
  /** A pod has a network to itself; here another port of the machine stands for each of its ports. */
  const portOf = new Map(container.ports.map(({ containerPort }, at) => [String(containerPort), ports[at]]));
  const inside = (text: string) => {
    const mount = [...mounted].find(([mountPath]) => text.startsWith(`${mountPath}/`));
    return mount ? text.replace(...mount) : text;
  };
  const words = container.args.map((word, at) =>
    /^--(metrics-)?port$/.test(container.args[at - 1] ?? '') ? String(portOf.get(word)) : inside(word),
  );
  const environment = Object.fromEntries(
    container.env.map(({ name, value, valueFrom }) => [
      name,
      inside(value ?? fieldOf(pod, valueFrom?.fieldRef.fieldPath ?? '')),
    ]),
  );
  const token = await admin<{ status: { token: string } }>(
    'POST',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${spec.serviceAccountName}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        expirationSeconds: 3600,
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: metadata.name, uid: metadata.uid },
      },
    },
  );
  const kubeconfig = controlPlane.kubeconfigFor({ token: token.body.status.token }, namespace);
  const address = ownAddress();
  // What a pod knows by being one: its cluster and its token, and for that reason where its certificate is.
  const beingAPod = ['--kubeconfig', kubeconfig, '--host', address, '--tls-secret', 'keyless-pull-tls'];
  const [first = '', ...others] = words;
  const child = spawn(process.execPath, ['src/cli/main.ts', first, ...beingAPod, ...others], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const printed: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
  const ended = once(child, 'exit');

  const urlOf = (name: string) => {
    const at = container.ports.findIndex((port) => port.name === name);
    return `http${name === 'https' ? 's' : ''}://${address}:${ports[at]}`;
  };
  const { path, port } = container.readinessProbe.httpGet;
  return {
    pod: metadata.name,
    output: () => printed.join(''),
    urlOf,
    isReady: async () => (await fetch(`${urlOf(port)}${path}`)).ok,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function fieldOf({ metadata }: Pod, path: string): string {
  const field = { 'metadata.name': metadata.name, 'metadata.namespace': metadata.namespace }[path];
  if (field === undefined) throw new Error(`no kubelet of ours knows the field ${path}`);
  return field;
}

/** What the endpoint controller would write, had the pods an address of their own. */
export async function standBehind(
  { admin }: ControlPlane,
  namespace: string,
  service: string,
  processes: readonly PodProcess[],
): Promise<void> {
  for (const { pod, urlOf } of processes) {
    const answer = await admin('POST', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
      metadata: { name: pod, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [ownAddress()], conditions: { ready: true } }],
      ports: [{ name: 'https', port: Number(new URL(urlOf('https')).port) }],
    });
    if (answer.status !== 201) throw new Error(`no EndpointSlice: ${JSON.stringify(answer.body)}`);
  }
}
