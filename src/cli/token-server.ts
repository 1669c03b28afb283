// keyless-pull token-server: builds the parts of the registry's side and serves until it is told to stop.
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { LogLevel } from '../log-level.ts';
import { createLog } from '../log.ts';
import { isProblem } from '../problem.ts';
import { createCertificate } from '../server/certificate.ts';
import { listen } from '../token-server/listener.ts';
import { createRegistryTokenSigner } from '../token-server/registry-token.ts';
import { TOKEN_PATH, createTokenRoutes } from '../token-server/routes.ts';
import { keySetOf } from '../token-server/signing-key.ts';
import { createSigningKeys, readPair } from '../token-server/signing-keys.ts';
import { loadTokenServerConfig } from '../token-server/token-server-config.ts';
import { createTokenVerifier } from '../token-server/verify-token.ts';

export interface TokenServerOptions {
  /** Path of the config file. */
  readonly config: string;
  /** These three win over the config file and the default `info`. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly logLevel?: LogLevel | undefined;
}

export interface TokenServerIo {
  /** Stops the server when it aborts, also during the start. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Replaces the log on stdout. */
  readonly log?: Log | undefined;
}

export interface RunningTokenServer extends AsyncDisposable {
  /** Where it listens, without a path. */
  readonly url: string;
  /** Resolves when it has stopped, by the signal or by being disposed. */
  readonly stopped: Promise<void>;
}

/**
 * Starts the token server and returns once it listens. An issuer that cannot be reached is only a warning: it may be
 * started after us.
 * @throws Problem `config-invalid`, `file-unreadable`, `certificate-unreadable` or `port-taken`
 */
export async function runTokenServer(
  options: TokenServerOptions,
  io: TokenServerIo = {},
): Promise<RunningTokenServer> {
  const { clock = systemClock, log = createLog(options.logLevel ?? 'info') } = io;
  const config = loadTokenServerConfig(options.config);
  const { service, issuer, tokenSeconds } = config.registry;
  await using started = new AsyncDisposableStack();
  const keys = started.use(createSigningKeys(config.signing.keys, { clock, log, tokenSeconds }));
  const tls = config.tls && started.use(await createCertificate({ clock, log }, config.tls));
  if (!tls) log.warn('no TLS: passwords arrive in the clear unless a proxy in front ends TLS');

  const verifier = createTokenVerifier({ issuers: config.issuers, clock });
  for (const failure of await verifier.prepare()) {
    if (!isProblem(failure.error) || failure.error.code === 'file-unreadable') throw failure.error;
    log.warn({ ...failure }, 'the issuer cannot be asked yet');
  }

  const { header } = config.signing;
  const sign = createRegistryTokenSigner({ issuer, service, tokenSeconds, header, keys, clock });
  const { anyUser, access } = config;
  const handler = createTokenRoutes({ service, anyUser, access, verifier, sign, clock, log });
  const host = options.host ?? config.listen.host;
  const port = options.port ?? config.listen.port;
  const { url } = started.use(await listen({ handler, host, port, tls, clock, log }));
  log.info(
    { url, path: TOKEN_PATH, service, issuers: config.issuers.map((one) => one.issuer) },
    'token server started',
  );
  return stoppable({ url, parts: started.move() }, log, io.signal);
}

/**
 * The `jwks` file for registries of 3.x that are configured with one: every key of `signing.keys`, also those whose
 * time has not come, so that the registry knows them before they sign.
 * @throws Problem `config-invalid`, `file-unreadable` or `certificate-unreadable`
 */
export function describeKeySet(configFile: string): string {
  const { signing } = loadTokenServerConfig(configFile);
  return `${JSON.stringify(keySetOf(signing.keys.map(readPair)), null, 2)}\n`;
}

function stoppable(
  { url, parts }: { url: string; parts: AsyncDisposable },
  log: Log,
  signal?: AbortSignal,
): RunningTokenServer {
  const { promise: stopped, resolve, reject } = Promise.withResolvers<void>();
  let stopping = false;
  const stop = () => {
    if (!stopping) {
      stopping = true;
      parts[Symbol.asyncDispose]().then(() => {
        log.info('token server stopped');
        resolve();
      }, reject);
    }
    return stopped;
  };
  if (signal?.aborted) void stop();
  signal?.addEventListener('abort', () => void stop(), { once: true });
  return { url, stopped, [Symbol.asyncDispose]: stop };
}
