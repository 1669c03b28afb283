// Starts what is there before keyless-pull comes: control plane, token server and registry, and what they need to know.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCertificateAuthority } from '../certificates.ts';
import type { ControlPlane } from '../control-plane.ts';
import { startControlPlane } from '../control-plane.ts';
import type { DistributionRegistry } from '../distribution-registry.ts';
import { startRegistry } from '../distribution-registry.ts';
import { freePort } from '../free-ports.ts';
import { startNode, type ClusterNode } from '../node.ts';
import type { Run, StartedProcess } from '../processes.ts';
import { waitUntil } from '../processes.ts';
import { NODE_NAME, userFiles } from './manifests.ts';
import { keepNodeAlive } from './paper-node.ts';
import { REGISTRY_SERVICE, REGISTRY_TOKEN_ISSUER, tokenServerConfig } from './program-configs.ts';
import { pushImages } from './push-images.ts';
import type { Screen } from './screen.ts';
import { PROJECT, createShell } from './shell.ts';
import type { Parts } from './stage.ts';
import { ask, read } from './stage.ts';

const READY_DEADLINE_MS = 30_000;

/** Starts them, each a process of its own; `started` is given whatever must be stopped, as soon as it runs. */
export async function startParts(
  screen: Screen,
  run: Run,
  started: AsyncDisposable[],
  withNode: boolean,
): Promise<Parts> {
  screen.heading(
    '1  The parts',
    `All real, each a process of its own on 127.0.0.1; files and logs are in ${run.folder}.`,
  );
  const certificates = await writeCertificates(run.folder);
  const controlPlane = await screen.check(
    'control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler',
    () => startControlPlane({ scheduler: true, audit: true }),
    ({ url }) => url,
  );
  started.push(controlPlane);
  const shell = createShell(controlPlane, screen);

  await shell.kubectl([
    ...['create', 'clusterrolebinding', 'who-may-read-our-keys', '--group=system:unauthenticated'],
    '--clusterrole=system:service-account-issuer-discovery',
  ]);
  const { tokenUrl, tokenServer } = await screen.check(
    'keyless-pull token-server: is to accept ServiceAccount tokens of this cluster, by OIDC discovery',
    () => startTokenServer(run, controlPlane, certificates),
    (found) => found.tokenUrl,
  );
  const registry = await screen.check(
    'distribution registry: sends its clients to the token server',
    () => startDistribution(certificates, tokenUrl),
    ({ url }) => url,
  );
  started.push(registry);
  for (const [name, text] of Object.entries(userFiles(registry.host, withNode))) {
    writeFileSync(join(run.folder, name), text);
  }
  const node = withNode ? await startRealNode(screen, controlPlane) : undefined;
  if (node) {
    started.push(node);
    node.trustRegistry(registry.host, certificates.certificateAuthorityFile);
  }
  const passwords = new Set<string>();
  const parts = {
    screen,
    shell,
    run,
    controlPlane,
    registry,
    tokenUrl,
    ...certificates,
    passwords,
    programs: [tokenServer],
    node,
    nodeName: node?.name ?? NODE_NAME,
  };
  const digests = await pushImages(parts);
  if (!node) started.push(await addNode({ ...parts, digests }));
  return { ...parts, digests };
}

/** It pulls and runs. */
function startRealNode(screen: Screen, controlPlane: ControlPlane): Promise<ClusterNode> {
  return screen.check(
    'a node: containerd and a kubelet, which the control plane knows as Ready',
    () => startNode(controlPlane),
    ({ name }) => `system:node:${name}`,
  );
}

/** A node on paper: it lets the scheduler bind pods, and nothing ever runs on it. */
async function addNode(parts: Parts): Promise<AsyncDisposable> {
  const { screen, shell, controlPlane } = parts;
  await shell.kubectl(['apply', '-f', 'node.yaml']);
  const heartbeat = await keepNodeAlive(controlPlane.admin, NODE_NAME);
  await screen.check('a node on paper, with no kubelet: pods are bound to it and never start', () =>
    waitUntil(
      `node ${NODE_NAME} takes pods`,
      async () => {
        const { spec } = await read<{ spec: { taints?: unknown[] } }>(parts, `/api/v1/nodes/${NODE_NAME}`);
        return (spec.taints ?? []).length === 0;
      },
      { deadlineMs: READY_DEADLINE_MS },
    ),
  );
  return heartbeat;
}

type Certificates = Pick<
  Parts,
  'certificateAuthority' | 'certificateAuthorityFile' | 'serverCertificateFile' | 'serverKeyFile'
> & { readonly signingCertificateFile: string; readonly signingKeyFile: string };

/** One server certificate for all, because all are on this machine; and a key pair that signs registry tokens. */
async function writeCertificates(folder: string): Promise<Certificates> {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const authority = await createCertificateAuthority('keyless-pull demo');
  const server = await authority.issue(['127.0.0.1', 'localhost']);
  const signing = await authority.issue([REGISTRY_TOKEN_ISSUER]);
  return {
    certificateAuthority: authority.certificate,
    certificateAuthorityFile: write('ca.pem', authority.certificate),
    serverCertificateFile: write('server.pem', server.certificate),
    serverKeyFile: write('server-key.pem', server.key),
    signingCertificateFile: write('signing.pem', signing.certificate),
    signingKeyFile: write('signing-key.pem', signing.key),
  };
}

async function startTokenServer(
  run: Run,
  controlPlane: ControlPlane,
  certificates: Certificates,
): Promise<{ tokenUrl: string; tokenServer: StartedProcess }> {
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const configFile = join(run.folder, 'token-server.yaml');
  const config = tokenServerConfig(controlPlane.issuer, port, {
    ...certificates,
    certificateFile: certificates.serverCertificateFile,
    keyFile: certificates.serverKeyFile,
    clusterAuthorityFile: controlPlane.certificateAuthorityFile,
  });
  writeFileSync(configFile, config);
  const program = join(PROJECT, 'src/cli/main.ts');
  const tokenServer = run.start('token-server', process.execPath, [
    program,
    'token-server',
    '--config',
    configFile,
  ]);
  await waitUntil(
    'the token server answered',
    async () => (await ask(`${url}/healthz`, certificates.certificateAuthority)).status === 200,
    { deadlineMs: READY_DEADLINE_MS, needed: [tokenServer] },
  );
  return { tokenUrl: `${url}/auth/token`, tokenServer };
}

async function startDistribution(certificates: Certificates, realm: string): Promise<DistributionRegistry> {
  const registry = await startRegistry({
    auth: {
      realm,
      service: REGISTRY_SERVICE,
      issuer: REGISTRY_TOKEN_ISSUER,
      rootCertBundle: certificates.certificateAuthorityFile,
    },
    tls: { certificateFile: certificates.serverCertificateFile, keyFile: certificates.serverKeyFile },
  });
  const { status, headers } = await ask(`${registry.url}/v2/`, certificates.certificateAuthority);
  const challenge = String(headers['www-authenticate']);
  if (status === 401 && challenge.includes(realm)) return registry;
  await registry.stop();
  throw new Error(`the registry should send its clients to ${realm}, and answered ${status} ${challenge}`);
}
