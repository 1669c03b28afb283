// A private registry as a team runs it: CNCF Distribution over TLS, and our token server as a process of its own, which
// lets every account of the cluster pull what lies under apps/.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { parseAllDocuments, stringify } from 'yaml';
import { serviceAccountToken } from '../../tools/api-client.ts';
import type { CertificateAuthority } from '../../tools/certificates.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';
import { startRegistry } from '../../tools/distribution-registry.ts';
import { freePort } from '../../tools/free-ports.ts';
import { pushImage, type RegistryLogin } from '../../tools/image-transfer.ts';
import type { Image } from '../../tools/image.ts';
import { applyManifests } from '../../tools/install.ts';
import { waitUntil, type Run } from '../../tools/processes.ts';

export interface PrivateRegistry {
  readonly host: string;
  readonly audience: string;
  readonly logFile: string;
  /** Pushes `apps/<name>:1` and returns its reference. */
  push(name: string, image: Image): Promise<string>;
  /** How often somebody asked for anything of `apps/<name>`. */
  requests(name: string): number;
  /** The status that the token server answers a container runtime's question with. */
  logIn(login: RegistryLogin): Promise<number>;
}

const BUILDER = { namespace: 'builds', account: 'account-0' };

export interface RegistryPlace {
  readonly name: string;
  readonly port: number;
  readonly audience: string;
  /** How its token server looks at passwords. */
  readonly check: 'keys' | 'tokenReview';
}

/** Starts both in `run`, whose folder has the logs; namespace `builds` with its account must be there. */
export async function startPrivateRegistry(
  run: Run,
  opened: AsyncDisposableStack,
  controlPlane: ControlPlane,
  authority: CertificateAuthority,
  { name, port, audience, check }: RegistryPlace,
): Promise<PrivateRegistry> {
  const file = (ending: string, text: string) => {
    const path = join(run.folder, `${name}.${ending}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const serving = await authority.issue(['127.0.0.1', 'localhost']);
  const signing = await authority.issue([name]);
  const authorityFile = file('ca.crt', authority.certificate);
  const tls = {
    certificateFile: file('tls.crt', serving.certificate),
    keyFile: file('tls.key', serving.key),
  };
  const { issuer, url, certificateAuthorityFile } = controlPlane;
  const reviewer = check === 'tokenReview' ? await tokenOfReviewer(controlPlane) : '';
  const bearerFile = file('bearer', reviewer || (controlPlane.tokens['admin'] ?? ''));
  const tokenPort = await freePort();
  const config = {
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: name, issuer: 'keyless-pull' },
    signing: {
      keys: [
        { keyFile: file('sign.key', signing.key), certificateFile: file('sign.crt', signing.certificate) },
      ],
    },
    listen: { host: '127.0.0.1', port: tokenPort },
    tls,
    issuers: [
      {
        issuer,
        audience,
        check,
        ...(check === 'keys'
          ? { certificateAuthorityFile, bearerFile }
          : { tokenReview: { server: url, certificateAuthorityFile, bearerFile } }),
      },
    ],
    access: [
      { namespaces: ['*'], repositories: ['apps/**'], actions: ['pull'] },
      { namespaces: [BUILDER.namespace], repositories: ['**'], actions: ['pull', 'push'] },
    ],
  };
  const flags = ['token-server', '--config', file('token-server.yaml', stringify(config))];
  const server = run.start(`${name}-token-server`, process.execPath, [
    join(import.meta.dirname, '../../src/cli/main.ts'),
    ...flags,
  ]);
  const dispatcher = new Agent({ allowH2: false, connect: { ca: authority.certificate } });
  // `localhost`: crane takes no token server at another port of 127.0.0.1 than the registry's.
  const tokenUrl = `https://localhost:${tokenPort}`;
  const statusOf = async (path: string, headers: Record<string, string> = {}) => {
    const { statusCode, body } = await request(`${tokenUrl}${path}`, { dispatcher, headers });
    await body.dump();
    return statusCode;
  };
  await waitUntil('the token server answers', async () => (await statusOf('/healthz')) === 200, {
    deadlineMs: 60_000,
    needed: [server],
  });
  const registry = opened.use(
    await startRegistry({
      port,
      tls,
      auth: {
        realm: `${tokenUrl}/auth/token`,
        service: name,
        issuer: 'keyless-pull',
        rootCertBundle: authorityFile,
      },
    }),
  );
  const authorization = {
    username: `${BUILDER.namespace}/${BUILDER.account}`,
    password: await serviceAccountToken(controlPlane, BUILDER.namespace, BUILDER.account, {
      audiences: [audience],
      expirationSeconds: 3600,
    }),
  };
  return {
    host: registry.host,
    audience,
    logFile: registry.logFile,
    async push(repository, image) {
      const options = { image, authorization, certificateAuthorityFile: authorityFile };
      await pushImage(registry.url, `apps/${repository}`, '1', options);
      return `${registry.host}/apps/${repository}:1`;
    },
    requests: (repository) =>
      readFileSync(registry.logFile, 'utf8')
        .split('\n')
        // One line for each answer, in the form of Apache's log; others speak of the same request.
        .filter((line) => new RegExp(`"(GET|HEAD) /v2/apps/${repository}/`).test(line)).length,
    logIn: ({ username, password }) =>
      statusOf(`/auth/token?service=${name}`, {
        authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
      }),
  };
}

/** Of an account that has the rights of the example and no other. */
async function tokenOfReviewer(controlPlane: ControlPlane): Promise<string> {
  const text = readFileSync('examples/token-server/token-review.yaml', 'utf8');
  await applyManifests(
    controlPlane,
    parseAllDocuments(text).map((document): unknown => document.toJS()),
  );
  return serviceAccountToken(controlPlane, 'registry-auth', 'token-server', { expirationSeconds: 3600 });
}
