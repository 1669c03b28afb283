// keyless-pull token-server: builds the parts of the registry's side and serves until it is told to stop.
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { readText } from '../config.ts';
import type { Log } from '../log.ts';
import type { LogLevel } from '../log-level.ts';
import { createLog } from '../log.ts';
import { isProblem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import { listen } from '../token-server/listener.ts';
import { createRegistryTokenSigner } from '../token-server/registry-token.ts';
import { TOKEN_PATH, createTokenRoutes } from '../token-server/routes.ts';
import { readSigningKey } from '../token-server/signing-key.ts';
import type { TokenServerConfig } from '../token-server/token-server-config.ts';
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

const DAY_MS = 86_400_000;

/** Certificates are renewed weeks ahead; this one was forgotten. */
const SIGNING_WARNING_MS = 14 * DAY_MS;

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
  const key = readKey(config, clock, log);
  const tls = config.tls && {
    certificate: readText(config.tls.certificateFile),
    key: new SecretText(readText(config.tls.keyFile)),
  };
  if (!tls) log.warn('no TLS: passwords arrive in the clear unless a proxy in front ends TLS');

  const verifier = createTokenVerifier({ issuers: config.issuers, clock });
  await verifier.fetchKeys().catch((error: unknown) => {
    if (!isProblem(error) || error.code === 'file-unreadable') throw error;
    log.warn({ error }, "the issuer's keys are not known yet");
  });

  const { service, issuer, tokenSeconds } = config.registry;
  const sign = createRegistryTokenSigner({ issuer, service, tokenSeconds, key, clock });
  const { anyUser, access } = config;
  const handler = createTokenRoutes({ service, anyUser, access, verifier, sign, clock, log });
  const host = options.host ?? config.listen.host;
  const listener = await listen({ handler, host, port: options.port ?? config.listen.port, tls, clock });
  log.info(
    { url: listener.url, path: TOKEN_PATH, service, issuers: config.issuers.map((one) => one.issuer) },
    'token server started',
  );
  return stoppable(listener, log, io.signal);
}

function readKey(config: TokenServerConfig, clock: Clock, log: Log) {
  const [files] = config.signing.keys;
  if (!files) throw new TypeError('the schema lets no config without a signing key pass');
  const key = readSigningKey(
    new SecretText(readText(files.keyFile)),
    readText(files.certificateFile),
    clock.now(),
  );
  if (key.expiresAt - clock.now() < SIGNING_WARNING_MS) {
    log.warn({ expiresAt: new Date(key.expiresAt).toISOString() }, 'the signing certificate expires soon');
  }
  return key;
}

function stoppable(
  listener: AsyncDisposable & { url: string },
  log: Log,
  signal?: AbortSignal,
): RunningTokenServer {
  const { promise: stopped, resolve, reject } = Promise.withResolvers<void>();
  let stopping = false;
  const stop = () => {
    if (!stopping) {
      stopping = true;
      listener[Symbol.asyncDispose]().then(() => {
        log.info('token server stopped');
        resolve();
      }, reject);
    }
    return stopped;
  };
  if (signal?.aborted) void stop();
  signal?.addEventListener('abort', () => void stop(), { once: true });
  return { url: listener.url, stopped, [Symbol.asyncDispose]: stop };
}
