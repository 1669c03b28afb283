// The webhook half of serve: certificate, routes and port, put together.
import { createMutatePod } from '../admission/mutate-pod.ts';
import { createRoutes } from '../admission/routes.ts';
import { createValidate } from '../admission/validate.ts';
import { createDrain } from '../server/drain.ts';
import { createLoad } from '../server/load.ts';
import { createHttpsServer } from '../server/https-server.ts';
import { openCertificate, type CertificateChoice } from './serving-certificate.ts';
import type { AccountLookup } from '../cluster/account-lookup.ts';
import type { Keeper } from '../credentials/keeper.ts';
import type { Parts, ServeOptions } from './serve.ts';

/** Until every kube-proxy has heard that this replica is gone; outside a cluster there is none. */
const LINGER_SECONDS = 10;
const REFUSE_MS = 5_000;
const DAY_MS = 86_400_000;

export interface WebhookTools {
  readonly keeper: Pick<Keeper, 'standingOf'>;
  readonly lookup: AccountLookup;
  workerIsAlive(): boolean;
  mayOpenGates(namespace: string): boolean;
}

export async function startWebhook(
  parts: Parts,
  tools: WebhookTools,
  choice: CertificateChoice,
  options: Pick<ServeOptions, 'host' | 'port' | 'lingerSeconds'> & { readonly signal: AbortSignal },
): Promise<AsyncDisposable & { readonly port: number }> {
  const { clock, log, metrics, health, config, cluster } = parts;
  const { keeper, lookup, workerIsAlive, mayOpenGates } = tools;
  await using started = new AsyncDisposableStack();
  let waitsFor: string | undefined = 'the certificate has not been read yet';
  let isLatest = false;
  // Named by its own port's absence: until there is a pair nothing listens there, and probes look elsewhere.
  health.check('certificate', () => waitsFor);
  const certificate = started.use(
    await openCertificate(parts, choice, {
      signal: options.signal,
      onWait(problem) {
        if (waitsFor !== problem.message) log.warn({ error: problem }, 'waiting for a certificate');
        waitsFor = problem.message;
      },
      onLook: (isTaken) => void (isLatest = isTaken),
    }),
  );
  const drain = createDrain();
  const load = createLoad(clock);
  const { view } = cluster;
  const settings = () => {
    const { rules, policy, worker } = config.current();
    return { rules, policy, needsPerPod: worker.needsPerPod };
  };
  const handler = createRoutes({
    mutatePod: createMutatePod({ view, lookup, keeper, settings, workerIsAlive, mayOpenGates, clock }),
    validate: createValidate({
      view,
      lookup,
      settings,
      clock,
      onFinding: (mode, namespace, { origin, exemption }) =>
        metrics.finding(mode, namespace, origin, exemption !== undefined),
    }),
    health: health.handler,
    isDraining: () => drain.phase() === 'refusing',
    isOverloaded: () => load.isOver(),
    onAnswer: (path, outcome, reason, seconds) => metrics.admission(path, outcome, reason, seconds),
    clock,
    log,
  });
  health.check('stopping', () => (drain.phase() === 'serving' ? undefined : 'this replica is stopping'));
  metrics.onScrape(() =>
    metrics.certificate((certificate.current().expiresAt - clock.now()) / DAY_MS, isLatest),
  );
  const server = started.use(
    await createHttpsServer(
      { certificate, handler, drain, load, clock, log },
      {
        port: options.port,
        ...(options.host !== undefined && { host: options.host }),
        lingerMs: (options.lingerSeconds ?? (cluster.isInCluster ? LINGER_SECONDS : 0)) * 1_000,
        refuseMs: REFUSE_MS,
      },
    ),
  );
  waitsFor = undefined;
  const all = started.move();
  return { port: server.port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
