// The real CNCF Distribution registry on a free port of 127.0.0.1, storing into a run folder of its own.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import type { ProgressStream } from './build-part.ts';
import { freePort } from './free-ports.ts';
import { findParts } from './parts.ts';
import { openRun, waitUntil } from './processes.ts';

/** Token authentication as in https://distribution.github.io/distribution/about/configuration/#token */
export interface RegistryTokenAuth {
  /** URL of the token server, as clients reach it. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Path of the certificates (PEM) that may sign tokens, or that signed the certificate in a token's header. */
  readonly rootCertBundle?: string;
  /** Path of a JSON Web Key Set; instead of the certificates or beside them. */
  readonly jwks?: string;
  /** The algorithms tokens may be signed with; Distribution's own list when absent. */
  readonly signingAlgorithms?: readonly string[];
}

/** What may be chosen about a registry. */
export interface RegistryOptions {
  /** 3.x when absent; 2.8 knows neither `jwks` nor `signingAlgorithms`. */
  readonly line?: '2.8' | '3';
  /** A free port when absent. */
  readonly port?: number;
  /** Everybody may pull and push when absent. */
  readonly auth?: RegistryTokenAuth;
  /** Paths of a server certificate and its key (PEM); plain HTTP when absent. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  /** Where the building of a missing registry is reported; standard error when absent. */
  readonly progress?: ProgressStream;
}

/** A running registry. Disposing it is `stop`. */
export interface DistributionRegistry extends AsyncDisposable {
  readonly url: string;
  /** "127.0.0.1:PORT", as image references begin. */
  readonly host: string;
  readonly port: number;
  /** The run's folder, deleted at the end. */
  readonly folder: string;
  /** Path of its log, access lines included. */
  readonly logFile: string;
  readonly stop: () => Promise<void>;
}

const READY_DEADLINE_MS = 30_000;

/** Starts a registry; resolves when it answers. */
export async function startRegistry(options: RegistryOptions = {}): Promise<DistributionRegistry> {
  const part = options.line === '2.8' ? 'registry-2.8' : 'registry';
  const paths = await findParts([part], { progress: options.progress });
  const run = await openRun('registry');
  try {
    const port = options.port ?? (await freePort());
    const host = `127.0.0.1:${port}`;
    const url = `${options.tls ? 'https' : 'http'}://${host}`;
    const configFile = join(run.folder, 'config.yaml');
    writeFileSync(configFile, registryConfig(host, join(run.folder, 'storage'), options), { mode: 0o600 });
    const registry = run.start('registry', paths[part], ['serve', configFile], {
      // Its traces would otherwise knock at a collector on port 4318 for ever.
      OTEL_TRACES_EXPORTER: 'none',
    });
    // Only the question whether it answers; no secret is sent, and the certificate is the caller's to check.
    const dispatcher = new Agent({ allowH2: false, connect: { rejectUnauthorized: false } });
    const isUp = async () => {
      const { statusCode, body } = await request(`${url}/v2/`, { dispatcher });
      await body.dump();
      return statusCode === 200 || statusCode === 401;
    };
    await waitUntil('the registry answered', isUp, { deadlineMs: READY_DEADLINE_MS, needed: [registry] });
    await dispatcher.close();
    const { folder, stop } = run;
    return { url, host, port, folder, logFile: registry.logFile, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await run.stop();
    throw error;
  }
}

function registryConfig(host: string, storage: string, { auth, tls }: RegistryOptions): string {
  return stringify({
    version: 0.1,
    log: { level: 'info', formatter: 'text' },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: host,
      ...(tls ? { tls: { certificate: tls.certificateFile, key: tls.keyFile } } : {}),
    },
    ...(auth
      ? {
          auth: {
            token: {
              realm: auth.realm,
              service: auth.service,
              issuer: auth.issuer,
              ...(auth.rootCertBundle ? { rootcertbundle: auth.rootCertBundle } : {}),
              ...(auth.jwks ? { jwks: auth.jwks } : {}),
              ...(auth.signingAlgorithms ? { signingalgorithms: auth.signingAlgorithms } : {}),
            },
          },
        }
      : {}),
  });
}
