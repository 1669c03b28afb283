// keyless-pull token-server: builds the parts of the registry's side and serves until it is told to stop.
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { LogLevel } from '../log-level.ts';
import { createLog } from '../log.ts';
import { isProblem } from '../problem.ts';
import { createCertificate, type Certificate } from '../server/certificate.ts';
import { createHealth } from '../server/health.ts';
import { serveMetrics } from '../server/metrics-port.ts';
import { createTokenServerMetrics } from '../server/token-server-metrics.ts';
import { waitForIssuers } from '../token-server/issuer-wait.ts';
import { listen } from '../token-server/listener.ts';
import { createRegistryTokenSigner } from '../token-server/registry-token.ts';
import { TOKEN_PATH, createTokenRoutes } from '../token-server/routes.ts';
import { keySetOf } from '../token-server/signing-key.ts';
import { createSigningKeys, readPair, type SigningKeys } from '../token-server/signing-keys.ts';
import { loadTokenServerConfig } from '../token-server/token-server-config.ts';
import { createTokenVerifier } from '../token-server/verify-token.ts';

const DAY_MS = 86_400_000;

export interface TokenServerOptions {
  /** Path of the config file. */
  readonly config: string;
  /** Host, port and level win over the config file and the default `info`. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Where /metrics and the probes are; absent: nowhere. */
  readonly metricsPort?: number | undefined;
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

  const host = options.host ?? config.listen.host;
  const port = options.port ?? config.listen.port;
  const { metrics, health, phase } = watch({ keys, tls, clock });
  if (options.metricsPort !== undefined)
    started.use(
      await serveMetrics({
        handler: metrics.handler,
        health,
        port: options.metricsPort,
        ...(host !== undefined && { host }),
        log,
      }),
    );

  const verifier = createTokenVerifier({ issuers: config.issuers, clock });
  const failures = await verifier.prepare();
  for (const failure of failures) {
    if (!isProblem(failure.error) || failure.error.code === 'file-unreadable') throw failure.error;
    log.warn({ ...failure }, 'the issuer cannot be asked yet');
  }
  const issuers = config.issuers.map((one) => one.issuer);
  const wait = started.use(waitForIssuers(issuers, failures, { verifier, clock, log }));
  health.check('issuers', () => wait.trouble());
  metrics.onScrape(() => {
    for (const one of issuers) metrics.issuer(one, wait.isReady(one));
  });

  const { header } = config.signing;
  const sign = createRegistryTokenSigner({ issuer, service, tokenSeconds, header, keys, clock });
  const { anyUser, access } = config;
  const onLogin = metrics.login;
  const handler = createTokenRoutes({ service, anyUser, access, verifier, sign, onLogin, clock, log });
  const { url } = started.use(await listen({ handler, host, port, tls, clock, log }));
  phase.now = 'serving';
  started.defer(() => void (phase.now = 'stopping'));
  log.info({ url, path: TOKEN_PATH, service, issuers }, 'token server started');
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

/** What the metrics port says of our own files and of how far we are. */
function watch({ keys, tls, clock }: { keys: SigningKeys; tls: Certificate | undefined; clock: Clock }) {
  const metrics = createTokenServerMetrics();
  const health = createHealth();
  const phase: { now: 'starting' | 'serving' | 'stopping' } = { now: 'starting' };
  const daysLeft = (expiresAt: number) => (expiresAt - clock.now()) / DAY_MS;
  health.check('starting', () => (phase.now === 'starting' ? 'the issuers are being asked' : undefined));
  health.check('stopping', () => (phase.now === 'stopping' ? 'this replica is stopping' : undefined));
  health.check('signing-key', () => keys.trouble());
  if (tls)
    health.check('certificate', () =>
      tls.current().expiresAt > clock.now() ? undefined : 'the serving certificate has expired',
    );
  metrics.onScrape(() => {
    if (tls) metrics.certificate(daysLeft(tls.current().expiresAt));
    metrics.signingCertificate(daysLeft(keys.lastEnd()));
  });
  return { metrics, health, phase };
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
