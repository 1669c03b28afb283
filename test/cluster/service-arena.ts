// A real control plane with webhook-config/ on it as it is, the webhooks' Service included, and the real program in processes
// that stand behind that Service: certificates and caBundle are the program's own business.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { serviceAccountToken } from '../../tools/api-client.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { freePorts } from '../../tools/free-ports.ts';
import {
  applyManifests,
  installManifests,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
} from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { ownAddress } from './pod-process.ts';

export const HOST = 'registry.team.example:5000';
const AUDIENCE = 'https://registry.team.example';
export const TLS_SECRET = `/api/v1/namespaces/${OWN_NAMESPACE}/secrets/keyless-pull-tls`;
export const SERVICE_NAME = `keyless-pull.${OWN_NAMESPACE}.svc`;

export interface ServiceProgram {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  output(): string;
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void;
  ended(): Promise<void>;
  readyz(): Promise<{ readonly status: number; readonly text: string }>;
  metrics(): Promise<string>;
}

export interface ServiceArena extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  /** Where the programs listen: an EndpointSlice takes no loopback address. */
  readonly address: string;
  readonly configFile: string;
  start(name: string, choice?: StartChoice): Promise<ServiceProgram>;
  /** These programs, and no others, stand behind the Service. */
  route(programs: readonly ServiceProgram[]): Promise<void>;
  /** The caBundle of every webhook of both configurations, PEM. */
  caBundles(): Promise<string[]>;
  must(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<unknown>;
}

export interface StartChoice {
  readonly role?: 'all' | 'webhook' | 'worker';
  readonly flags?: readonly string[];
  readonly nodeFlags?: readonly string[];
  /** What comes before node on the command line. */
  readonly wrapper?: readonly string[];
  /** Absent: waited for. */
  readonly unready?: boolean;
}

/** `policy` as in the config; `identities` are users known to the API server, each by a token. */
export async function openServiceArena({
  policy = {},
  identities = [],
}: { policy?: object; identities?: readonly string[] } = {}): Promise<ServiceArena> {
  await using opened = new AsyncDisposableStack();
  const controlPlane = opened.use(
    await startControlPlane({
      extraApiServerFlags: ['--enable-aggregator-routing=true'],
      identities: identities.map((name) => ({ name, user: name, groups: [] })),
    }),
  );
  const programs: { child: ChildProcess; ended: Promise<void> }[] = [];
  opened.defer(async () => {
    for (const { child } of programs) child.kill('SIGKILL');
    await Promise.all(programs.map(({ ended }) => ended));
  });
  const { admin, folder } = controlPlane;
  const address = ownAddress();
  const configFile = join(folder, 'config.yaml');
  writeFileSync(
    configFile,
    stringify({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [{ name: 'team', hosts: [HOST], audience: AUDIENCE, exchange: { kind: 'pass-through' } }],
      policy,
    }),
  );
  await installManifests(controlPlane, { audiences: [AUDIENCE] });
  await applyManifests(controlPlane, [
    ...readManifests('service.yaml').map((service) => {
      // Without a selector the slices are ours to write.
      const { selector: _, ...spec } = service['spec'] as { selector: object };
      return { ...service, spec };
    }),
    ...readManifests('webhooks.yaml'),
  ]);

  const must: ServiceArena['must'] = async (method, path, body) => {
    const answer = await admin(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  async function start(name: string, choice: StartChoice = {}): Promise<ServiceProgram> {
    const { role = 'all', flags = [], nodeFlags = [], wrapper = [], unready = false } = choice;
    const token = await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
    const [port = 0, metricsPort = 0] = await freePorts(2);
    const [command = '', ...words] = [
      ...wrapper,
      process.execPath,
      '--max-semi-space-size=8',
      ...nodeFlags,
      'src/main.ts',
      ...['--role', role, '--config', configFile, '--tls-secret', 'keyless-pull-tls'],
      ...['--kubeconfig', controlPlane.kubeconfigFor({ token }, OWN_NAMESPACE)],
      ...['--namespace', OWN_NAMESPACE, '--host', address],
      ...['--port', String(port), '--metrics-port', String(metricsPort)],
      ...flags,
    ];
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const printed: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
    const ended = once(child, 'exit').then(() => undefined);
    programs.push({ child, ended });
    const get = async (path: string) => {
      const answer = await fetch(`http://${address}:${metricsPort}${path}`);
      return { status: answer.status, text: await answer.text() };
    };
    const program: ServiceProgram = {
      name,
      pid: child.pid ?? 0,
      port,
      output: () => printed.join(''),
      kill: (signal) => void child.kill(signal),
      ended: () => ended,
      readyz: () => get('/readyz'),
      metrics: async () => (await get('/metrics')).text,
    };
    if (!unready) {
      await waitUntil(`${name} is ready`, async () => (await program.readyz()).status === 200, {
        deadlineMs: 60_000,
      });
    }
    return program;
  }

  const owned = opened.move();
  return {
    controlPlane,
    address,
    configFile,
    start,
    must,
    async route(behind) {
      const slices = `/apis/discovery.k8s.io/v1/namespaces/${OWN_NAMESPACE}/endpointslices`;
      await must('DELETE', slices);
      for (const { name, port } of behind) {
        await must('POST', slices, {
          metadata: { name, labels: { 'kubernetes.io/service-name': 'keyless-pull' } },
          addressType: 'IPv4',
          endpoints: [{ addresses: [address], conditions: { ready: true } }],
          ports: [{ name: 'https', port }],
        });
      }
    },
    async caBundles() {
      interface Configuration {
        readonly webhooks: { readonly clientConfig: { readonly caBundle?: string } }[];
      }
      const kinds = ['mutating', 'validating'].map(
        (kind) =>
          must(
            'GET',
            `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/keyless-pull`,
          ) as Promise<Configuration>,
      );
      return (await Promise.all(kinds)).flatMap(({ webhooks }) =>
        webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()),
      );
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
